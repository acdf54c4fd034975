"""NAS-Bench-201: what 200 epochs of training gave every architecture.

Source: Dong & Yang, ICLR 2020; values of NATS-Bench v1.0, https://arxiv.org/abs/2009.00437.
"""

from functools import cached_property
from pathlib import Path

import polars as pl

from untrained.data import data_folder
from untrained.spaces import get_space
from untrained.tables.table import Standing

DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16_120": "ImageNet16-120",
}


class NASBench201Table:
    """Architecture -> test accuracies after 200 epochs.

    Args:
        path: the Parquet file; the default is the one in the data folder.

    Raises:
        FileNotFoundError: no such file.
    """

    def __init__(self, path: Path | None = None):
        self.path = path or data_folder() / "tables" / "nasbench201.parquet"
        if not self.path.exists():
            raise FileNotFoundError(
                f"no NAS-Bench-201 table at {self.path}: expected a Parquet file; set "
                f"UNTRAINED_DATA to the folder that holds tables/nasbench201.parquet"
            )

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row an architecture, all columns of the file, and `none_free`."""
        none_free = ~pl.col("architecture").str.contains("none")
        try:
            return pl.read_parquet(self.path).with_columns(none_free=none_free)
        except pl.exceptions.PolarsError as error:
            raise ValueError(
                f"expected the NAS-Bench-201 table in {self.path}, got something else: {error}"
            ) from error

    def row(self, architecture: str) -> dict[str, object]:
        """Every column of one architecture.

        Raises:
            KeyError: an architecture that the table does not hold.
        """
        text = str(get_space("nasbench201").parse(architecture))
        rows = self.frame.filter(pl.col("architecture") == text)
        if rows.is_empty():
            raise KeyError(f"{self.path.name} has no row for {text}: expected a discrete cell")
        return rows.row(0, named=True)

    def standings(self, architecture: str) -> tuple[Standing, ...]:
        """Where the architecture stands on each data set, among all and among `none`-free ones.

        The second is there only for an architecture without `none`, as the pruning search finds.
        """
        row = self.row(architecture)
        populations = {"all": self.frame}
        if row["none_free"]:
            populations["none-free"] = self.frame.filter("none_free")
        return tuple(
            self._standing(row, column, population, frame)
            for column in DATA
            for population, frame in populations.items()
        )

    def _standing(
        self, row: dict[str, object], column: str, population: str, frame: pl.DataFrame
    ) -> Standing:
        accuracies = frame[f"{column}_test_200"].to_numpy()
        accuracy = float(row[f"{column}_test_200"])  # type: ignore[arg-type]
        return Standing(
            data=DATA[column],
            accuracy=accuracy,
            best=float(accuracies.max()),
            rank=1 + int((accuracies > accuracy).sum()),
            population=population,
            size=len(accuracies),
        )
