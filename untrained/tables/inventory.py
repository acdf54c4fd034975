"""The tables that the package knows, those at hand and those to get."""

from dataclasses import dataclass, replace

import polars as pl

from untrained.data import Holding, sha256, where
from untrained.tables.table import at_hand


@dataclass(frozen=True)
class KnownTable:
    """A file of the folder `tables`."""

    file: str
    holds: str
    "In a few words."
    source: str
    "What it is made from, and where that is published."
    format: str = ""
    "Of `untrained data import`; empty where there is no importer."

    @property
    def obtain(self) -> str:
        """How to get it, in a line."""
        if self.format:
            return f"{self.source}; then untrained data import {self.format} PATH"
        return f"{self.source}; there is no importer, bring the Parquet file"


NATS_BENCH = "of NATS-Bench, https://github.com/D-X-Y/NATS-Bench"
SUITE_ZERO = "of NAS-Bench-Suite-Zero, https://github.com/automl/NASLib, branch zerocost"
KNOWN = (
    KnownTable(
        "nasbench201.parquet",
        "NAS-Bench-201: accuracies, costs and training times",
        f"the folder NATS-tss-v1_0-3ffb9-simple {NATS_BENCH}",
        "natsbench",
    ),
    KnownTable(
        "nasbench201_published_proxies.parquet",
        "NAS-Bench-201: published values of 13 proxies",
        f"zc_nasbench201.json {SUITE_ZERO}",
        "suite-zero",
    ),
    KnownTable(
        "nasbench201_hardware.parquet",
        "NAS-Bench-201: latency and energy on six devices",
        "HW-NAS-Bench-v1_0.pickle of https://github.com/GATECH-EIC/HW-NAS-Bench",
        "hwnasbench",
    ),
    KnownTable(
        "natsbench_size.parquet",
        "NATS-Bench size space: accuracies after 90 epochs",
        f"the folder NATS-sss-v1_0-50262-simple {NATS_BENCH}",
        "natsbench",
    ),
    KnownTable(
        "nasbench101.parquet",
        "NAS-Bench-101: accuracies after 4, 12, 36 and 108 epochs",
        "nasbench_full.tfrecord of https://github.com/google-research/nasbench",
        "nasbench101",
    ),
    KnownTable(
        "nasbench101_published_proxies.parquet",
        "NAS-Bench-101: published values of 13 proxies",
        f"zc_nasbench101.json {SUITE_ZERO}",
        "suite-zero",
    ),
    KnownTable(
        "nasbench301.parquet",
        "NAS-Bench-301: DARTS genotypes and what training gave them",
        "the folder of results_*.json files of https://github.com/automl/nasbench301",
        "nasbench301",
    ),
    KnownTable(
        "nasbench301_725.parquet",
        "NAS-Bench-301: DARTS genotypes, a surrogate's accuracies and published proxies",
        f"zc_nasbench301.json {SUITE_ZERO}",
        "suite-zero",
    ),
    KnownTable(
        "darts_trained_600.parquet",
        "DARTS genotypes after 200 epochs of training",
        "the 600 networks of SWAP, https://arxiv.org/abs/2403.04161",
    ),
    KnownTable(
        "mnas_imagenet.parquet",
        "MNAS: ImageNet accuracies after a short training",
        "Accel-NASBench, https://github.com/afzalxo/Accel-NASBench",
    ),
)


def known_tables() -> tuple[Holding, ...]:
    """What there is of each table that the package knows, each file read once for its checksum."""
    return tuple(map(_holding, KNOWN))


def _holding(table: KnownTable) -> Holding:
    path = at_hand(table.file)
    missing = Holding(f"tables/{table.file}", table.holds, table.obtain)
    if path is None:
        return missing
    found = replace(missing, where=where(path), path=path)
    try:
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        return replace(found, rows=rows, sha256=sha256(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        return replace(found, reason=f"expected a Parquet file: {str(error).splitlines()[0]}")
