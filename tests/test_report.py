"""The report: its figures as data, and its page."""

import math
import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from untrained.report import write_report
from untrained.report.cell import draw_cell, operations
from untrained.report.headline import caution, headline, image_facts, verdict
from untrained.report.ledger import ledger
from untrained.report.measured import (
    Estimate,
    Failure,
    best_so_far,
    estimate,
    prunings,
    score_cloud,
    spans_decades,
    trajectory,
)
from untrained.report.trained import accuracy_by_size, confusion, training_curves
from untrained.runs.record import Cost, RunRecord, TrainingRecord, TrialRecord
from untrained.scores.score import Reading
from untrained.spaces import CellGraph, Edge, get_space
from untrained.tables.table import Standing
from untrained.training.loop import Epoch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def readings(*values: float | None) -> tuple[Reading, ...]:
    return tuple(Reading(v, "" if v is not None else "not resolved") for v in values)


def trial(number: int, batch: int = 0, note: str = "random", **scores: Sequence[float | None]):
    measured = {name: readings(*values) for name, values in scores.items()}
    return TrialRecord(number, batch, f"cell {number}", note, measured)


def training(
    architecture: str = "cell 0",
    role: str = "pick",
    accuracy: float | None = 0.9,
    parameters: int = 1000,
    epochs: int = 0,
    **changes,
) -> TrainingRecord:
    record = TrainingRecord(
        architecture, role, parameters, 2000, _epochs(epochs, 0.1), epochs or None, accuracy,
        confusion=None, failure="", seconds=1.0,
    )  # fmt: skip
    return replace(record, **changes)


def _epochs(count: int, floor: float, rng: random.Random | None = None) -> tuple[Epoch, ...]:
    rng = rng or random.Random(0)
    epochs = []
    for e in range(1, count + 1):
        loss = floor + 2.0 * math.exp(-e / 4) + 0.03 * rng.random()
        validation = loss + 0.06 + 0.08 * rng.random()
        epochs.append(
            Epoch(e, 0.1, loss, math.exp(-loss / 2), validation, math.exp(-validation / 2), 1.5)
        )
    return tuple(epochs)


EMPTY = RunRecord(
    name="run",
    space="nasbench201",
    searcher="random",
    config={},
    versions={},
    images={},
    directions={},
    trials=(),
    pick=None,
    trainings=(),
    costs=(),
    wall_seconds={},
)


def realistic_run(seed: int = 0) -> RunRecord:
    """A pruning search as it might be: 54 candidates in 3 rounds, 3 draws, 6 trainings."""
    rng = random.Random(seed)
    space = get_space("nasbench201")
    parent, trials = space.supernet(), []
    for batch in range(3):
        trials.append(_measured(rng, len(trials), batch, str(parent), "parent"))
        for choice in space.choices(parent):
            note = f"without {space.describe(choice)}"
            child = str(space.without(parent, choice))
            trials.append(_measured(rng, len(trials), batch, child, note))
        edges = sorted({choice.edge for choice in space.choices(parent)})
        worst = [rng.choice([c for c in space.choices(parent) if c.edge == e]) for e in edges]
        parent = space.without(parent, *worst)
    trials.append(_measured(rng, len(trials), 3, str(parent), "pick"))
    randoms = [str(space.sample(rng)) for _ in range(5)]
    return RunRecord(
        name="digits-te-nas",
        space="nasbench201",
        searcher="prune",
        config={
            "images": "digits",
            "space": "nasbench201",
            "searcher": "prune",
            "scores": ["condition_number", "linear_regions"],
            "draws": 3,
            "seed": 0,
            "workers": 8,
            "recipe": {"epochs": 20, "batch": 64, "learning_rate": 0.1, "flip": None},
        },
        versions={
            "untrained": "0.1.0",
            "torch": "2.9.1",
            "python": "3.12.4",
            "machine": "Linux x86_64, 16 processors",
        },
        images={
            "name": "digits",
            "classes": [str(digit) for digit in range(10)],
            "train": 1257,
            "validation": 180,
            "test": 360,
            "shape": [1, 8, 8],
            "notes": ["2 files left out: scan_014.png and scan_201.png cannot be read"],
        },
        directions={"condition_number": -1, "linear_regions": 1},
        trials=tuple(trials),
        pick=str(parent),
        trainings=(
            _trained(rng, str(parent), "pick", 0.9806, 1_073_466),
            *(
                _trained(rng, cell, "random", accuracy, parameters)
                for cell, accuracy, parameters in zip(
                    randoms,
                    (0.9722, 0.9639, 0.9833, 0.9139, 0.9556),
                    (871_000, 587_482, 1_290_106, 101_306, 344_346),
                    strict=True,
                )
            ),
        ),
        costs=(
            Cost("condition_number", 171, 412.71),
            Cost("linear_regions", 171, 38.52),
            Cost("training", 6, 611.4),
            Cost("propose", 4, 0.031),
            Cost("load images", 1, 0.42),
        ),
        wall_seconds={"search": 63.2, "training": 142.9},
    )


def _measured(
    rng: random.Random, number: int, batch: int, architecture: str, note: str
) -> TrialRecord:
    level = 5.2 - 0.9 * batch + rng.gauss(0, 0.55)
    regions = 2900 - 260 * batch + rng.gauss(0, 90)
    kappas = [math.exp(level + rng.gauss(0, 0.18)) for _ in range(3)]
    counts = [round(regions + rng.gauss(0, 35)) for _ in range(3)]
    failed: list[float | None] = [*kappas[:2], None] if number % 19 == 7 else [*kappas]
    scores = {"condition_number": readings(*failed), "linear_regions": readings(*counts)}
    return TrialRecord(number, batch, architecture, note, scores)


def _trained(
    rng: random.Random, cell: str, role: str, accuracy: float, parameters: int
) -> TrainingRecord:
    counts = [[0] * 10 for _ in range(10)]
    for image in range(360):
        true = image % 10
        right = rng.random() < accuracy
        counts[true][true if right else rng.choice((1, 3, 8, 9))] += 1
    epochs = _epochs(20, 0.4 * (1 - accuracy) + 0.02, rng)
    return TrainingRecord(
        cell, role, parameters, 143 * parameters, epochs, 17, accuracy,
        confusion=tuple(tuple(row) for row in counts) if role == "pick" else None,
        failure="", seconds=101.9,
    )  # fmt: skip


STANDINGS = (
    Standing("CIFAR-10", 0.9393, 0.9437, 187, "all", 15_625),
    Standing("CIFAR-10", 0.9393, 0.9437, 102, "none-free", 4_096),
    Standing("CIFAR-100", 0.7124, 0.7351, 420, "all", 15_625),
    Standing("ImageNet16-120", 0.4244, 0.4731, 1_933, "all", 15_625),
)


def realistic_report(run: RunRecord, path: Path) -> None:
    space = get_space("nasbench201")
    write_report(
        run,
        path,
        graphs=space.graphs(space.parse(run.pick)) if run.pick else (),
        standings=STANDINGS,
        exported={"weights": "pick/weights.safetensors", "ONNX": "pick/network.onnx"},
        command="untrained report digits-te-nas",
    )
