"""What scores cost: each alone, those that share passes together, and a bench as it grows.

    python benchmarks/scores.py each [--space nasbench201 --images cifar10 --networks 10]
    python benchmarks/scores.py growth [--architectures 100 400 1600 6466]

Processor seconds of one process with one thread, measured in turns, network by network, each of
which is built for it; medians over networks, of the least of several repeats.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

from untrained.images import Images, load_images
from untrained.runs.readings import view_of
from untrained.runs.setup import ScoreSetup, check_probe, make_setup
from untrained.runs.tasks import Scored, ScoreTask, measure
from untrained.scores import SCORES
from untrained.spaces import get_space

app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))
console = Console(width=120)


@dataclass
class Timed:
    """Seconds of a group of scores, network by network."""

    alone: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    together: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def median_alone(self, score: str) -> float:
        """Of one score by itself."""
        return median(self.alone[score])

    def ratio(self) -> float:
        """All of them one by one, as a multiple of together."""
        sums = map(sum, zip(*self.alone.values(), strict=True))
        return median(a / b for a, b in zip(sums, self.together, strict=True))


@app.command
def each(
    *,
    space: str = "nasbench201",
    images: str = "digits",
    networks: int = 5,
    repeats: int = 3,
    scores: tuple[str, ...] = (),
    slow: float = 5.0,
) -> None:
    """Networks per second and core for every score, and for those that share passes.

    Parameters
    ----------
    space, images
        What is scored.
    networks
        Random architectures.
    repeats
        Of each time, of which the least counts.
    scores
        Which; by default all that come with the package.
    slow
        Seconds beyond which a score is measured on the first network alone, once.
    """
    torch.set_num_threads(1)
    known, shown = get_space(space), load_images(images)
    made = [make_setup(name, known, {}) for name in scores or SCORES]
    setups = [setup for setup in made if _can(setup, shown)]
    rng = random.Random(0)
    texts = [str(known.sample(rng)) for _ in range(networks + 1)]
    warm = texts.pop()
    for setup in setups:  # imports
        measure(_task(space, warm, [setup]), shown)
    table = Table("score", "networks/s", "ms alone", "shares passes with", "faster together")
    for group in _sharing(setups):
        timed = _timed(group, texts, space, shown, repeats, slow)
        for i, name in enumerate(sorted(timed.alone, key=timed.median_alone)):
            seconds = timed.median_alone(name)
            others = ", ".join(setup.name for setup in group if setup.name != name)
            said = f"{timed.ratio():.2f} x" if others and not i else ""
            table.add_row(
                name, f"{1 / seconds:.3g}", f"{1000 * seconds:.3g}", others, said,
                end_section=i + 1 == len(timed.alone), style="dim" if name in timed.failed else "",
            )  # fmt: skip
        for name, reason in timed.failed.items():
            print(f"{name}: {reason}", file=sys.stderr)
    alike: dict[object, list[ScoreSetup]] = defaultdict(list)
    for setup in setups:
        alike[setup.network_spec].append(setup)
    console.print(table)
    for some in (group for group in alike.values() if len(group) > 1):
        timed = _timed(some, texts, space, shown, repeats, slow)
        together = median(timed.together)
        console.print(
            f"{len(some)} scores of one network ({', '.join(timed.alone)}): "
            f"{1 / together:.3g} networks/s, {timed.ratio():.2f} times as fast as one by one"
        )


def _can(setup: ScoreSetup, images: Images) -> bool:
    try:
        check_probe(setup, images)
    except ValueError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _sharing(setups: Sequence[ScoreSetup]) -> list[list[ScoreSetup]]:
    """Those that see one thing of one network together; others by themselves."""
    groups: dict[object, list[ScoreSetup]] = defaultdict(list)
    for setup in setups:
        groups[setup.network_spec, view_of(setup.score), setup.probe].append(setup)
    return [*groups.values()]


def _timed(
    setups: Sequence[ScoreSetup],
    texts: Sequence[str],
    space: str,
    images: Images,
    repeats: int,
    slow: float,
) -> Timed:
    found = Timed()
    for number, text in enumerate(texts):
        parts = [[setup] for setup in setups] + [[*setups]]
        least = [float("inf")] * len(parts)
        for _ in range(repeats):
            for i, part in enumerate(parts):  # in turns
                began = time.process_time()
                outcome = measure(_task(space, text, part), images)
                least[i] = min(least[i], time.process_time() - began)
                if not number and len(part) == 1:
                    _note_failure(found, part[0], outcome)
            if least[-1] > slow:
                break
        for setup, seconds in zip(setups, least, strict=False):
            found.alone[setup.name].append(seconds)
        found.together.append(least[-1])
        if least[-1] > slow:
            break
    return found


def _note_failure(found: Timed, setup: ScoreSetup, outcome: Scored) -> None:
    [[measured]] = outcome
    if measured.reading.value is None:
        found.failed[setup.name] = measured.reading.reason


def _task(space: str, text: str, setups: Sequence[ScoreSetup]) -> ScoreTask:
    return ScoreTask(space, text, tuple(setups), (0,), "cpu")


@app.command
def growth(
    *,
    architectures: tuple[int, ...] = (100, 400, 1600, 6466),
    scores: tuple[str, ...] = ("meco", "linear_regions"),
    workers: int = 2,
    images: str = "digits",
    resamples: int = 1000,
) -> None:
    """Seconds and memory of a whole bench on more and more of NAS-Bench-201.

    Parameters
    ----------
    architectures
        Of the 6,466 that compute something of their own.
    scores
        Cheap ones.
    workers, images, resamples
        As in `untrained bench`.
    """
    for count in architectures:
        with tempfile.TemporaryDirectory() as out:
            words = (
                "bench", "--population", "canonical", "--sample", str(count), "--draws", "1",
                "--images", images, "--workers", str(workers), "--resamples", str(resamples),
                "--out", out, "--scores", *scores,
            )  # fmt: skip
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "untrained", *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
        if status:
            raise SystemExit(f"untrained {' '.join(words)} ended with status {status}")
        processor = used.ru_utime + used.ru_stime
        print(
            f"{count:,} architectures: {wall:.0f} s of wall time, {processor:.0f} s of the "
            f"processor, {1000 * processor / count:.1f} ms each, peak {used.ru_maxrss / 1024:.0f} "
            f"MB",
            flush=True,
        )


if __name__ == "__main__":
    app()
