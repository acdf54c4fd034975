"""NAS-Bench-301's own results, a folder of `results_*.json`, as a table.

Each file holds one training: under `optimized_hyperparamater_config` the operation on each of the
14 edges of both cells that is present, with the sizes of the network; the accuracies in percent.

Source: Siems et al., https://arxiv.org/abs/2008.09777; https://github.com/automl/nasbench301.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from untrained.importers.percent import fraction
from untrained.importers.watching import Watched, unwatched
from untrained.spaces import get_space
from untrained.spaces.darts_architecture import NODES, NONE, DARTSArchitecture
from untrained.spaces.darts_network import EDGES

LOG = logging.getLogger(__name__)
FILE = "nasbench301.parquet"
PREFIX = "NetworkSelectorDatasetInfo:darts:"


class Sizes(NamedTuple):
    """Of a network and its training, which must agree for accuracies to be compared."""

    epochs: int
    channels: int
    layers: int


class Run(NamedTuple):
    """What one training gave."""

    valid: float
    test: float
    params: int
    seconds: float


def read_nasbench301(path: Path, watched: Watched = unwatched) -> tuple[str, pl.DataFrame]:
    """One row a genotype: means over its runs, and how many they are.

    Runs of the epochs, channels and layers that most have; those of others are left out, as their
    accuracies cannot be compared. Genotypes that differ in the order of nodes alone are one.

    Args:
        path: a folder, in which files are looked for at any depth, or one file.
        watched: is given the files, and passes them on.

    Returns:
        The name of the table's file, and its rows.

    Raises:
        ValueError: no such file, or one that holds something else.
        FileNotFoundError: nothing there.
    """
    files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(
            f"expected files results_*.json of NAS-Bench-301 in {path}, got none; try the folder "
            f"into which nb_301 was extracted"
        )
    space = get_space("darts")
    runs: dict[Sizes, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for file in watched(files):
        architecture, sizes, run = _read(file)
        runs[sizes][str(space.canonical(architecture))].append(run)
    count = Counter({sizes: sum(map(len, its.values())) for sizes, its in runs.items()})
    sizes, most = count.most_common(1)[0]
    if most < count.total():
        LOG.warning(
            "%s of %s results left out: not of %s epochs, %s channels and %s layers, as most are",
            *(count.total() - most, count.total(), *sizes),
        )
    rows = [
        {"architecture": text, **_means(its), "runs": len(its), **sizes._asdict()}
        for text, its in sorted(runs[sizes].items())
    ]
    return FILE, pl.DataFrame(rows)


def _read(file: Path) -> tuple[DARTSArchitecture, Sizes, Run]:
    try:
        found = json.loads(file.read_bytes())
        config = found["optimized_hyperparamater_config"]
        its = found["info"][0]
        accuracies = (fraction(its["val_accuracy"]), fraction(found["test_accuracy"]))
        run = Run(*accuracies, int(its["model_parameters"]), float(found["runtime"]))
        sizes = (found["budget"], config[f"{PREFIX}init_channels"], config[f"{PREFIX}layers"])
        cells = (_cell(config, name) for name in ("normal", "reduce"))
        architecture = get_space("darts").parse("normal:{}/reduction:{}".format(*cells))
        if architecture.partial or NONE in str(architecture):
            raise ValueError(f"expected one operation on two edges a node, got {architecture}")
        return architecture, Sizes(*map(int, sizes)), run
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(
            f"expected a result of NAS-Bench-301 in {file}, got something else: "
            f"{type(error).__name__} {error}; leave it out or fetch it again"
        ) from error


def _cell(config: Mapping[str, Any], name: str) -> str:
    """The text form of a cell, `|op~0|op~1|+...`, from the operations on its edges."""
    chosen = {edge: config.get(f"{PREFIX}edge_{name}_{k}") for k, edge in enumerate(EDGES)}
    terms = [
        [f"{chosen[i, node]}~{i}" for i in range(node) if chosen[i, node] is not None]
        for node in NODES
    ]
    return "+".join(f"|{'|'.join(each)}|" for each in terms)


def _means(runs: list[Run]) -> dict[str, float]:
    """By column."""
    valid, test, _, seconds = (sum(values) / len(runs) for values in zip(*runs, strict=True))
    return {
        "cifar10_valid": valid,
        "cifar10_test": test,
        "params": runs[0].params,
        "seconds": seconds,
    }
