"""The command: parse, call one library function, print."""

import resource
import sys
import time

from untrained.cli.ending import ended_by_signals

__all__ = ["BEGAN", "main"]

BEGAN = time.perf_counter()
"When the command began: libraries take seconds to load, and a time budget counts them."


def main() -> None:
    """Runs the command; a signal ends it with a line from the first import on."""
    with ended_by_signals():
        check_addresses()
        from untrained.cli.app import main as run  # after it hears signals

        run()


LEAST_ADDRESSES = 2 * 10**9
"Bytes; with less, libraries end the process where they please, without a word."


def check_addresses() -> None:
    """Ends with a line where `ulimit -v` is too low for any command."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= limit < LEAST_ADDRESSES:
        sys.exit(
            f"untrained: expected at least {LEAST_ADDRESSES / 1e9:g} GB of address space, got "
            f"{limit / 1e9:.2g} GB; raise the limit with ulimit -v"
        )
