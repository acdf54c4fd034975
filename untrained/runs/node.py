"""What a worker of a Ray cluster does with a task: as this machine's workers do it.

A task is done by a worker process that the Ray worker starts and keeps, so that a network that
crashes is told from a worker or a node that is lost, and ends neither.
"""

import os
import pickle
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from filelock import FileLock

from untrained.files import write_whole
from untrained.runs.code import code_version, made_by, version_of
from untrained.runs.devices import VISIBLE
from untrained.runs.identity import digest
from untrained.runs.pool import Pool
from untrained.runs.sent import name_of
from untrained.runs.setup import ScoreSetup
from untrained.runs.tasks import Task, TileTask, TrainTask
from untrained.runs.workers import Answer, raised
from untrained.spaces import get_space
from untrained.urls import URL


class Shared(TypedDict):
    """What all tasks of an engine share: plain values, which any version can read."""

    versions: dict[str, str]
    "Of packages, and of Python."
    folder: str
    "The driver's working folder."
    images: list[Any]
    "The reference of the images' bytes; in a list, it is not fetched with every task."
    fingerprint: str
    "Of the images."
    time_limit: float | None


class Held(NamedTuple):
    """What this process keeps from task to task."""

    of: tuple[object, ...]
    pool: Pool


_held: list[Held] = []


def perform_on_node(shared: Shared, sent: bytes, code: str) -> Answer | str:
    """What becomes of a task, or why this node cannot do it; errors come back as values.

    Args:
        shared: of all tasks.
        sent: the task, pickled.
        code: digest of what its numbers depend on, as on the driver's machine.
    """
    try:
        task = loaded(sent)
        check_code(task, code)
        check_folder(task)
    except ValueError as error:
        return str(error)
    try:
        [(_, outcome)] = pool_of(shared)([task])
    except (OSError, MemoryError, ValueError) as error:
        return raised(error)
    return outcome


def loaded(sent: bytes) -> Task:
    """The task.

    Raises:
        ValueError: a module of it is missing here.
    """
    try:
        return pickle.loads(sent)
    except Exception as error:  # somebody else's module may raise anything
        raise ValueError(
            f"cannot load a task ({type(error).__name__}: {error}): expected the packages and the "
            f"working folder of the driver's machine on every node"
        ) from error


def check_code(task: Task, code: str) -> None:
    """Refuse code other than the driver's, with which numbers might differ.

    Raises:
        ValueError: such code.
    """
    if code_of(task) != code:
        raise ValueError(
            f"expected the code of the driver's machine for {name_of(task)}, got other files "
            f"of untrained or of a plug-in; install the same on every node, and start Ray again"
        )


def code_of(task: Task) -> str:
    """A digest of the code, and of files, that the task's numbers depend on."""
    if isinstance(task, TileTask):
        return _kernels_version()
    if isinstance(task, TrainTask):
        version = _training_version(task.space, task.architecture if task.space is None else "")
    else:
        version = _scores_version(task.space, task.setups)
    if task.space is None:
        return version
    return digest([version, made_by(get_space(task.space), task.architecture)])


@cache
def _kernels_version() -> str:
    return code_version(["kernels"])


@cache
def _training_version(space: str | None, name: str) -> str:
    parts = (name,) if space is None else (space, get_space(space))
    return version_of(*parts, training=True)


@cache
def _scores_version(space: str, setups: Sequence[ScoreSetup]) -> str:
    parts = (part for setup in setups for part in (setup.name, setup.score))
    training = any(setup.short_training is not None for setup in setups)
    return version_of(space, get_space(space), *parts, training=training)


def check_folder(task: Task) -> None:
    """Refuse a training that would not find how far it is, and would begin anew at every epoch.

    Raises:
        ValueError: the folder of its checkpoint is not here, or the library of its URL.
    """
    if isinstance(task, TileTask):
        return
    kept = task.checkpoint if isinstance(task, TrainTask) else task.warm
    if isinstance(kept, URL):
        kept.check_library()
    elif kept is not None and not kept.parent.is_dir():
        raise ValueError(
            f"expected the folder {kept.parent}, where trainings are kept, on every node, got "
            f"none; put --out on storage that all of them share"
        )


def pool_of(shared: Shared) -> Pool:
    """This process's worker, which it keeps as long as the images and the GPU stay the same."""
    asked = shared["fingerprint"], shared["time_limit"], os.environ.get(VISIBLE)
    if _held and _held[0].of != asked:
        release()
    if not _held:
        if Path(shared["folder"]).is_dir():
            os.chdir(shared["folder"])  # plug-ins are found there
        files = [images_file(shared).open("rb")]
        _held.append(Held(asked, Pool(1, files, shared["time_limit"])))
    return _held[0].pool


def release() -> None:
    """Ends this process's worker."""
    while _held:
        pool = _held.pop().pool
        pool.dismiss()
        for file in pool.images:
            file.close()


def images_file(shared: Shared) -> Path:
    """The images in a file, which all workers of a node map; the first of them writes it."""
    import ray  # which only nodes have

    path = images_path(shared["fingerprint"])
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            write_whole(path, ray.get(shared["images"][0]))
    return path


def images_path(fingerprint: str) -> Path:
    """Where this node keeps images: in the folder of Ray's session, with its logs."""
    import ray

    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir()) / context.get_session_name()
    return session / f"untrained-{fingerprint[:16]}.images"
