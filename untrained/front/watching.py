"""How far work has come, where a notebook shows it."""

import time
from html import escape
from typing import Any

from untrained.outside import visible
from untrained.runs.session import OnProgress, Progress, ignore

PAUSE = 0.5
"Seconds between two renewals."


def shown_by_default() -> OnProgress:
    """A line beneath a notebook's cell; nothing in scripts, which say what they want to see."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return ignore
    shell = get_ipython()
    return _Line(display) if shell is not None and hasattr(shell, "kernel") else ignore


class _Line:
    """One line, which is renewed in place."""

    def __init__(self, display: Any):
        self.display, self.handle, self.last = display, None, 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.done < progress.total and now < self.last + PAUSE:
            return
        self.last = now
        shown = _Shown(f"{visible(progress.phase)}: {progress.done:,} of {progress.total:,}")
        if self.handle is None:
            self.handle = self.display(shown, display_id=True)
        else:
            self.handle.update(shown)


class _Shown:
    """Text as a notebook has it, rich or plain."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<small>{escape(self.text)}</small>"
