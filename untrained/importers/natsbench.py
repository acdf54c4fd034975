"""NATS-Bench's own files, of its topology space and its size space, as tables.

Source: Dong, Liu, Musial & Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture
Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437.
"""

import re
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import polars as pl

from untrained.importers.percent import fraction
from untrained.importers.watching import Watched, unwatched
from untrained.pickles import read_pickle
from untrained.spaces import get_space

TEST = {
    "cifar10": ("cifar10", "ori-test"),
    "cifar100": ("cifar100", "x-test"),
    "imagenet16_120": ("ImageNet16-120", "x-test"),
}
"What the benchmark calls each data set and its test images."
VALID = TEST | {
    "cifar10": ("cifar10-valid", "x-valid"),  # trained on half of the training images
    "cifar100": ("cifar100", "x-valid"),
    "imagenet16_120": ("ImageNet16-120", "x-valid"),
}

Trained = Any
"Of one architecture, as the pickle has it: what each training gave, by its epochs as text."
Row = dict[str, float | int | str | None]


def read_natsbench(path: Path, watched: Watched = unwatched) -> tuple[str, pl.DataFrame]:
    """A `simple` folder, read one architecture at a time, or the archive with all in one pickle.

    Accuracies are means over the runs after the last epoch. A row has what `nasbench201.parquet`
    or `natsbench_size.parquet` has, but for columns of single runs that the benchmark does not
    name.

    Args:
        path: the folder, or the archive.
        watched: is given the architectures, and passes them on.

    Returns:
        The name of the table's file, and its rows.

    Raises:
        ValueError: something else, a part of it, or a pickle that names more than plain values.
        FileNotFoundError: nothing there.
    """
    architectures, trained = _opened(path)
    if all(re.fullmatch(r"\d+(:\d+){4}", text) for text in architectures):
        file, row = "natsbench_size.parquet", _size_row
    else:
        architectures = _cells(architectures, path)
        file, row = "nasbench201.parquet", _topology_row
    rows = []
    for index, text in enumerate(watched(architectures)):
        its = trained(index)
        try:
            rows.append({"index": index, "architecture": text} | row(its))
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(
                f"expected results of NATS-Bench for architecture {index} in {path}, got others: "
                f"{type(error).__name__} {error}; fetch it again"
            ) from error
    return file, pl.DataFrame(rows, infer_schema_length=None)


def _opened(path: Path) -> tuple[list[str], Callable[[int], Trained]]:
    """The architectures in order, and what gives the results of one."""
    if path.suffix == ".tar":
        raise ValueError(f"expected the folder in {path}, got the .tar; extract it with tar xf")
    if path.is_dir():
        whole = _read_part(path, "meta")
        keys = {"meta_archs"}
    else:
        whole = read_pickle(path)
        keys = {"meta_archs", "arch2infos"}
    found = whole if isinstance(whole, dict) else {}
    texts = found.get("meta_archs")
    if not keys <= found.keys() or not isinstance(texts, list) or {*map(type, texts)} != {str}:
        raise ValueError(
            f"expected an archive of NATS-Bench with {' and '.join(sorted(keys))} in {path}, got "
            f"{', '.join(sorted(map(shortened, found)))[:80] or type(whole).__name__}; try the "
            f"folder NATS-tss-v1_0-3ffb9-simple"
        )
    if path.is_dir():
        return texts, lambda index: _read_part(path, f"{index:06d}")
    infos = whole["arch2infos"]
    return texts, infos.get if isinstance(infos, dict) else lambda index: None


def _cells(texts: list[str], path: Path) -> list[str]:
    """The architectures of the topology space, in our own text form."""
    parse = get_space("nasbench201").parse
    try:
        return [str(parse(text)) for text in texts]
    except ValueError as error:
        raise ValueError(
            f"expected architectures of NATS-Bench in {path}, got others: {error}"
        ) from error


def _read_part(folder: Path, name: str) -> Any:
    """One file of a `simple` folder."""
    file = folder / f"{name}.pickle.pbz2"
    if not file.exists():
        raise ValueError(
            f"expected {file.name} in a folder of NATS-Bench, got none in {folder}; extract the "
            f"whole of NATS-tss-v1_0-3ffb9-simple.tar, and name the folder in it"
        )
    return read_pickle(file)


def _topology_row(trained: Trained) -> Row:
    row: Row = {}
    for epochs in (12, 200):
        results = trained[str(epochs)]
        for data, names in TEST.items():
            row[f"{data}_test_{epochs}"] = _mean(_accuracies(results, *names))
            row[f"{data}_valid_{epochs}"] = _mean(_accuracies(results, *VALID[data]))
            row[f"{data}_seconds_{epochs}"] = _seconds(results, names[0])
    results = trained["200"]
    each = _accuracies(results, *TEST["cifar10"])
    for run in range(3):
        row[f"cifar10_test_200_seed{run}"] = each[run] if run < len(each) else None
    row["cifar10_train_200"] = _mean(
        [fraction(run["train_acc1es"][run["epochs"] - 1]) for run in _runs(results, "cifar10")]
    )
    return row | _costs(results)


def _size_row(trained: Trained) -> Row:
    results = trained["90"]
    accuracies = {f"{d}_test_90": _mean(_accuracies(results, *TEST[d])) for d in TEST}
    return accuracies | _costs(results)


def _costs(results: Trained) -> Row:
    """Parameters and millions of multiply-adds, by the number of classes."""
    row: Row = {}
    for data, (name, _) in TEST.items():
        run = _runs(results, name)[0]
        row[f"{data}_params"] = round(1e6 * run["params"])
        row[f"{data}_mflops"] = float(run["flop"])
    return row


def _runs(results: Trained, data: str) -> list[Any]:
    """Every run on a data set, in order of its seed."""
    return [results["all_results"][data, seed] for seed in sorted(results["dataset_seed"][data])]


def _accuracies(results: Trained, data: str, images: str) -> list[float]:
    """Of every run, after its last epoch."""
    runs = _runs(results, data)
    return [fraction(run["eval_acc1es"][f"{images}@{run['epochs'] - 1}"]) for run in runs]


def _seconds(results: Trained, data: str) -> float | None:
    """Of training, mean over the runs; None where the benchmark has no times."""
    runs = _runs(results, data)
    if any(run["train_times"] is None for run in runs):
        return None
    return _mean([sum(run["train_times"].values()) for run in runs])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
