"""What other people's networks and scores raise, told in a line; what runs out is told apart."""

import os
import signal
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, NamedTuple, TypeVar

import untrained
from untrained.memory import memory_of, out_of_memory
from untrained.scores.score import Bound

T = TypeVar("T")
Step = Callable[[], AbstractContextManager[object]]
"Makes the context of one step of a task, which a time limit bounds: a build, a training, a view."


class Failure(NamedTuple):
    """Why a call gave nothing."""

    reason: str
    bound: Bound | None = None
    "What it ran out of, if that is why."

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit came first."""
        return self.bound is not None and self.bound.kind == "seconds"


class TimeLimit(BaseException):
    """The time limit in its first argument is over; no `Exception`, which a score may catch."""


@contextmanager
def alarm(limit: float) -> Iterator[None]:
    """Raises TimeLimit in Python code after so many seconds, and again where that is caught."""

    def over(*_: Any) -> None:
        raise TimeLimit(limit)

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, as against a KeyboardInterrupt that a score raises by itself."""


def attempt(
    call: Callable[[], T],
    device: str = "cpu",
    step: Step = nullcontext,
) -> tuple[T | None, Failure | None]:
    """What a call gives, or None and why it gave nothing.

    The one place where failures of networks and scores are caught: the search continues without
    their numbers. A process that the call forks ends here.

    Args:
        call: code that may be somebody else's.
        device: where it computes, and may run out of memory.
        step: the context that it runs in.

    Raises:
        Interrupted: somebody wants the program to end.
    """
    here = os.getpid()
    try:
        with step():
            return call(), None
    except Interrupted:
        raise
    except TimeLimit as over:
        return None, too_slow(over.args[0])
    except BaseException as error:  # somebody else's code may raise anything
        return None, too_large(told(error), device) if out_of_memory(error) else Failure(
            told(error)
        )
    finally:
        if os.getpid() != here:
            os._exit(0)


def too_large(reason: str, device: str) -> Failure:
    """Memory ran out: a machine with more of it asks again."""
    return Failure(f"too large for this machine: {reason}", Bound("memory", memory_of(device)))


def too_slow(limit: float) -> Failure:
    """The time limit came first: a longer one asks again."""
    return Failure(f"took longer than the time limit of {limit:g} s", Bound("seconds", limit))


# Telling


LONGEST = 2000
"Characters that are kept of an error's text."


def told(error: BaseException) -> str:
    """Type and text of an error, and file and line of the author's code that it came from."""
    return f"{type(error).__name__}: {text_of(error)}{_place(error)}"


def text_of(value: object, write: Callable[[object], str] = str) -> str:
    """A value's text as any store and stream can hold it, whatever its author made of `str`."""
    try:
        # Characters, not the value itself: a subclass of str may be anything but a string.
        text = "".join(str.__iter__(write(value)))
    except BaseException:
        return "(its text cannot be written)"
    kept = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return kept.encode(errors="backslashreplace").decode().replace("\0", "\\0")


_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
_OURS = str(Path(untrained.__file__).parent)


def _place(error: BaseException) -> str:
    """` (mine.py:12)`: the innermost line outside libraries, and outside ours where there is."""
    lines = list(walk_tb(error.__traceback__))
    theirs = [
        at for at in lines if not at[0].f_code.co_filename.startswith((*_LIBRARIES, _OURS, "<"))
    ]
    ours = [at for at in lines[1:] if at[0].f_code.co_filename.startswith(_OURS)]
    for frame, line in reversed(theirs or ours):
        return f" ({_file(frame)}:{line})"
    return ""


def _file(frame: FrameType) -> str:
    """The frame's file below the folder that its package lies in: `untrained/images/probe.py`."""
    depth = str(frame.f_globals.get("__name__", "")).count(".") + 1
    parts = Path(frame.f_code.co_filename).parts
    depth += parts[-1] == "__init__.py"
    return text_of("/".join(parts[-depth:]))
