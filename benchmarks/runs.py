"""What a run costs beside its numbers: start-up, a sweep, the driver, the default search.

    python benchmarks/runs.py sweep [--architectures 15625]
    python benchmarks/runs.py driver [--searchers random local --space darts --trials 500 20000]
    python benchmarks/runs.py startup [--workers 2]
    python benchmarks/runs.py search [--seeds 5]

Beside wall seconds, which others on the machine lengthen, stand processor seconds of the driver
and its workers together.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cyclopts
from driven import opened
from rich.console import Console
from rich.table import Table

from untrained.images import load_images
from untrained.runs.config import RunConfig
from untrained.runs.driver import run
from untrained.runs.engines import start_engine
from untrained.runs.searching import search as search_in
from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask
from untrained.searchers import SEARCHERS
from untrained.settings import Setting
from untrained.spaces import get_space

app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))


class Spent(NamedTuple):
    """Seconds of a run, or of another call."""

    wall: float
    driver: float
    "Processor seconds of this process."
    workers: float
    "Processor seconds of those that it started."


def spent(call: Callable[[], object]) -> Spent:
    """Those of a call, the start of processes included."""
    wall, driver, workers = time.perf_counter(), *_processor()
    call()
    after = _processor()
    return Spent(time.perf_counter() - wall, after[0] - driver, after[1] - workers)


def _processor() -> tuple[float, float]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, children = (one.ru_utime + one.ru_stime for one in used)
    return own, children


@app.command
def sweep(*, architectures: int = 15_625, space: str = "nasbench201", workers: int = 2) -> None:
    """Networks a second by size alone.

    Parameters
    ----------
    architectures
        How many, drawn from all of the space.
    space
        Theirs; a finite one.
    workers
        Processes.
    """
    drawn = random.Random(0).sample(list(get_space(space).enumerate()), architectures)
    with tempfile.TemporaryDirectory() as out:
        config = RunConfig(
            space=space,
            searcher="given",
            options={"architectures": " ".join(map(str, drawn))},
            scores=("parameters", "macs"),
            draws=1,
            workers=workers,
            out=Path(out),
        )
        found = spent(partial(run, config))
    processor = found.driver + found.workers
    print(
        f"{architectures:,} of {space}: {architectures / found.wall:.0f} a second of wall time, "
        f"{architectures / processor:.0f} a second of the processor "
        f"(driver {found.driver:.1f} s, workers {found.workers:.1f} s)"
    )


@app.command
def driver(
    *,
    searchers: tuple[str, ...] = tuple(SEARCHERS),
    space: str = "darts",
    trials: tuple[int, ...] = (500, 2000, 8000),
    proposals: int = 8,
) -> None:
    """Milliseconds of the processor that the driver needs for a trial whose score costs nothing.

    Parameters
    ----------
    searchers
        A row each. The pruning search decides itself how long it is, and has one figure.
    space
        On which they search.
    trials
        Lengths of the search, a column each; of the first rung in successive halving.
    proposals
        Architectures a batch.
    """
    table = Table("searcher", *(f"{count:,}" for count in trials), title=f"ms a trial on {space}")
    for searcher in searchers:
        row = []
        for count in trials[:1] if searcher == "pruning" else trials:
            with tempfile.TemporaryDirectory() as out:
                row.append(_driving(searcher, space, count, proposals, Path(out)))
            print(f"{searcher}, {count:,}: {row[-1]:.2f} ms a trial", flush=True)
        table.add_row(searcher, *(f"{each:.2f}" for each in row))
    Console().print(table)


def _driving(searcher: str, space: str, count: int, proposals: int, out: Path) -> float:
    """Milliseconds a trial of a search whose tasks are done at once."""
    options = _options(searcher, space, count)
    with opened(searcher, space, options, out, proposals=proposals) as session:
        began = time.process_time()
        search_in(session)
        spent = time.process_time() - began
        return 1000 * spent / len(session.store.trials(session.id))


def _options(searcher: str, space: str, count: int) -> dict[str, Setting]:
    """What makes a searcher try so many architectures."""
    if searcher == "pruning":
        return {}
    if searcher == "given":
        rng = random.Random(0)
        drawn = (str(get_space(space).sample(rng)) for _ in range(count))
        return {"architectures": " ".join(drawn)}
    if searcher == "surrogate":  # as by default, the last three groups are predicted
        return {"evaluations": count, "explore": max(count - 60, 1)}
    return {"evaluations": count}


@app.command
def startup(*, workers: int = 2, repeats: int = 5) -> None:
    """Seconds until a command has said something and workers have done a first task.

    The task builds a network of the smallest scale, to count its parameters. Shown is the least of
    several; a worker that only imports is what the start of a worker comes to.

    Parameters
    ----------
    workers
        Processes.
    repeats
        Of each row.
    """
    images, space = load_images("digits"), get_space("nasbench201")
    setup = make_setup("parameters", space, {"scale": "thin"})
    texts = [str(space.sample(random.Random(k))) for k in range(workers)]
    tasks = [ScoreTask("nasbench201", text, (setup,), (0,), "cpu") for text in texts]

    def python(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    def pool() -> None:
        with start_engine(workers, images) as engine:
            assert len(list(engine(tasks))) == workers

    command = partial(python, "-m", "untrained")
    table = Table("", "wall, s", "processor, s")
    for name, call in (
        ("untrained --version", partial(command, "--version")),
        ("untrained --help", partial(command, "--help")),
        ("untrained search --dry-run", partial(command, "search", "--dry-run")),
        ("import torch", partial(python, "-c", "import torch")),
        ("imports of a worker", partial(python, "-c", "import untrained.runs.workers")),
        (f"{workers} workers and a task each", pool),
    ):
        found = [spent(call) for _ in range(repeats)]
        wall, processor = min(s.wall for s in found), min(s.workers for s in found)
        table.add_row(name, f"{wall:.2f}", f"{processor:.2f}")
    Console().print(table)


@app.command
def search(*, seeds: int = 5, images: str = "cifar10", workers: int = 2) -> None:
    """Seconds of the default search, seed by seed, and their medians.

    Parameters
    ----------
    seeds
        Searches.
    images
        On which.
    workers
        Processes.
    """
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as out:
            config = RunConfig(images=images, seed=seed, workers=workers, out=Path(out))
            found.append(spent(partial(run, config)))
        print(f"seed {seed}: {_shown(found[-1])}", flush=True)
    print(f"median: {_shown(Spent(*map(median, zip(*found, strict=True))))}")


def _shown(seconds: Spent) -> str:
    return (
        f"{seconds.wall:.1f} s of wall time, {seconds.driver + seconds.workers:.1f} s of the "
        f"processor (driver {seconds.driver:.1f}, workers {seconds.workers:.1f})"
    )


if __name__ == "__main__":
    app()
