"""NAS-Bench-Suite-Zero's files `zc_*.json` of published proxy values, as tables.

By data set and architecture they hold `{proxy: {"score": value, "time": seconds}, ...,
"val_accuracy": percent}`. Architectures are NASLib's tuples, which say whose they are: six numbers
of NAS-Bench-201, two cells of eight pairs of NAS-Bench-301, and of NAS-Bench-101 a matrix with its
operations.

Source: Krishnakumar et al., "NAS-Bench-Suite-Zero: Accelerating Research on Zero Cost Proxies",
NeurIPS 2022, https://arxiv.org/abs/2210.03230; https://github.com/automl/NASLib, branch zerocost.
"""

import ast
import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from untrained.importers.percent import fraction
from untrained.importers.watching import Watched, unwatched
from untrained.spaces import get_space
from untrained.spaces.darts_architecture import nasbench301
from untrained.spaces.nasbench101 import graph_hash
from untrained.tables.packed import bundled

ACCURACY = "val_accuracy"
DAMAGED = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RecursionError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
)
"What reading something else raises."


class Target(NamedTuple):
    """The table of one benchmark."""

    file: str
    accuracy: str
    "Column of what `val_accuracy` is."
    key: Callable[[str], dict[str, int | str]]
    "The columns that name an architecture."


def read_suite_zero(path: Path, watched: Watched = unwatched) -> tuple[str, pl.DataFrame]:
    """Published values of proxies, a row for each data set and architecture.

    Of NAS-Bench-301 the rows on CIFAR-10, with the surrogate's accuracy. A value that is no finite
    number is missing.

    Args:
        path: the file.
        watched: is given the entries, and passes them on.

    Returns:
        The name of the table's file, and its rows.

    Raises:
        ValueError: something else, or a part of it.
        FileNotFoundError: nothing there.
    """
    try:
        whole = json.loads(path.read_bytes())
        if "cifar10" not in whole:  # as in TransNAS-Bench-101's file, whose tuples look the same
            raise ValueError(f"expected cifar10 among the data sets, got {', '.join(whole)[:80]}")
        entries = list(_entries(whole))
        target = _target(entries[0][1])
        rows = [
            target.key(text) | {"dataset": data} | _values(its, target.accuracy)
            for data, text, its in watched(entries)
        ]
    except DAMAGED as error:
        raise ValueError(
            f"expected data sets, architectures and proxies of NAS-Bench-Suite-Zero in {path}, "
            f"got something else: {type(error).__name__} {error}; try zc_nasbench201.json"
        ) from error
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if target == NASBENCH301:
        frame = frame.filter(dataset="cifar10").drop("dataset")
    return target.file, frame


def _entries(whole: Any) -> Iterator[tuple[str, str, Any]]:
    """Data set, architecture and values, one after another."""
    for data, architectures in whole.items():
        for text, values in architectures.items():
            yield data.lower().replace("-", "_"), text, values


def _target(text: str) -> Target:
    """Whose an architecture is."""
    length = len(ast.literal_eval(text))
    return {2: NASBENCH301, 6: NASBENCH201}.get(length, NASBENCH101)


def _values(its: Any, accuracy: str) -> dict[str, float | None]:
    """The accuracy in [0, 1], and every proxy's value."""
    proxies = {name: _finite(value["score"]) for name, value in its.items() if name != ACCURACY}
    return {accuracy: fraction(its[ACCURACY])} | proxies


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


@cache
def _indices() -> dict[str, int]:
    table = bundled()
    return dict(zip(table["architecture"], table["index"], strict=True))


NASBENCH201 = Target(
    "nasbench201_published_proxies.parquet",
    "valid_accuracy",
    lambda text: {"index": _indices()[str(get_space("nasbench201").parse(text))]},
)
NASBENCH101 = Target(
    "nasbench101_published_proxies.parquet",
    "valid_accuracy",
    lambda text: {"hash": graph_hash(get_space("nasbench101").parse(text))},
)
NASBENCH301 = Target(
    "nasbench301_725.parquet",
    "cifar10_surrogate_valid",
    lambda text: {"architecture": nasbench301(get_space("darts").parse(text))},
)
