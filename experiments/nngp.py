"""NNGP-guided search: how well kernel regression before training ranks networks.

    python experiments/nngp.py check
    python experiments/nngp.py colab
    python experiments/nngp.py measure nasbench101
    python experiments/nngp_tables.py

`measure` takes one of CASES, is resumed where it was stopped, and leaves a row for each
architecture in `results/nngp/<case>.csv`; the tables are made of these. `docs/nngp.md` shows them.
"""

import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cyclopts
import polars as pl
import torch
from torch import Tensor

from untrained.analysis.blocks import Blocks
from untrained.analysis.regression import regression
from untrained.analysis.validation import validation_of
from untrained.images import Images, Labelled, ProbeSpec, draw_probe, load_images
from untrained.kernels.drawn import Statistics
from untrained.kernels.nngp import drawn_features
from untrained.runs import RunConfig, load_record, run
from untrained.runs.identity import digest
from untrained.scores.size import MultiplyAdds
from untrained.settings import Setting, changed
from untrained.spaces import get_space
from untrained.spaces.nasbench101 import graph_hash
from untrained.spaces.nasbench101_network import Cell
from untrained.tables import TABLES

RESULTS = Path(__file__).parents[1] / "results" / "nngp"

STATISTICS: dict[str, tuple[int, str, str]] = {
    "published accuracy": (1, "leave_one_out", "published_accuracy"),
    "accuracy": (1, "leave_one_out", "accuracy"),
    "squared error": (-1, "leave_one_out", "squared_error"),
    "nll": (-1, "leave_one_out", "negative_log_likelihood"),
    "leave-one-out accuracy": (1, "leave_one_out", "leave_one_out_accuracy"),
    "likelihood": (1, "log_marginal_likelihood", "log_marginal_likelihood"),
    "ridge": (-1, "log_marginal_likelihood", "ridge"),
}
"Name -> sign (+1: higher is better), how the ridge is chosen, field of `Validation`."


@dataclass(frozen=True)
class Case:
    """Which architectures are measured, and how."""

    space: str
    first: int = 0
    "Row of the table, shuffled by seed 1, to begin with."
    count: int = 500
    images: str = "cifar10"
    size: int | None = None
    classes: int | None = None
    "Only the first so many classes of the images."
    scale: dict[str, Setting] = field(default_factory=dict)
    "In place of the `narrow` scale's."
    batchnorm: Statistics = "running"
    weights: str = "lecun_normal"
    train: tuple[int, ...] = (1000,)
    "n_t: the first so many images of the probe train."
    draws: tuple[int, ...] = (1, 2)
    "M."
    validation: int = 500
    seed: int = 0
    "Of the weights and the probe."


DESIGN = 100
"""Rows at the head of each shuffled table that choices were made by; no figure is of these. On
NAS-Bench-101 the statistic was chosen by the `grid` too, so that other rows follow it."""

DEEP: dict[str, Setting] = {"cells": 3}
FEW: dict[str, Any] = {"space": "nasbench101", "first": DESIGN, "count": 100, "draws": (1,)}
TINY: dict[str, Any] = {
    "images": "tinyimagenet32",
    "classes": 25,  # of 200, so that a class has more than a handful of images
    "train": (580,),
    "validation": 200,
    "draws": (1,),
}
CASES: dict[str, Case] = {
    "nasbench101": Case("nasbench101", 2 * DESIGN, 500, train=(100, 500, 1000)),
    "colab": Case(
        "nasbench101",
        DESIGN,
        250,
        scale=DEEP,
        batchnorm="published",
        train=(100,),
        validation=200,
    ),
    "grid": Case("nasbench101", DESIGN, 100, train=(100, 500, 1000, 2000), draws=(1, 2, 4, 8)),
    "mnas": Case("mnas", DESIGN, 300, batchnorm="frozen", **TINY),
    "mnas_he": Case("mnas", DESIGN, 100, weights="kaiming_fan_in", **TINY),
    "mnas_draws": Case("mnas", DESIGN, 30, batchnorm="frozen", **{**TINY, "draws": (1, 2, 4, 8)}),
    "mnas_64": Case("mnas", DESIGN, 40, size=64, batchnorm="frozen", **TINY),
    "nasbench201": Case("nasbench201", DESIGN, 250),
    "nasbench201_grid": Case("nasbench201", DESIGN, 60, train=(500, 1000), draws=(1, 2, 4, 8)),
    "nasbench201_batch": Case("nasbench201", DESIGN, 150, batchnorm="batch"),
    "nasbench201_eight": Case(
        "nasbench201", DESIGN + 60, 80, train=(500,), draws=(8,), validation=200
    ),
    "nasbench201_cifar100": Case(
        "nasbench201", DESIGN, 40, images="cifar100", draws=(1, 2, 4, 8), validation=200
    ),
    "seed_1": Case(**{**FEW, "draws": (1, 2)}, seed=1),
    **{f"nasbench101_seed_{k}": Case("nasbench101", 2 * DESIGN, 300, seed=k) for k in (1, 2)},
    "published": Case(**FEW, batchnorm="published"),
    "frozen": Case(**FEW, batchnorm="frozen"),
    "batch": Case(**FEW, batchnorm="batch"),
    "8_channels": Case(**FEW, scale={"channels": 8}),
    "three_cells": Case(**FEW, scale=DEEP),
}

app = cyclopts.App(help=__doc__)


def processes(workers: int) -> ProcessPoolExecutor:
    """So many, of one thread each."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,))


@app.command
def check(*, workers: int = 2) -> None:
    """Hashes and parameters of every row of NAS-Bench-101's and MNAS's tables.

    Args:
        workers: Processes.
    """
    for space, column in (("nasbench101", "params"), ("mnas", "mparams")):
        table = TABLES[space]().frame
        with processes(workers) as pool:
            sizes = list(pool.map(SIZES[space], table["architecture"], chunksize=100))
        equal = sum(size == truth for size, truth in zip(sizes, table[column], strict=True))
        print(f"{space}: parameters of {equal:,} of {len(table):,} rows equal")
        if space == "nasbench101":
            hashes = map(graph_hash, map(get_space(space).parse, table["architecture"]))
            equal = sum(a == b for a, b in zip(hashes, table["hash"], strict=True))
            print(f"{space}: hashes of {equal:,} rows equal")


def nasbench101_size(text: str) -> int:
    """Parameters of the published network: of its stem, its five kinds of cells, and its head."""
    space = get_space("nasbench101")
    trained = space.canonical(space.parse(text))
    total = 3 * 128 * 9 + 2 * 128 + 512 * 10 + 10
    with torch.device("meta"):
        for inputs, outputs, times in (
            (128, 128, 3), (128, 256, 1), (256, 256, 2), (256, 512, 1), (512, 512, 2)
        ):  # fmt: skip
            cell = Cell(trained.matrix, trained.operations, inputs, outputs)
            total += times * sum(parameter.numel() for parameter in cell.parameters())
    return total


def mnas_size(text: str) -> float:
    """Millions of parameters of the published network."""
    space = get_space("mnas")
    with torch.device("meta"):
        network = space.build(
            space.parse(text), space.scales["full"], inputs=(3, 32, 32), classes=1000
        )
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


SIZES: dict[str, Callable[[str], float]] = {"nasbench101": nasbench101_size, "mnas": mnas_size}

INCEPTION = "i-c1-c3-c3-c3-mp-o:0-1,0-2,0-3,0-5,1-6,2-6,3-4,4-6,5-6"
"The cell of the published notebook, which prints an accuracy of .38 for it."


@app.command
def colab(*, workers: int = 2) -> None:
    """The published notebook's cell: n_t = 500, n_v = 200, M = 4, at several widths.

    Args:
        workers: Processes.
    """
    repeats = {16: 12, 32: 6, 64: 3, 128: 1}
    asked = [(channels, seed) for channels, count in repeats.items() for seed in range(count)]
    with processes(workers) as pool:
        rows = list(pool.map(inception, *zip(*asked, strict=True)))
    frame = pl.DataFrame(rows)
    frame.write_csv(RESULTS / "colab_cell.csv", float_precision=4)
    accuracy = pl.col("published accuracy")
    print(
        frame.group_by("channels", maintain_order=True).agg(
            accuracy.len().alias("repeats"),
            accuracy.mean().alias("mean"),
            accuracy.std().alias("std"),
            pl.col("seconds").mean(),
        )
    )


def inception(channels: int, seed: int) -> dict[str, Any]:
    """The cell's statistics on one choice of images and weights."""
    case = Case(
        "nasbench101",
        scale={**DEEP, "channels": channels},
        batchnorm="published",
        train=(500,),
        draws=(4,),
        validation=200,
        seed=seed,
    )
    (row,) = statistics(case, INCEPTION)
    return {"channels": channels, "seed": seed, **row}


@app.command
def measure(name: str, *, workers: int = 2, out: Path = Path("untrained-runs")) -> None:
    """Every statistic of one case, an architecture a line of `out`/nngp; then the CSV.

    Args:
        name: A key of CASES.
        workers: Processes.
        out: Folder of what is measured.
    """
    frame = measured(CASES[name], workers, out)
    frame.write_csv(RESULTS / f"{name}.csv", float_precision=5)
    seconds = frame.select(pl.mean("seconds")).item()
    print(f"{len(frame)} rows, {seconds:.2f} s an architecture")


SHORT = ("validation_accuracy", "validation_loss", "training_loss")


@app.command
def short(*, count: int = 60, images: int = 2000, out: Path = Path("untrained-runs")) -> None:
    """One epoch of our own training, of the first rows that `measure nasbench101` measures.

    Args:
        count: Architectures.
        images: Training images.
        out: Folder of the store.
    """
    first = CASES["nasbench101"].first
    texts = shuffled("nasbench101")[first : first + count]
    settings: dict[str, Setting] = {"recipe": "default", "images": images}
    config = RunConfig(
        images="cifar10",
        space="nasbench101",
        searcher="given",
        options={"architectures": " ".join(texts)},
        scores=SHORT,
        score_settings=dict.fromkeys(SHORT, settings),
        draws=1,
        out=out,
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    seconds = sum(cost.seconds for cost in record.costs if cost.step != "load images") / count
    rows = [
        {
            "row": first + i,
            "architecture": texts[i],
            **{name: trial.readings[name][0].value for name in SHORT},
            "seconds": seconds,
        }
        for i, trial in enumerate(record.trials)
    ]
    pl.DataFrame(rows).write_csv(RESULTS / "short.csv", float_precision=5)
    print(f"{seconds:.1f} s an architecture")


def measured(case: Case, workers: int, out: Path) -> pl.DataFrame:
    """The statistics of a case: a row for each architecture, n_t and M."""
    path = out / "nngp" / f"{case.space}-{digest(asdict(case))}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    known = {json.loads(line)[0]["row"] for line in lines}
    missing = [row for row in range(case.first, case.first + case.count) if row not in known]
    with processes(workers) as pool:
        begun = time.perf_counter()
        texts = [shuffled(case.space)[row] for row in missing]
        tasks = pool.map(statistics, [case] * len(missing), texts)
        for done, (row, rows) in enumerate(zip(missing, tasks, strict=True), 1):
            with path.open("a") as file:
                file.write(json.dumps([{"row": row, **line} for line in rows]) + "\n")
            if done % 20 == 0:
                rate = (time.perf_counter() - begun) / done
                print(f"{done} of {len(missing)}, {rate * (len(missing) - done):.0f} s left")
    rows = [row for line in path.read_text().splitlines() for row in json.loads(line)]
    return pl.DataFrame(rows, infer_schema_length=None).sort("row", "train", "draws")


@cache
def shuffled(space: str) -> list[str]:
    """The architectures of a space's table, in the order in which they are scored."""
    frame = TABLES[space]().frame.sample(fraction=1, shuffle=True, seed=1)
    return frame["architecture"].to_list()


@cache
def images_of(name: str, size: int | None, classes: int | None) -> Images:
    """Loaded once a process."""
    images = load_images(name, size=size)
    if classes is None:
        return images
    few = images.train.labels < classes
    train = Labelled(images.train.pixels[few], images.train.labels[few])
    return replace(images, classes=images.classes[:classes], train=train)


def statistics(case: Case, text: str) -> list[dict[str, Any]]:
    """The statistics of one architecture for every n_t and M, nested in the largest of them."""
    space = get_space(case.space)
    images = images_of(case.images, case.size, case.classes)
    scale = changed(space.scales["narrow"], case.scale, "scale")
    network = space.build(
        space.parse(text), scale, inputs=(3, 32, 32), classes=len(images.classes)
    )
    most = max(case.train)
    probe = draw_probe(
        images, ProbeSpec(count=most + case.validation), torch.Generator().manual_seed(case.seed)
    )
    macs = MultiplyAdds()(network, probe, torch.Generator()).value
    begun = time.perf_counter()
    draws = [
        found.z.double()
        for found in drawn_features(
            network,
            probe.inputs,
            generator=torch.Generator().manual_seed(case.seed),
            draws=max(case.draws),
            weights=case.weights,
            batchnorm=case.batchnorm,
            calibration=probe.inputs[:100],
        )
    ]
    seconds = (time.perf_counter() - begun) / len(draws)
    rows = []
    for count in case.draws:
        z = torch.cat(draws[:count], 1) / (count * draws[0].shape[1]) ** 0.5
        for n in case.train:
            begun = time.perf_counter()
            found = regressed(z[:n], z[most:], probe.labels[:n], probe.labels[most:], images)
            shown = seconds * count * (n + case.validation) / (most + case.validation)
            rows.append(
                {
                    "architecture": text,
                    "train": n,
                    "draws": count,
                    "macs": macs,
                    **found,
                    "seconds": shown + time.perf_counter() - begun,
                }
            )
    return rows


def regressed(
    train: Tensor, validation: Tensor, labels: Tensor, held_out: Tensor, images: Images
) -> dict[str, float | None]:
    """Every statistic of the kernel that these features make."""
    blocks = Blocks(
        train @ train.T,
        validation @ train.T,
        validation.square().sum(1),
        train if train.shape[1] < len(train) else None,
    )
    fit = regression(blocks.train, labels, classes=len(images.classes), features=blocks.features)
    found = {
        by: validation_of(fit, blocks, held_out, by=by)
        for by in ("leave_one_out", "log_marginal_likelihood")
    }
    return {name: getattr(found[by], part) for name, (_, by, part) in STATISTICS.items()}


if __name__ == "__main__":
    app()
