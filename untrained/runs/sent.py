"""How a task is sent to a node of a Ray cluster: its name, itself, and the function to do it."""

import pickle
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from untrained.runs.tasks import ScoreTask, Task, TileTask, TrainTask

PACKAGES = ("untrained", "torch", "numpy")
"Whose versions decide numbers."


def versions() -> dict[str, str]:
    """What every node must have too."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def name_of(task: Task) -> str:
    """What Ray's dashboard and logs call a task."""
    if isinstance(task, TileTask):
        return f"tile {task.number}"
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
    elif isinstance(task, ScoreTask) and task.warm is not None:
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
