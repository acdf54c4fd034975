"""Whether latencies agree from run to run, and order networks that differ.

    python benchmarks/latency.py [--networks 12] [--runs 5] [--runtimes torch onnx]
        [--batches 1 32] [--save results/latency/agreement.csv]

Networks of NAS-Bench-201 at full scale, of sizes that are spread out, are timed in processes that
start one after the other, each in an order of its own. Shown are seconds as multiples of those of
the fastest network; how far the runs of a network are apart, as a share of their median; and of
the pairs whose medians differ by 20 % or more, how many each run orders otherwise.
"""

import csv
import json
import os
import random
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from statistics import median
from typing import Any

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

from untrained.scores.latency import Latency
from untrained.spaces import get_space

APART = 1.2
app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))


def some_networks(count: int) -> list[str]:
    """From few parameters to many."""
    space, rng = get_space("nasbench201"), random.Random(0)
    drawn = [space.canonical(space.sample(rng)) for _ in range(50 * count)]
    by_work = sorted(
        dict.fromkeys(drawn), key=lambda a: (str(a).count("conv"), str(a).count("3x3"), str(a))
    )
    return [str(by_work[round(k * (len(by_work) - 1) / (count - 1))]) for k in range(count)]


@app.command
def once(*, networks: int, batch: int, runtime: str, seed: int) -> None:
    """One run: prints a JSON list of seconds."""
    from untrained.images.probe import Probe

    space, order = get_space("nasbench201"), list(range(networks))
    random.Random(seed).shuffle(order)
    texts, found = some_networks(networks), [0.0] * networks
    score = Latency(runtime=runtime)  # type: ignore[arg-type]
    x = torch.randn(batch, 3, 32, 32)
    probe = Probe(x, torch.zeros(batch, dtype=torch.int64), 10, "noise")
    for k in order:
        network = space.build(
            space.parse(texts[k]), space.scales["full"], inputs=(3, 32, 32), classes=10
        )
        reading = score(network, probe, torch.Generator())
        assert reading.value is not None, reading.reason
        found[k] = reading.value
    print(json.dumps(found))


@app.default
def agreement(
    *,
    networks: int = 12,
    runs: int = 5,
    runtimes: tuple[str, ...] = ("torch", "onnx"),
    batches: tuple[int, ...] = (1, 32),
    save: Path | None = None,
) -> None:
    """All of it."""
    table, rows = Table("runtime", "batch", "apart, median", "apart, most", "pairs", "wrong"), []
    for runtime, batch in product(runtimes, batches):
        seconds = [timed_apart(networks, batch, runtime, seed) for seed in range(runs)]
        medians = [median(column) for column in zip(*seconds, strict=True)]
        apart = [
            (max(column) - min(column)) / m
            for column, m in zip(zip(*seconds, strict=True), medians, strict=True)
        ]
        pairs = [
            (i, j)
            for i, j in combinations(range(networks), 2)
            if max(medians[i], medians[j]) >= APART * min(medians[i], medians[j])
        ]
        wrong = sum(
            (run[i] < run[j]) != (medians[i] < medians[j]) for i, j in pairs for run in seconds
        )
        table.add_row(
            runtime, str(batch), f"{median(apart):.1%}", f"{max(apart):.1%}",
            f"{len(pairs)} x {runs}", str(wrong),
        )  # fmt: skip
        rows += [
            {
                "runtime": runtime, "batch": batch, "architecture": text,
                "multiple": round(m / min(medians), 3), "apart": round(a, 4),
                "pairs": len(pairs) * runs, "wrong": wrong,
            }
            for text, m, a in zip(some_networks(networks), medians, apart, strict=True)
        ]  # fmt: skip
    Console().print(table)
    print(
        f"other work on the machine: a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    if save:
        keep(save, rows)


def timed_apart(networks: int, batch: int, runtime: str, seed: int) -> list[float]:
    """One run, in a process of its own."""
    flags = {"networks": networks, "batch": batch, "runtime": runtime, "seed": seed}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, __file__, "once", *words], capture_output=True, text=True, check=True
    )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    """As a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    app()
