"""Worker processes: one as its driver has it, and what it does itself.

Driver and worker are joined by a pipe alone: no semaphores, no shared memory, no threads of the
driver. A worker is told a task at a time and answers when a step of it begins, and with its
outcome; so its driver knows what a worker that died or hangs was at.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from typing import IO, Any, NamedTuple

import torch

from untrained.images import Images
from untrained.images.mapping import with_pixels, without_pixels
from untrained.plugins import working_folder_last
from untrained.runs.devices import VISIBLE
from untrained.runs.failures import Failure, Step, alarm, too_large, too_slow
from untrained.runs.script import MAIN, Program, Script, main_left_alone
from untrained.runs.tasks import Given, Outcome, ScoreTask, Task, perform

# Forking a process that has run torch's threads can hang; a spawned one starts clean.
SPAWN = multiprocessing.get_context("spawn")


class Begun(NamedTuple):
    """A step of the task has begun, or the worker itself."""


class Raised(NamedTuple):
    """An error that ends the run: it is told to people, and no fault of a network."""

    kind: type[Exception]
    arguments: tuple[str | int, ...]


def raised(error: OSError | MemoryError | ValueError) -> Raised:
    """The error as it can be sent to another process."""
    if isinstance(error, OSError):
        numbered = error.errno is not None
        told = (error.errno, error.strerror, error.filename) if numbered else error.args
        return Raised(OSError, tuple(a if isinstance(a, int) else str(a) for a in told if a))
    return Raised(MemoryError if isinstance(error, MemoryError) else ValueError, (str(error),))


class Lost(NamedTuple):
    """A worker that ended, or was ended, in the midst of a task."""

    failure: Failure
    seconds: float
    "Since the last step began."
    at_start: bool = False
    "Before it took the task: no fault of the task."


Answer = Outcome | Raised | Lost


class Worker:
    """A process that does one task after another, one torch thread and a process group its own.

    Args:
        images: files of what tasks are done on.
        time_limit: seconds for each step of a measurement; None is without end.
        visible: the only GPU that it sees; None for those of its driver.
    """

    def __init__(self, images: "ImageFiles", time_limit: float | None, visible: str | None = None):
        self.time_limit = time_limit
        self.visible = visible
        self.begun: float | None = None
        self.device, self.timed = "cpu", False
        self.pipe, theirs = SPAWN.Pipe()
        handed = tuple(map(_descriptor, images))
        arguments = (theirs, handed, time_limit, Program.of_this_process())
        self.process = SPAWN.Process(target=_serve, args=arguments)
        with theirs, _clean_start(visible), main_left_alone():
            self.process.start()

    def give(self, task: Task) -> None:
        """Hands it a task.

        Raises:
            ValueError: a task that cannot be sent to a process.
        """
        self.device, self.timed = task.device, isinstance(task, ScoreTask)
        if self.begun is not None:
            self.begun = time.monotonic()
        try:
            self.pipe.send(task)
        except OSError:  # it is dead, which `answer` tells
            pass
        except Exception as error:
            raise ValueError(
                f"expected what can be sent to a worker process, got {type(error).__name__}: "
                f"{error}; define scores at the top of a module, or try --workers 0"
            ) from error

    def answer(self) -> Answer | None:
        """What has become of its task; None as long as it is at it."""
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if not isinstance(said, Begun):
                    return said
                self.begun = time.monotonic()
        except Exception:  # the pipe is closed, or somebody wrote into it
            self.process.join(1)
            return self._lost()
        if not self.process.is_alive():
            return self._lost()
        limit = self.time_limit
        if limit is not None and self.timed and self.seconds > limit + GRACE:
            return self._lost(too_slow(limit))
        return None

    @property
    def seconds(self) -> float:
        """Since its last step began."""
        return time.monotonic() - self.begun if self.begun else 0.0

    def _lost(self, failure: Failure | None = None) -> Lost:
        lost = Lost(failure or self._end_of_itself(), self.seconds, self.begun is None)
        self.end()
        return lost

    def _end_of_itself(self) -> Failure:
        code = self.process.exitcode
        if code is None:
            return Failure("its worker process closed its connection")
        if code == -signal.SIGKILL:  # by the system, which needs its memory
            return too_large("its worker process was killed (SIGKILL)", self.device)
        if code < 0:
            return Failure(f"its worker process crashed ({signal.Signals(-code).name})")
        return Failure(f"its worker process ended with exit code {code}")

    def end(self) -> None:
        """Kills it, and what it forked."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


GRACE = 1.0
"Seconds that a worker is given to end a step by itself, as it can where Python code runs."


ImageFiles = Sequence[IO[bytes]]
"""What tasks are done on, in a file without a name; and the file that the pixels of images are
mapped from, where that is another."""


@contextmanager
def images_files(given: Given) -> Iterator[ImageFiles]:
    """What every worker maps, without shared memory; pixels that are in a file are not copied.

    Raises:
        OSError: there is no space for it.
    """
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(prefix="untrained"))
        files: list[IO[bytes]] = [file]
        if isinstance(given, Images) and given.pixel_file is not None:
            with suppress(OSError):  # just removed, but mapped here: copied as from memory
                files.append(stack.enter_context(given.pixel_file.open("rb")))
        try:
            if isinstance(given, Images) and len(files) == 2:
                given = without_pixels(given)
            torch.save(given, file)
            file.flush()
        except (OSError, RuntimeError) as error:  # torch's writer has its own
            raise OSError(
                f"cannot write the inputs for worker processes to {tempfile.gettempdir()}: set "
                f"TMPDIR to a folder with more space, or try --workers 0"
            ) from error
        yield files


class _descriptor:
    """A file that a process which is started inherits."""

    def __init__(self, file: IO[bytes]):
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (reduction.DupFd(self.file.fileno()),)


def _inherited(descriptor: Any) -> int:
    return int(descriptor.detach())


@contextmanager
def _clean_start(visible: str | None) -> Iterator[None]:
    """A process that is started here imports nothing from the working folder but plug-ins.

    It sees one GPU if one is named. Neither does an interrupt reach it before it can ignore one.
    """
    changes = {"PYTHONSAFEPATH": "1"} | ({} if visible is None else {VISIBLE: visible})
    path, before = sys.path, {name: os.environ.get(name) for name in changes}
    sys.path = working_folder_last(path)
    os.environ.update(changes)
    resource_tracker.ensure_running()  # a process too; it would lift the block
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        yield
    finally:
        sys.path = path
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


_ENDS = (signal.SIGINT, signal.SIGTERM)

# What a worker does itself


def _serve(
    pipe: Connection, descriptors: Sequence[int], time_limit: float | None, program: Program
) -> None:
    sys.modules[MAIN] = Script(program)
    os.environ.pop("PYTHONSAFEPATH", None)  # what scores start is theirs
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    threading.Thread(target=_die_with_driver, daemon=True).start()
    if sys.platform == "linux":  # even where a loop in C never lets that thread run
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(2, 1)  # the output is the driver's
    torch.set_num_threads(1)
    given = _mapped(*(f"/dev/fd/{descriptor}" for descriptor in descriptors))
    for descriptor in descriptors:
        os.close(descriptor)

    @contextmanager
    def step() -> Iterator[None]:
        _say(pipe, Begun())
        with nullcontext() if time_limit is None else alarm(time_limit):
            yield

    _say(pipe, Begun())
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):  # the driver has ended
            os._exit(0)  # whatever threads scores have left
        except Exception as error:  # somebody else's plug-in may raise anything
            _say(pipe, raised(ValueError(f"a worker cannot load what it is asked for: {error}")))
            continue
        _say(pipe, _done(task, given, step))


_PR_SET_PDEATHSIG = 1


def _mapped(file: str, pixels: str | None = None) -> Any:
    given = torch.load(file, mmap=True, weights_only=False)
    return given if pixels is None else with_pixels(given, pixels)


def _say(pipe: Connection, said: Any) -> None:
    try:
        pipe.send(said)
    except OSError:  # the driver has ended, or a score has closed the pipe
        os._exit(1)


def _done(task: Task, given: Given, step: Step) -> Outcome | Raised:
    try:
        return perform(task, given, step)
    except (OSError, MemoryError, ValueError) as error:
        return raised(error)


def _die_with_driver() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
