"""How well workers are kept at work by batches, and by an asynchronous search.

    python benchmarks/asynchronous.py [--workers 8] [--evaluations 320] [--spread 0.7]

Stand-ins for workers sleep, for a time that differs from architecture to architecture: log-normal,
with a standard deviation of the logarithm of `spread`. All else is real: the searcher, the store,
and what the driver computes. Shown is the share of their time that workers were at work.
"""

import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import cyclopts
from driven import made_up, opened
from rich.console import Console
from rich.table import Table

from untrained.runs.readings import Measurement
from untrained.runs.searching import search
from untrained.runs.tasks import Outcome, ScoreTask, Task

app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))


class Sleepers:
    """An engine of so many workers that sleep."""

    def __init__(self, workers: int, median: float, spread: float):
        self.lanes, self.median, self.spread = workers, median, spread
        self.at_work = 0.0
        "Seconds, summed over workers."

    def length(self, architecture: str) -> float:
        """Seconds that a task takes."""
        return self.median * math.exp(random.Random(architecture).gauss(0, self.spread))

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        begun, running = 0, dict[Future[None], int]()
        with ThreadPoolExecutor(self.lanes) as threads:
            while running or begun < len(tasks):
                while begun < len(tasks) and len(running) < self.lanes:
                    seconds = self.length(_text(tasks[begun]))
                    self.at_work += seconds
                    running[threads.submit(time.sleep, seconds)] = begun
                    begun += 1
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(done)
                    yield index, [[Measurement(made_up(_text(tasks[index])), 0.0)]]


def _text(task: Task) -> str:
    assert isinstance(task, ScoreTask)
    return task.architecture


@app.default
def asynchronous(
    *,
    searchers: tuple[str, ...] = ("random", "evolution"),
    workers: int = 8,
    evaluations: int = 320,
    median: float = 0.2,
    spread: float = 0.7,
) -> None:
    """A row for each searcher and number of proposals at a time.

    Parameters
    ----------
    searchers
        On NAS-Bench-201.
    workers
        That sleep.
    evaluations
        Of each search.
    median
        Seconds of a task.
    spread
        Standard deviation of the logarithm of these.
    """
    table = Table("searcher", "at a time", "in batches", "asynchronous", title="share at work")
    for searcher in searchers:
        for proposals in (workers, 2 * workers, 4 * workers):
            shares = []
            for whether in (False, True):
                engine = Sleepers(workers, median, spread)
                with (
                    tempfile.TemporaryDirectory() as out,
                    opened(
                        searcher,
                        "nasbench201",
                        {"evaluations": evaluations},
                        Path(out),
                        proposals=proposals,
                        asynchronous=whether,
                        engine=engine,
                    ) as session,
                ):
                    began = time.perf_counter()
                    search(session)
                    wall = time.perf_counter() - began
                shares.append(engine.at_work / workers / wall)
            table.add_row(searcher, str(proposals), *(f"{share:.1%}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    app()
