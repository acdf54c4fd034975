"""NAS-Bench-101's own file, `nasbench_full.tfrecord` or `nasbench_only108.tfrecord`, as a table.

A record is a JSON list [hash, epochs, adjacency, operations, metrics]: the matrix row by row as a
text of 0 and 1, the operations joined by commas, and a protocol buffer in base 64. Its field 1 is
an evaluation, of which there are three, before, half-way through and after the training; its field
2 is the number of parameters. Fields 2, 4 and 5 of an evaluation are seconds of training, accuracy
on validation images and on test images.

Source: Ying et al., ICML 2019, https://arxiv.org/abs/1902.09635;
https://github.com/google-research/nasbench.
"""

import base64
import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from untrained.importers.tfrecord import fields_of, read_records
from untrained.importers.watching import Watched, unwatched
from untrained.spaces.nasbench101 import SHORT

FILE = "nasbench101.parquet"
EPOCHS = (4, 12, 36, 108)
CODES = {name: code for code, name in SHORT.items()}
DAMAGED = (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError)
"What reading something else raises."


class Run(NamedTuple):
    """What one training gave."""

    parameters: int
    seconds: float
    valid: float
    test: float


class Cell(NamedTuple):
    """The architecture of a record, as the table's columns have it."""

    hash: str
    adjacency: str
    ops: str


def read_nasbench101(path: Path, watched: Watched = unwatched) -> tuple[str, pl.DataFrame]:
    """The benchmark's cells and what their trainings gave.

    `cifar10_valid_108` is the first run, as for the other numbers of epochs;
    `cifar10_valid_108_mean` and `cifar10_test_108_mean` are means over all runs.

    Args:
        path: the file.
        watched: is given the records, and passes them on.

    Returns:
        The name of the table's file, and its rows.

    Raises:
        ValueError: something else, or a part of it.
        FileNotFoundError: nothing there.
    """
    cells: dict[Cell, dict[int, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for record in watched(read_records(path)):
        try:
            cell, epochs, run = _read(record)
        except DAMAGED as error:
            raise ValueError(
                f"expected a record of NAS-Bench-101 in {path}, got {record[:60]!r}: {error}; try "
                f"nasbench_full.tfrecord"
            ) from error
        cells[cell][epochs].append(run)
    rows = [_row(cell, runs) for cell, runs in sorted(cells.items())]
    return FILE, pl.DataFrame(rows, infer_schema_length=None)


def _read(record: bytes) -> tuple[Cell, int, Run]:
    hash, epochs, adjacency, operations, metrics = json.loads(record)
    ops = [CODES[name] for name in operations.split(",")]
    if not isinstance(hash, str) or not re.fullmatch(f"[01]{{{len(ops) ** 2}}}", adjacency):
        raise ValueError(f"expected a hash and {len(ops)} x {len(ops)} digits 0 and 1")
    if type(epochs) is not int or epochs not in EPOCHS:
        raise ValueError(f"expected epochs out of {EPOCHS}, got {epochs!r}")
    return Cell(hash, adjacency, "-".join(ops)), epochs, _run(base64.b64decode(metrics))


def _run(metrics: bytes) -> Run:
    fields = list(fields_of(metrics))
    evaluations = [value for number, value in fields if number == 1]
    if len(evaluations) != 3 or not isinstance(evaluations[2], bytes):
        raise ValueError(f"expected 3 evaluations, got {len(evaluations)}")
    last, whole = dict(fields_of(evaluations[2])), dict(fields)
    run = Run(int(whole[2]), float(last[2]), float(last[4]), float(last[5]))
    if not (0 <= run.valid <= 1 and 0 <= run.test <= 1):
        raise ValueError(f"expected accuracies in [0, 1], got {run.valid} and {run.test}")
    return run


def _row(cell: Cell, runs: dict[int, list[Run]]) -> dict[str, object]:
    longest = runs.get(108, [])
    return {
        **cell._asdict(),
        **{f"cifar10_valid_{epochs}": runs[epochs][0].valid for epochs in sorted(runs)},
        "cifar10_valid_108_mean": _mean([run.valid for run in longest]),
        "cifar10_test_108_mean": _mean([run.test for run in longest]),
        "seconds_108": longest[0].seconds if longest else None,
        "params": next(iter(runs.values()))[0].parameters,
        "n_vertices": math.isqrt(len(cell.adjacency)),
        "n_edges": cell.adjacency.count("1"),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
