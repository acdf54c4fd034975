"""An engine of a Ray cluster: what its workers were at when they were lost is sent again."""

import io
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from untrained.runs.cluster import LEAST_STORE, connected
from untrained.runs.failures import too_large
from untrained.runs.flights import Flights
from untrained.runs.node import Shared, code_of, images_path
from untrained.runs.pool import lacks_memory
from untrained.runs.ray_config import RayConfig
from untrained.runs.sent import entry, name_of, pickled, versions
from untrained.runs.tasks import (
    Given,
    Outcome,
    ScoreTask,
    Task,
    TileTask,
    TrainTask,
    lost_tile,
    unmeasured,
)
from untrained.runs.workers import Answer, Lost, Raised

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"Seconds after which the cluster is asked for its size, even if no task has ended."
QUEUED = 2
"Tasks that are sent, as a multiple of those that the cluster can do at a time."
MOST_CRASHES = 5
"Times that the Ray worker of a task crashes, on nodes that live on, until the run ends."


@contextmanager
def start_ray_engine(
    config: RayConfig, workers: int, given: Given, time_limit: float | None, device: str
) -> Iterator["RayEngine"]:
    """An engine of a cluster; what is given is in its object store once.

    Raises:
        OSError, ValueError: as `connected`.
    """
    content = io.BytesIO()
    torch.save(given, content)
    pixels = np.frombuffer(content.getbuffer(), np.uint8)
    with connected(config, workers, max(LEAST_STORE, 2 * pixels.nbytes)) as ray:
        shared: Shared = {
            "versions": versions(),
            "folder": os.getcwd(),
            "images": [ray.put(pixels)],
            "fingerprint": given.fingerprint,
            "time_limit": time_limit,
        }
        del content, pixels
        kept = images_path(given.fingerprint)  # if this is a node too
        try:
            yield RayEngine(ray, config, shared, device)
        finally:
            kept.unlink(missing_ok=True)


class Gone(NamedTuple):
    """What a task comes to whose worker or node is lost, through no fault of a network."""

    crashed: bool
    "The worker alone; its node lives on."
    reason: str


class RayEngine:
    """An engine of a Ray cluster, to which nodes may come and from which they may go.

    Only so many tasks are sent as keep every worker at work, so that neither this process nor the
    cluster holds all of them. A task whose worker or node is lost is sent again; what a network
    comes to is its result.

    Args:
        ray: the module, connected.
        config: what each task is given.
        shared: what all tasks share.
        device: where they compute.
    """

    def __init__(self, ray: Any, config: RayConfig, shared: Shared, device: str):
        self.ray = ray
        self.device = device
        self.shared = ray.put(shared)
        self.needs = {"CPU": config.cores} | ({"GPU": config.gpus} if device == "cuda" else {})
        self.perform = ray.remote(entry())
        self.sizes = 0.0, Sizes(0, 0)
        self.warned = False

    @property
    def lanes(self) -> int:
        """What the nodes that live can do at a time; one where none can, as it waits for one."""
        return max(1, self.sizes_now().tasks)

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes as they come; of tasks that lacked memory, once no other is left, one a node at
        a time."""
        done = 0
        while done < len(tasks):
            again = []
            for index, answer in self.spread(tasks, done):
                if isinstance(answer, Lost | Raised) or lacks_memory(answer):
                    again.append(index)
                else:
                    yield index, answer
            done = len(tasks)
            lacking = [tasks[index] for index in again]
            for index, answer in self.spread(lacking, alone=True):
                yield again[index], settled(lacking[index], answer)

    def spread(
        self, tasks: Sequence[Task], first: int = 0, *, alone: bool = False
    ) -> Iterator[tuple[int, Answer]]:
        """The answer of each task from the first on as it comes; `alone`, of one a node at a time.

        Where some workers have nothing left to do, tasks that take far longer than all others
        are sent once more: their node may be ill. The first answer counts.
        """
        waiting, known, flights = deque[int](), first, Flights()
        crashes: Counter[int] = Counter()
        try:
            while known < len(tasks) or waiting or flights:
                waiting.extend(range(known, len(tasks)))
                known = len(tasks)
                room = self.room(alone=alone)
                while waiting and len(flights) < room:
                    index = waiting.popleft()
                    flights.begin(self.send(tasks[index], alone=alone), index)
                if not waiting and not alone:
                    for index in self.stragglers(tasks, flights):
                        flights.begin(self.send(tasks[index], alone=False), index)
                for reference in self.landed(flights):
                    if reference not in flights.under_way:  # another of its task came first
                        continue
                    index = flights.land(reference)
                    answer, others = self.answer(reference), flights.others(index)
                    if isinstance(answer, Gone):
                        crashes[index] += answer.crashed
                        if crashes[index] == MOST_CRASHES:
                            raise crashing(tasks[index], answer)
                        if not others:
                            waiting.appendleft(index)
                        continue
                    if isinstance(answer, Raised) and answer.kind is not MemoryError:
                        raise answer.kind(*answer.arguments)
                    for other in others:
                        flights.forget(other)
                        self.ray.cancel(other, force=True)
                    yield index, answer
        finally:
            for reference in flights.under_way:
                self.ray.cancel(reference, force=True)

    def stragglers(self, tasks: Sequence[Task], flights: Flights) -> list[int]:
        """Tasks to be sent a second time, no more than there are workers with nothing to do.

        A training that is kept in a file is not: two of it would wait for one another.
        """
        _, sizes = self.sizes
        late = [
            index
            for index in flights.late()
            if isinstance(task := tasks[index], ScoreTask) and task.warm is None
        ]
        return late[: max(0, sizes.tasks - len(flights))]

    def send(self, task: Task, *, alone: bool) -> Any:
        """The reference of what a task will come to."""
        remote = self.perform.options(
            name=name_of(task),
            num_cpus=self.needs["CPU"],
            num_gpus=self.needs.get("GPU", 0),
            max_retries=0,  # here, where lost nodes are told from networks that crash
            scheduling_strategy="SPREAD" if alone else "DEFAULT",
        )
        return remote.remote(self.shared, pickled(task), code_of(task))

    def landed(self, flights: Flights) -> list[Any]:
        """The references of what has come back, after a while or sooner."""
        asked = list(flights.under_way)
        first, _ = self.ray.wait(asked, num_returns=1, timeout=PATIENCE)
        if not first:
            return []
        found, _ = self.ray.wait(asked, num_returns=len(asked), timeout=0)
        return found

    def answer(self, reference: Any) -> Answer | Gone:
        """What has become of a task.

        Raises:
            ValueError: a node cannot do it as this machine would.
            OSError: Ray could not begin it.
        """
        errors = self.ray.exceptions
        try:
            found = self.ray.get(reference)
        except errors.OutOfMemoryError:
            return Lost(
                too_large("Ray killed its worker to keep its node alive", self.device), 0.0
            )
        except errors.WorkerCrashedError as error:
            return Gone(True, line(error))
        except (errors.NodeDiedError, errors.LocalRayletDiedError) as error:
            return Gone(False, line(error))
        except errors.ObjectLostError as error:
            return Gone(False, line(error))
        except errors.RayError as error:
            raise OSError(
                f"Ray could not do a task: {line(error)}; everything measured is kept: give the "
                f"same command again"
            ) from error
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def room(self, *, alone: bool) -> int:
        """Tasks to be under way now; one at least, so that Ray knows that nodes are wanted."""
        asked, sizes = self.sizes
        if time.monotonic() > asked + PATIENCE:
            sizes = self.sizes_now()
            self.sizes = time.monotonic(), sizes
            if not sizes.tasks and not self.warned:
                needs = " and ".join(f"{amount:g} {name}" for name, amount in self.needs.items())
                logger.warning("no node of the cluster has %s for a task: waiting for one", needs)
                self.warned = True
        return max(1, sizes.nodes if alone else QUEUED * sizes.tasks)

    def sizes_now(self) -> "Sizes":
        """How much the living nodes can do at a time."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        able = [
            min(
                fitting(float(has.get(name, 0)), amount, name)
                for name, amount in self.needs.items()
            )
            for has in nodes
        ]
        return Sizes(sum(able), sum(each > 0 for each in able))


class Sizes(NamedTuple):
    """How much a cluster can do at a time."""

    tasks: int
    nodes: int
    "Those that can do any."


def fitting(has: float, amount: float, name: str) -> int:
    """How many tasks fit into what a node has; a share of a GPU is a share of one.

    Example:
        >>> fitting(2.0, 0.4, "CPU"), fitting(2.0, 0.4, "GPU"), fitting(3.0, 2.0, "GPU")
        (5, 4, 1)
    """
    whole = name == "GPU" and amount < 1
    return int(has) * fitting(1.0, amount, "") if whole else int(has / amount + 1e-9)


def settled(task: Task, answer: Answer) -> Outcome:
    """What a task comes to that was done on a node by itself.

    Raises:
        MemoryError, OSError: a training, or a tile, that no node can do; a larger one resumes it.
    """
    if isinstance(answer, Raised):
        raise answer.kind(*answer.arguments)
    if not isinstance(answer, Lost):
        return answer
    if isinstance(task, TrainTask):
        raise MemoryError(f"training {task.architecture}: {answer.failure.reason}")
    if isinstance(task, TileTask):
        raise lost_tile(task, answer.failure)
    return [unmeasured(task, answer.failure, answer.seconds)] * len(task.draws)


def crashing(task: Task, answer: Gone) -> OSError:
    """What ends a run whose task no Ray worker survives."""
    return OSError(
        f"the Ray worker of {name_of(task)} crashed {MOST_CRASHES} times, though its node "
        f"lives on: {answer.reason}; everything measured is kept: give the same command again"
    )


def line(error: Exception) -> str:
    """The error's text in one line, without what Ray advises after its first sentence."""
    return " ".join(str(error).split()).partition(". ")[0][:300]
