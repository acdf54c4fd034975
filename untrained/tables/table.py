"""What training gave, and where an architecture stands by it."""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from untrained.data import data_folder
from untrained.spaces import get_space

BUNDLED = Path(__file__).parent
"The folder of the tables that come with the package."


@dataclass(frozen=True)
class Standing:
    """Where one architecture stands among a population, by one column of a table."""

    data: str
    "`CIFAR-10`, `CIFAR-10 validation`, `ImageNet top-1`."
    accuracy: float
    "Of the table, in [0, 1]."
    best: float
    "The best accuracy in the population."
    rank: int
    "1 is the best."
    population: str
    "`all`, `none-free`, `the table's 20,000`."
    size: int
    "Architectures in the population."

    @property
    def percentile(self) -> float:
        """Share of the rest of the population that it beats or equals, in percent."""
        return 100 * (self.size - self.rank) / max(self.size - 1, 1)


class Table(ABC):
    """Abstract: architecture -> accuracies, from a Parquet file with one row an architecture.

    Args:
        path: the Parquet file; the default is the one in the data folder, without it the
            bundled one.

    Raises:
        FileNotFoundError: no such file.
    """

    space: ClassVar[str]
    "Whose architectures the table holds."
    file: ClassVar[str]
    "Name in the folder `tables` of the data folder."
    title: ClassVar[str]
    "For people: what gave the accuracies, such as `200 epochs`."
    accuracies: ClassVar[Mapping[str, str]]
    "Columns of accuracies that architectures stand by, and their data: `CIFAR-10`."
    key_column: ClassVar[str] = "architecture"
    "The column in which a row is found."

    def __init__(self, path: Path | None = None):
        self.path = path or at_hand(self.file) or data_folder() / "tables" / self.file
        if not self.path.exists():
            raise FileNotFoundError(
                f"no table of {self.space} at {self.path}: expected a Parquet file; `untrained "
                f"data` says how to get it, or set UNTRAINED_DATA to the folder that holds "
                f"tables/{self.file}"
            )

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row an architecture: all columns of the file, and those that the table adds.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            return self._prepared(pl.read_parquet(self.path))
        except pl.exceptions.PolarsError as error:
            first, *_ = str(error).splitlines()
            raise ValueError(
                f"expected the table of {self.space} in {self.path}, got something else: {first}"
            ) from error

    def row(self, architecture: str) -> dict[str, Any]:
        """Every column of one architecture, given in any text form that its space reads.

        Raises:
            KeyError: an architecture that the table does not hold.
        """
        rows = self.frame.filter(pl.col(self.key_column) == self._key(architecture))
        if rows.is_empty():
            raise KeyError(
                f"{self.path.name} has no row for {architecture}: expected one of its "
                f"{len(self.frame):,} discrete architectures"
            )
        return rows.row(0, named=True)

    def found(self, architectures: Sequence[str]) -> pl.DataFrame:
        """The rows of those of the architectures that the table holds, in their order.

        The column `asked` has their text as it was given.
        """
        keys = [self._key(architecture) for architecture in architectures]
        asked = pl.DataFrame(
            {"asked": architectures, self.key_column: keys},
            schema={"asked": pl.String, self.key_column: pl.String},
        )
        rows = self.frame.unique(self.key_column, keep="first")
        return asked.join(rows, on=self.key_column, maintain_order="left")

    def standings(self, architecture: str) -> tuple[Standing, ...]:
        """Where the architecture stands by each column of accuracies, in each population.

        Rows without an accuracy are of no population.

        Raises:
            KeyError: an architecture that the table does not hold.
        """
        row = self.row(architecture)
        return tuple(
            _standing(data, row[column], population, frame[column].drop_nulls())
            for column, data in self.accuracies.items()
            if row[column] is not None
            for population, frame in self._populations(row).items()
        )

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The file's columns with those that the table adds."""
        return frame

    def _key(self, architecture: str) -> str:
        """What the row of an architecture has in the key column."""
        return str(get_space(self.space).parse(architecture))

    def _populations(self, row: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
        """Names of the populations that a row is judged among, and their rows."""
        return {f"the table's {len(self.frame):,}": self.frame}


def at_hand(file: str) -> Path | None:
    """A table's file in the data folder, without it the bundled one, or None."""
    places = (data_folder() / "tables", BUNDLED)
    return next((path for folder in places if (path := folder / file).exists()), None)


def _standing(data: str, accuracy: float, population: str, column: pl.Series) -> Standing:
    accuracies = column.to_numpy()
    return Standing(
        data=data,
        accuracy=accuracy,
        best=float(accuracies.max()),
        rank=1 + int((accuracies > accuracy).sum()),
        population=population,
        size=len(accuracies),
    )
