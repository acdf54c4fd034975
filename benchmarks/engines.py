"""What an engine adds to a task, and how well it keeps two workers at work.

    python benchmarks/engines.py [--tasks 100] [--rounds 3] [--pause 1]

Engines take turns in one process, on tasks that compute nothing, after all workers have begun.
Shown are the least milliseconds of several rounds: those of a task, from end to end; with one
worker, how many more that is than in this process; and what the driver itself computes for a task,
whose inverse is how many tasks a second it can hand out at most. Efficiency is that of two workers
at tasks that wait. Ray's rows are left out where Ray is not installed.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import NamedTuple

import cyclopts
from rich.console import Console
from rich.table import Table

from untrained.images import load_images
from untrained.runs.engines import Engine, start_engine
from untrained.runs.ray_config import RayConfig
from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask
from untrained.spaces import get_space

SPACE = "idle:network"


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    driver: float
    "Of the processor, in this process."


def main(*, tasks: int = 100, rounds: int = 3, pause: float = 1.0) -> None:
    """Prints a row for each engine.

    Parameters
    ----------
    tasks
        Of each round.
    rounds
        Of each engine.
    pause
        Seconds that a task waits where efficiency is measured.
    """
    images = load_images("digits")
    waits = tasks_of(10, pause)
    with ExitStack() as stack:
        engines = {
            (name, workers): stack.enter_context(start_engine(workers, images, ray=ray))
            for name, workers, ray in asked()
        }
        two = {key: engine for key, engine in engines.items() if key[1] == 2}
        busy = least(two, waits, rounds)  # in the first of which workers begin
        found = least(engines, tasks_of(tasks, 0.0), rounds)
    serial = found["serial", 0].wall
    table = Table("engine", "workers", "ms a task", "more", "driver, ms", "efficiency")
    for (name, workers), spent in found.items():
        efficiency = ""
        if (name, workers) in busy:
            efficiency = f"{len(waits) * pause / 2 / busy[name, workers].wall:.1%}"
        each = [
            1e3 * seconds / tasks for seconds in (spent.wall, spent.wall - serial, spent.driver)
        ]
        more = f"{each[1]:.2f}" if workers == 1 else ""
        table.add_row(name, str(workers), f"{each[0]:.2f}", more, f"{each[2]:.2f}", efficiency)
    Console().print(table)


def asked() -> list[tuple[str, int, RayConfig | None]]:
    """Name, workers and cluster of each engine.

    Ray's share the two cores that the first of them starts: a task that takes both works alone.
    """
    found: list[tuple[str, int, RayConfig | None]] = [
        ("serial", 0, None), ("processes", 1, None), ("processes", 2, None),
    ]  # fmt: skip
    if find_spec("ray") is not None:
        found += [("ray", 2, RayConfig()), ("ray", 1, RayConfig(cores=2.0))]
    return found


def tasks_of(count: int, pause: float) -> list[ScoreTask]:
    """Tasks that wait for so long."""
    setup = make_setup("idle:Idle", get_space(SPACE), {"pause": pause, "weights": "torch_default"})
    return [ScoreTask(SPACE, f"width={k + 1}", (setup,), (0,), "cpu") for k in range(count)]


def least(
    engines: dict[tuple[str, int], Engine], tasks: Sequence[ScoreTask], rounds: int
) -> dict[tuple[str, int], Spent]:
    """The least seconds of each engine, which take turns."""
    found: dict[tuple[str, int], list[Spent]] = {key: [] for key in engines}
    for _ in range(rounds):
        for key, engine in engines.items():
            wall, driver = time.perf_counter(), time.process_time()
            assert len(list(engine(tasks))) == len(tasks)
            spent = Spent(time.perf_counter() - wall, time.process_time() - driver)
            found[key].append(spent)
    return {key: Spent(*map(min, zip(*each, strict=True))) for key, each in found.items()}


if __name__ == "__main__":
    cyclopts.run(main)
