"""Runs that are stopped as somebody would stop them, at a moment that a test chooses."""

from untrained.runs import Progress
from untrained.runs.session import OnProgress


def stopped_at(phase: str, done: int) -> OnProgress:
    """Raises KeyboardInterrupt once a phase with these words has come so far."""

    def watch(progress: Progress) -> None:
        if phase in progress.phase and progress.done >= done:
            raise KeyboardInterrupt

    return watch
