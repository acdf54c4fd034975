"""HW-NAS-Bench's own file, `HW-NAS-Bench-v1_0.pickle`, as a table.

Source: Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021,
https://arxiv.org/abs/2103.10584; https://github.com/GATECH-EIC/HW-NAS-Bench.
"""

from pathlib import Path
from typing import Any

import polars as pl

from untrained.importers.watching import Watched, unwatched
from untrained.pickles import read_pickle

FILE = "nasbench201_hardware.parquet"
DATA = ("cifar10", "cifar100", "ImageNet16-120")
METRICS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
)


def read_hwnasbench(path: Path, watched: Watched = unwatched) -> tuple[str, pl.DataFrame]:
    """Latencies in ms and energies in mJ of NAS-Bench-201, a row for each data set and index.

    Args:
        path: the file.
        watched: is given the data sets, and passes them on.

    Returns:
        The name of the table's file, and its rows.

    Raises:
        ValueError: something else, a part of it, or a pickle that names more than plain values.
        FileNotFoundError: nothing there.
    """
    whole = read_pickle(path)
    try:
        return FILE, pl.concat([_rows(whole["nasbench201"][data], data) for data in watched(DATA)])
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"expected devices of HW-NAS-Bench for {', '.join(DATA)} in {path}, got something "
            f"else: {type(error).__name__} {error}; try HW-NAS-Bench-v1_0.pickle"
        ) from error


def _rows(its: Any, data: str) -> pl.DataFrame:
    columns = {metric: _numbers(its[metric]) for metric in METRICS}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"expected as many values of each device, got others on {data}")
    name = data.lower().replace("-", "_")
    return pl.DataFrame(columns).select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("index"),
        pl.lit(name).alias("dataset"),
        pl.all(),
    )


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values]
