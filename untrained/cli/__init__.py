"""The command: parse, call one library function, print."""

from untrained.cli.ending import ended_by_signals

__all__ = ["main"]


def main() -> None:
    """Runs the command; a signal ends it with a line from the first import on."""
    with ended_by_signals():
        from untrained.cli.commands import main as run  # imports torch, which takes seconds

        run()
