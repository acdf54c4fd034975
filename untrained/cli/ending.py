"""How the command ends when it is asked to: at once, in one line.

Nothing is unwound: a run that is killed at any moment resumes, so this one may end at any moment.
An exception, raised wherever the program happens to be, would be swallowed by scores, or told with
a traceback by what cannot raise it. Imports little, since it is to be ready before torch is there,
and imports nothing later: a signal may come while a module is half imported.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children

from untrained.outside import command_line

ENDS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Ended by SIGTERM"}


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end this process with exit codes 130 and 143, and its workers with it."""
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() == owner:  # and not what a score forked
            for worker in active_children():
                with suppress(ProcessLookupError):
                    worker.kill()
            shown_again = "\x1b[?25h\n" if sys.__stderr__ and os.isatty(2) else ""
            told = f"{shown_again}untrained: {interrupted(ENDS[signal.Signals(number)])}\n"
            with suppress(OSError):
                os.write(2, told.encode(errors="surrogateescape"))
        os._exit(128 + number)

    atexit.register(_deaf)
    before = {number: signal.signal(number, end) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deaf() -> None:
    """All is done; what is left is to leave."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)


def interrupted(how: str) -> str:
    """What a person is told who, or whose system, ended the command."""
    again = command_line("untrained", *sys.argv[1:])
    if sys.argv[1:2] in (["data"], ["check"]):
        return f"{how}; nothing was written. To start again: {again}"
    return f"{how}; everything computed so far is kept. To resume: {again}"
