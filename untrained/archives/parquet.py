"""Hugging Face's image sets: Parquet shards with a column of encoded pictures and one of labels.

A picture is a structure of `bytes` and `path`; what each column means, and class names, stand in
JSON under the key `huggingface` of a file's metadata: `info.features`.

Source: https://huggingface.co/docs/datasets/image_dataset.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from untrained.archives.contents import Shard, Shards, check_indices, class_indices
from untrained.archives.splits import files_ending, shards_by_split

ENDING = ".parquet"
LABELS = ("label", "labels", "fine_label")
"Names of columns that are labels where more than one could be."


class Columns(NamedTuple):
    """What the columns of a shard are."""

    image: str
    within: bool
    "Whether the encoded picture is the field `bytes` of a structure."
    label: str
    classes: tuple[str, ...]
    "Class names, where the metadata has some."


def is_parquet(path: Path) -> bool:
    """Tell by endings whether there are shards."""
    return bool(files_ending(path, ENDING))


def read_parquet(path: Path) -> Shards:
    """Read labels and class names; pictures when they are needed, row group by row group.

    Labels are the column `label`, `labels` or `fine_label`, or else the only one of whole numbers
    or of text. Class names come from the metadata; without, they are what the labels are.

    Raises:
        ValueError: If a file is no Parquet, or has no column of pictures or of labels.
    """
    splits = shards_by_split(files_ending(path, ENDING), path)
    files = [(split, file) for split, found in splits.items() for file in found]
    columns = [find_columns(file) for _, file in files]
    labels = [_labels(file, each) for (_, file), each in zip(files, columns, strict=True)]
    classes, indices = columns[0].classes, labels
    if not classes or labels[0].dtype.kind == "U":
        classes, indices = class_indices(labels)
    shards = [
        Shard(file, split, _names(file, len(found)), found, partial(_pictures, file, its))
        for (split, file), its, found in zip(files, columns, indices, strict=True)
    ]
    check_indices(shards, classes, path)
    return Shards(classes, tuple(shards))


def find_columns(file: Path) -> Columns:
    """Which columns are pictures and labels.

    Raises:
        ValueError: If that cannot be told.
    """
    import polars as pl  # here, because only Parquet needs it

    with _said(file):
        schema = pl.read_parquet_schema(file)
        features = _features(pl.read_parquet_metadata(file).get("huggingface", ""))
    structures = [name for name, kind in schema.items() if _holds_bytes(kind)]
    images = structures + [name for name, kind in schema.items() if kind == pl.Binary]
    plain = [name for name, kind in schema.items() if kind.is_integer() or kind == pl.String]
    label = find_label(plain, features)
    if len(images) != 1 or label is None:
        lacking = "pictures (a structure with `bytes`)" if len(images) != 1 else "labels"
        got = ", ".join(f"{name} ({kind})" for name, kind in schema.items())
        raise ValueError(
            f"expected one column of {lacking} in {file}, got the columns {got[:200] or 'none'}; "
            f"keep one such column, and call that of labels `label`"
        )
    names = features.get(label, {}).get("names", [])
    return Columns(images[0], images[0] in structures, label, tuple(map(str, names)))


def find_label(plain: list[str], features: Mapping[str, Any]) -> str | None:
    """The column of labels; None where it cannot be told.

    Args:
        plain: Columns of whole numbers or text.
        features: What the metadata says of columns.
    """
    usual = [name for name in LABELS if name in plain][:1]
    meant = [name for name in plain if features.get(name, {}).get("_type") == "ClassLabel"]
    return next((found[0] for found in (usual, meant, plain) if len(found) == 1), None)


def _holds_bytes(kind: Any) -> bool:
    import polars as pl

    return isinstance(kind, pl.Struct) and pl.Field("bytes", pl.Binary) in kind.fields


def _features(text: str) -> dict[str, dict[str, Any]]:
    """Column -> what the metadata says of it; nothing where it is not as expected."""
    try:
        found = json.loads(text)["info"]["features"]
        return {name: each for name, each in found.items() if isinstance(each, dict)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _labels(file: Path, columns: Columns) -> np.ndarray:
    """The labels of a file, as integers from 0 or as text."""
    import polars as pl

    with _said(file):
        found = pl.read_parquet(file, columns=[columns.label])[columns.label]
    missing = found.null_count()
    negative = not missing and found.dtype.is_integer() and len(found) and (found < 0).sum()
    if missing or negative or not len(found):
        got = f"{missing} without" if missing else f"{negative} below 0" if negative else "no row"
        raise ValueError(
            f"expected a label for each row in the column {columns.label!r} of {file}, from 0 or "
            f"as text, got {got}; leave such rows out"
        )
    return found.to_numpy().astype(str if found.dtype == pl.String else np.int64)


def _pictures(file: Path, columns: Columns, start: int, stop: int) -> list[bytes | None]:
    """The encoded pictures of some rows."""
    import polars as pl

    with _said(file):
        rows = pl.scan_parquet(file).select(columns.image).slice(start, stop - start).collect()
    found = rows[columns.image]
    return (found.struct.field("bytes") if columns.within else found).to_list()


def _names(file: Path, count: int) -> list[str]:
    return [f"{file.name} row {row}" for row in range(count)]


@contextmanager
def _said(file: Path) -> Iterator[None]:
    """Says in one line what polars cannot read."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(
            f"expected a Parquet file in {file}, got something else or a part of one "
            f"({str(error).splitlines()[0][:100]}); fetch it again"
        ) from error
