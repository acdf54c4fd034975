"""An engine of a Ray cluster: what its workers were at when they were lost is sent again."""

import io
import logging
import os
import pickle
import platform
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch

from untrained.images import Images
from untrained.runs.cluster import LEAST_STORE, connected
from untrained.runs.failures import too_large
from untrained.runs.node import Shared, code_of, images_path
from untrained.runs.pool import lacks_memory
from untrained.runs.ray_config import RayConfig
from untrained.runs.tasks import Outcome, Task, TrainTask, unmeasured
from untrained.runs.workers import Answer, Lost, Raised

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"Seconds after which the cluster is asked for its size, even if no task has ended."
QUEUED = 2
"Tasks that are sent, as a multiple of those that the cluster can do at a time."
MOST_CRASHES = 5
"Times that the Ray worker of a task crashes, on nodes that live on, until the run ends."
PACKAGES = ("untrained", "torch", "numpy")
"Whose versions decide numbers."


@contextmanager
def start_ray_engine(
    config: RayConfig, workers: int, images: Images, time_limit: float | None, device: str
) -> Iterator["RayEngine"]:
    """An engine of a cluster; the images are in its object store once.

    Raises:
        OSError, ValueError: as `connected`.
    """
    content = io.BytesIO()
    torch.save(images, content)
    pixels = np.frombuffer(content.getbuffer(), np.uint8)
    with connected(config, workers, max(LEAST_STORE, 2 * pixels.nbytes)) as ray:
        shared: Shared = {
            "versions": versions(),
            "folder": os.getcwd(),
            "images": [ray.put(pixels)],
            "fingerprint": images.fingerprint,
            "time_limit": time_limit,
        }
        del content, pixels
        try:
            yield RayEngine(ray, config, shared, device)
        finally:
            images_path(images.fingerprint).unlink(missing_ok=True)  # if this is a node too


def versions() -> dict[str, str]:
    """What every node must have too."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


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

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes as they come; at the end, of tasks that lacked memory, one a node at a time."""
        again = []
        for index, answer in self.spread(tasks, range(len(tasks))):
            if isinstance(answer, Lost | Raised) or lacks_memory(answer):
                again.append(index)
            else:
                yield index, answer
        for index, answer in self.spread(tasks, again, alone=True):
            yield index, settled(tasks[index], answer)

    def spread(
        self, tasks: Sequence[Task], indices: Iterable[int], *, alone: bool = False
    ) -> Iterator[tuple[int, Answer]]:
        """Each task's answer as it comes; `alone`, of one task a node at a time."""
        waiting, flying = deque(indices), dict[Any, int]()
        crashes: Counter[int] = Counter()
        try:
            while waiting or flying:
                room = self.room(alone=alone)
                while waiting and len(flying) < room:
                    index = waiting.popleft()
                    flying[self.send(tasks[index], alone=alone)] = index
                for reference in self.landed(flying):
                    index = flying.pop(reference)
                    answer = self.answer(reference)
                    if isinstance(answer, Gone):
                        crashes[index] += answer.crashed
                        if crashes[index] == MOST_CRASHES:
                            raise crashing(tasks[index], answer)
                        waiting.appendleft(index)
                    elif isinstance(answer, Raised) and answer.kind is not MemoryError:
                        raise answer.kind(*answer.arguments)
                    else:
                        yield index, answer
        finally:
            for reference in flying:
                self.ray.cancel(reference, force=True)

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

    def landed(self, flying: dict[Any, int]) -> list[Any]:
        """The references of what has come back, after a while or sooner."""
        first, _ = self.ray.wait([*flying], num_returns=1, timeout=PATIENCE)
        if not first:
            return []
        found, _ = self.ray.wait([*flying], num_returns=len(flying), timeout=0)
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
        except (
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
            errors.ObjectLostError,
        ) as error:
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
        able = [
            min(
                int(node["Resources"].get(name, 0) / amount) for name, amount in self.needs.items()
            )
            for node in self.ray.nodes()
            if node["Alive"]
        ]
        return Sizes(sum(able), sum(each > 0 for each in able))


class Sizes(NamedTuple):
    """How much a cluster can do at a time."""

    tasks: int
    nodes: int
    "Those that can do any."


def settled(task: Task, answer: Answer) -> Outcome:
    """What a task comes to that was done on a node by itself.

    Raises:
        MemoryError: a training that is too large for any node; a larger one resumes it.
    """
    if isinstance(answer, Raised):
        raise answer.kind(*answer.arguments)
    if not isinstance(answer, Lost):
        return answer
    if isinstance(task, TrainTask):
        raise MemoryError(f"training {task.architecture}: {answer.failure.reason}")
    return [unmeasured(task, answer.failure, answer.seconds)] * len(task.draws)


def crashing(task: Task, answer: Gone) -> OSError:
    """What ends a run whose task no Ray worker survives."""
    return OSError(
        f"the Ray worker of {task.architecture} crashed {MOST_CRASHES} times, though its node "
        f"lives on: {answer.reason}; everything measured is kept: give the same command again"
    )


def line(error: Exception) -> str:
    """The error's text in one line, without what Ray advises after its first sentence."""
    return " ".join(str(error).split()).partition(". ")[0][:300]


def name_of(task: Task) -> str:
    """What Ray's dashboard and logs call a task."""
    if isinstance(task, TrainTask):
        return f"{task.architecture} training, epoch {task.until}"
    return f"{task.architecture} {', '.join(setup.name for setup in task.setups)}"


def pickled(task: Task) -> bytes:
    """The task as it is sent, with paths that hold on every node.

    Raises:
        ValueError: a task that cannot be sent.
    """
    if isinstance(task, TrainTask):
        weights = None if task.weights is None else task.weights.absolute()
        task = replace(task, checkpoint=task.checkpoint.absolute(), weights=weights)
    elif task.warm is not None:
        task = replace(task, warm=task.warm.absolute())
    try:
        return pickle.dumps(task)
    except Exception as error:
        raise ValueError(
            f"expected what can be sent to a node, got {type(error).__name__}: {error}; define "
            f"scores at the top of a module, or leave out --engine"
        ) from error


def entry() -> Callable[[Any, bytes, str], Any]:
    """The function that nodes are sent.

    It is made here, so that Ray sends its code and not the name of a module, which nodes of
    another version might not have.
    """

    def perform(shared: Any, sent: bytes, code: str) -> Any:
        import os
        import platform
        import sys
        from importlib.metadata import PackageNotFoundError, version

        import ray

        node = f"node {ray.util.get_node_ip_address()} of the cluster"
        folder = shared["folder"]
        if folder not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            # Ray puts it first, where any file in it would stand in for a module of its name.
            sys.path[:] = [each for each in sys.path if each not in ("", folder)] + [folder]
        for name, expected in shared["versions"].items():
            try:
                found = platform.python_version() if name == "Python" else version(name)
            except PackageNotFoundError:
                found = "none"
            if found != expected:
                return (
                    f"{node}: expected {name} {expected}, as on this machine, got {found}; "
                    f"install the same on every node, and start Ray there again"
                )
        # Else every process that is spawned there would import Ray's own program.
        vars(sys.modules["__main__"]).pop("__file__", None)
        from untrained.runs.node import perform_on_node

        answer = perform_on_node(shared, sent, code)
        return f"{node}: {answer}" if isinstance(answer, str) else answer

    return perform
