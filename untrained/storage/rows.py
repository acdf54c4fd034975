"""Rows of the store as they are read: each value of its column's type, or the row is damaged."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Any

from sqlalchemy import JSON, Column, CursorResult


class Damaged(ValueError):
    """A row that no version of this library wrote; the rest of the store is as it was."""


def as_mappings(result: CursorResult[Any]) -> Iterator[dict[str, Any]]:
    """Rows by the names of their columns; in half the time of `Result.mappings`."""
    names = tuple(result.keys())
    return (dict(zip(names, row, strict=True)) for row in result)


def check_row(columns: Iterable[Any], row: Mapping[str, Any]) -> None:
    """Refuse a row with a value that its column cannot hold.

    Raises:
        Damaged: it says which value of which table.
    """
    for column in columns:
        if isinstance(column, Column) and not _test_of(column)(row[column.name]):
            known = "run", "key", "training", "id", "number", "position"
            which = ", ".join(f"{name} {row[name]!r}" for name in known if name in row)
            raise Damaged(
                f"table {column.table.name} ({which[:80]}): expected {column.name} to be "
                f"{_expected(column)}, got {str(row[column.name])[:60]!r}"
            )


@cache
def _test_of(column: "Column[Any]") -> Callable[[object], bool]:
    """Whether a value is of the column's type; looked up once, as stores have many rows."""
    test = _type_test(column)
    nullable = bool(column.nullable)
    return lambda value: nullable if value is None else test(value)


def _type_test(column: "Column[Any]") -> Callable[[object], bool]:
    if isinstance(column.type, JSON):
        return SHAPES.get(f"{column.table.name}.{column.name}", _mapping)
    kind = column.type.python_type
    return _finite if kind is float else lambda value: type(value) is kind


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and isfinite(value)


def _expected(column: "Column[Any]") -> str:
    if isinstance(column.type, JSON):
        return "what was written there"
    kind = column.type.python_type
    return {float: "a finite number", int: "a whole number", str: "text"}.get(
        kind, "true or false"
    )


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(type(each) is kind for each in value)


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _directions(value: object) -> bool:
    return isinstance(value, dict) and all(each in (1, -1) for each in value.values())


def _columns(value: object) -> bool:
    return isinstance(value, dict) and all(map(_list_of(str), value.values()))


def _matrix(value: Any) -> bool:
    if value is None:
        return True
    rows = isinstance(value, list) and all(map(_list_of(int), value))
    return rows and all(len(row) == len(value) for row in value)


IMAGES = {"name": str, "classes": list, "train": int, "validation": int, "test": int,
          "shape": list, "notes": list}  # fmt: skip


def _images(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    typed = all(type(value.get(name)) is kind for name, kind in IMAGES.items())
    return typed and all(map(_list_of(str), (value["classes"], value["notes"])))


def _with(*names: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and {*value} == {*names}


SHAPES: dict[str, Callable[[object], bool]] = {
    "runs.images": _images,
    "runs.versions": _texts,
    "runs.directions": _directions,
    "runs.meanings": _texts,
    "runs.counts": _list_of(str),
    "runs.shrunk": _with("score", "share", "threshold", "higher_is_better", "values"),
    "runs.limited": _with("limits", "drawn", "within", "tries"),
    "runs.budgeted": _with(
        "seconds",
        "evaluation",
        "epoch",
        "networks",
        "lanes",
        "most_epochs",
        "search_until",
        "calibration",
        "evaluations",
        "stopped",
        "training",
        "paced",
        "spent",
    ),
    "runs.calibrated": _with("accuracies", "scores", "used", "least", "epochs", "images"),
    "trials.draws": _list_of(int),
    "trials.measurements": _columns,
    "pending.draws": _list_of(int),
    "pending.measurements": _columns,
    "trainings.confusion": _matrix,
}
"What JSON columns hold; the others hold a mapping."
