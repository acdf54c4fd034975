"""The command: parse, call one library function, print."""

import os
import sys

from untrained.cli.ending import ended_by_signals

__all__ = ["main"]


def main() -> None:
    """Runs the command; a signal ends it with a line from the first import on."""
    with ended_by_signals():
        try:
            from untrained.cli.commands import main as run  # imports torch, which takes seconds
        except (ImportError, MemoryError, OSError) as error:
            if os.environ.get("UNTRAINED_TRACEBACK"):
                raise
            sys.exit(f"untrained: cannot load the libraries it needs: {error or 'memory ran out'}")
        run()
