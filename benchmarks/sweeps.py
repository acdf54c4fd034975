"""What a sweep's driver computes for each architecture, and how its memory grows.

    python benchmarks/sweeps.py [postgresql+psycopg://me@host/runs --postmaster PID]

Tasks are done at once, by nobody: what is left are proposals, keys, claims and rows. Shown are
milliseconds of the processor for an architecture with one measurement and with twelve, in the
driver and, where its process is named, in the PostgreSQL server; and the memory of the driver.
"""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import cyclopts
from driven import AT_ONCE
from rich.console import Console
from rich.table import Table

from untrained.runs import Progress, driver
from untrained.runs.engines import Engine
from untrained.runs.sweep_config import SweepConfig
from untrained.runs.sweeps import sweep

SCORES = "naswot", "synflow", "zico"


def main(
    url: str | None = None,
    *,
    postmaster: int | None = None,
    architectures: int = 4000,
    space: str = "natsbench_size",
) -> None:
    """Prints a row for one measurement an architecture, and one for twelve.

    Parameters
    ----------
    url
        Of an empty store; by default a file.
    postmaster
        Process of the server.
    architectures
        Of each row; a million takes minutes.
    space
        They are drawn from it.
    """
    table = Table("measurements", "driver, ms", "server, ms", "MB at half", "MB at the end")
    for scores, draws in ((1, 1), (3, 4)):
        with TemporaryDirectory() as out, patch.object(driver, "start_engine", at_once):
            asked = SweepConfig(
                architectures=f"random:{architectures}:{draws}", space=space, draws=draws,
                scores=SCORES[:scores], out=Path(out), store=url, workers=0,
            )  # fmt: skip
            watch = Watch()
            served = seconds_of(postmaster)
            sweep(f"of-{scores * draws}", asked, watch)
        took = 1000 * (watch.seconds[-1] - watch.seconds[0]) / architectures
        server = 1000 * (seconds_of(postmaster) - served) / architectures
        half, end = watch.memory[len(watch.memory) // 2], watch.memory[-1]
        cells = (took, server, half, end)
        table.add_row(str(scores * draws), *(f"{cell:,.3g}" for cell in cells))
    Console().print(table)


class Watch:
    """Processor seconds and peak of memory, as the sweep goes on."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.memory: list[float] = []

    def __call__(self, progress: Progress) -> None:
        if not self.seconds or progress.done == progress.total or progress.done % 64 == 0:
            self.seconds.append(time.process_time())
            self.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


@contextmanager
def at_once(*_: Any) -> Iterator[Engine]:
    """As `start_engine`."""
    yield AT_ONCE


def seconds_of(postmaster: int | None) -> float:
    """Processor seconds of a process and of its children, also of those that ended."""
    if postmaster is None:
        return 0.0
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = path.read_text().rpartition(")")[2].split()
            if path.parent.name == str(postmaster):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(postmaster):
                ticks += sum(map(int, fields[11:13]))
    return ticks / 100


if __name__ == "__main__":
    cyclopts.run(main)
