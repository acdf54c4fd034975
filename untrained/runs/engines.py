"""Engines: where tasks are done. Each gives the same outcomes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch

from untrained.images import Images
from untrained.runs.tasks import Outcome, Task, perform


@runtime_checkable
class Engine(Protocol):
    """Does tasks in any order and hands out each outcome with the task's index."""

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]: ...


@contextmanager
def start_engine(workers: int, images: Images) -> Iterator[Engine]:
    """An engine of so many processes, or of this process if there are none.

    Every process computes on one thread: small networks scale better so, and sums are taken in
    one order whatever the number of workers.
    """
    if workers == 0:
        with _one_thread():
            yield lambda tasks: ((i, perform(task, images)) for i, task in enumerate(tasks))
        return
    # Forking a process that has run torch's threads can hang; a spawned one starts clean.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin_worker, (images,)
    )

    def engine(tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        futures = {pool.submit(_work, task): i for i, task in enumerate(tasks)}
        return ((futures[future], future.result()) for future in as_completed(futures))

    try:
        yield engine
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:  # after an interrupt, nobody wants what they are at
            process.terminate()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_images: Images | None = None  # what this worker process was given when it began


def _begin_worker(images: Images) -> None:
    global _images
    _images = images
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what an interrupt means
    threading.Thread(target=_die_with_driver, daemon=True).start()


def _die_with_driver() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(task: Task) -> Outcome:
    assert _images is not None
    return perform(task, _images)
