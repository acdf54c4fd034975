"""By what scores are judged: a table, and one column of it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from untrained.tables.standings import OTHER_TABLES, TABLES
from untrained.tables.table import Table

ACCURACY = re.compile(r"(?P<dataset>.+?)_(?:test|valid|surrogate|top)(?:_?(?P<epochs>[0-9]+))?.*")
"Names of columns of accuracies: `cifar10_test_200`, `cifar10_surrogate_valid`, `imagenet_top1`."


class OwnTable(Table):
    """Somebody's Parquet file: a column `architecture`, and accuracies named as `ACCURACY`."""

    title = "a table of your own"
    accuracies: ClassVar = {}

    def __init__(self, path: Path, space: str):
        self.space, self.file = space, path.name  # type: ignore[misc]  # of this one alone
        super().__init__(path)


@dataclass(frozen=True)
class Judged:
    """A table, and the column whose order is the true one."""

    table: Table
    column: str

    @property
    def shortened(self) -> dict[str, str | None]:
        """Columns of validation accuracies after a shorter training, and of its seconds if known.

        They are what a score competes with; test accuracies are not among them.
        """
        dataset, full = _parts(self.column)
        columns = self.table.frame.columns
        found: dict[str, str | None] = {}
        for column in columns:
            epochs = column.removeprefix(f"{dataset}_valid_")
            if epochs.isdecimal() and int(epochs) < int(full or 0):
                seconds = f"{dataset}_seconds_{epochs}"
                found[column] = seconds if seconds in columns else None
        return found


def find_judged(space: str, table: str | None, dataset: str | None, images: str) -> Judged:
    """The table of a space, and the column of a data set.

    Args:
        space: name of the space.
        table: name of a space whose table it is, `darts_trained_600` or another of
            `OTHER_TABLES`, or a Parquet file; None is the space's own.
        dataset: a data set or a column of the table; None is that of the images' name, or the
            first.
        images: their name.

    Raises:
        ValueError: an unknown table or data set, or a table of another space.
        FileNotFoundError: the space's table is not at hand.
    """
    found = find_table(space, table)
    named = {c.name: _parts(c.name)[0] for c in found.frame if c.dtype.is_numeric()}
    named = {column: data for column, data in named.items() if data}
    usual = [c for c in found.accuracies if c in named] or [*named]
    first = {named[c]: c for c in reversed(usual)}  # of several the first
    if dataset is None and usual:
        dataset = images if images in first else named[usual[0]]
    column = dataset if dataset in named else first.get(dataset or "")
    if column is None:
        known = " or ".join(reversed(first)) or "a column such as cifar10_test_200"
        raise ValueError(
            f"dataset: expected {known}, or a column of accuracies of {found.path.name}, which "
            f"are numbers, got {dataset!r}"
        )
    return Judged(found, column)


def find_table(space: str, table: str | None) -> Table:
    """The table by its name or file, or that of the space.

    Raises:
        ValueError: no table of this name, or one of another space.
        FileNotFoundError: the space's table is not at hand.
    """
    known = TABLES | OTHER_TABLES
    if table is None or table in known:
        kind = known[table] if table else TABLES.get(space)
        if kind is None:
            raise ValueError(
                f"space: expected one with a table, {' or '.join(TABLES)}, got {space!r}; give a "
                f"table of your own with --table FILE.parquet"
            )
        if kind.space != space:
            raise ValueError(
                f"table: expected one of the space {space!r}, got {table!r}, whose architectures "
                f"are of {kind.space!r}; try --space {kind.space}"
            )
        return kind()
    path = Path(table)
    if not path.is_file():
        raise ValueError(f"table: expected {' or '.join(known)}, or a Parquet file, got {table!r}")
    named = next((k for k in known.values() if (k.space, k.file) == (space, path.name)), None)
    kind = named or TABLES.get(space)
    own = kind(path) if kind else OwnTable(path, space)
    if own.key_column not in own.frame.columns or "architecture" not in own.frame.columns:
        raise ValueError(
            f"table: expected a column architecture in {path}, got {', '.join(own.frame.columns)}"
        )
    return own


def _parts(column: str) -> tuple[str, str | None]:
    """The data set of a column of accuracies and its epochs; no data set for any other column."""
    found = ACCURACY.fullmatch(column)
    return (found["dataset"], found["epochs"]) if found else ("", None)
