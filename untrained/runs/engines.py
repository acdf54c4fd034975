"""Engines: where tasks are done. Each gives the same outcomes."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch

from untrained.runs.devices import shared_devices
from untrained.runs.failures import Interrupted, Step, alarm
from untrained.runs.pool import Pool
from untrained.runs.ray_config import RayConfig
from untrained.runs.tasks import Given, Outcome, Task, perform
from untrained.runs.workers import images_files


@runtime_checkable
class Engine(Protocol):
    """Does tasks in any order and hands out each outcome with the task's index.

    Tasks may be added to the end of the sequence whenever an outcome has been handed out.
    """

    @property
    def lanes(self) -> int:
        """Tasks that are done at a time, as things are now; one at least."""

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]: ...


@contextmanager
def start_engine(
    workers: int,
    given: Given,
    time_limit: float | None = None,
    device: str = "cpu",
    ray: RayConfig | None = None,
) -> Iterator[Engine]:
    """An engine of so many processes, of this process if there are none, or of a Ray cluster.

    Every process computes on one thread: small networks scale better so, and sums are taken in
    one order whatever the number of workers. A network that crashes its worker or takes longer
    than the limit is a failure of its own. In this process, a crash ends everything, and the limit
    ends what Python runs, not what a loop in C does.

    Args:
        workers: processes.
        given: what tasks are done on.
        time_limit: seconds for each step of a measurement: building a network, a training before
            scores, a score or what several view together. None is without end.
        device: where tasks compute; of `cuda`, processes share what GPUs there are.
        ray: the cluster; None for this machine.

    Raises:
        OSError, ValueError: no such cluster, or no space for what is given.
    """
    if ray is not None:
        from untrained.runs.ray_engine import start_ray_engine  # with what clusters alone need

        with start_ray_engine(ray, workers, given, time_limit, device) as engine:
            yield engine
        return
    if workers == 0:
        if time_limit is not None and not _in_main_thread():
            raise ValueError(
                f"time_limit: expected None without workers and outside the main thread, where "
                f"nothing can be interrupted, got {time_limit!r}; try workers=1"
            )
        step: Step = nullcontext if time_limit is None else partial(alarm, time_limit)
        with one_thread(), interruptible():
            yield Serial(given, step)
        return
    with images_files(given) as files:
        pool = Pool(workers, files, time_limit, shared_devices(device))
        try:
            yield pool
        finally:
            pool.dismiss()


# In this process


@dataclass(frozen=True)
class Serial:
    """An engine that does one task after another, here."""

    given: Given
    step: Step
    lanes: ClassVar = 1

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes in order."""
        for index, task in enumerate(tasks):
            yield index, perform(task, self.given, self.step)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch, as in every worker process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises what no score is taken for; other handlers than Python's own stay."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _in_main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise Interrupted

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
