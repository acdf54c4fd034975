"""What tests put into stores, and how they look into them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, text

from untrained.scores.score import Bound, Reading
from untrained.storage.address import Address

RUN = {
    "name": "first", "search": "s", "space": "nasbench201", "searcher": "random",
    "config": {"draws": 3, "scores": ["a", "b"]}, "versions": {"torch": "2"},
    "images": {"name": "digits", "classes": ["0", "1"], "train": 1, "validation": 1, "test": 1,
               "shape": [1, 8, 8], "notes": ["caf\udce9"]},
    "directions": {"a": 1, "b": -1}, "meanings": {"a": "what"}, "counts": ["b"],
}  # fmt: skip
"A row of `runs`, without what the store notes itself."


def measured(
    key: str, value: float | None = 1.0, reason: str = "", bound: Bound | None = None
) -> dict[str, Any]:
    """A row of `measurements`."""
    return {
        "key": key, "run": "s", "question": {"draw": 0, "of": key}, "score": "a", "value": value,
        "reason": reason, "bound_kind": bound and bound.kind,
        "bound_amount": bound and bound.amount, "seconds": 0.25,
    }  # fmt: skip


def tried(number: int, batch: int, *keys: str, run: str = "s") -> dict[str, Any]:
    """A row of `trials`, with a draw for each key."""
    return {
        "run": run, "number": number, "batch": batch, "architecture": f"a{number}",
        "draws": list(range(len(keys))), "role": None, "note": "random", "epochs": None,
        "measurements": {"a": list(keys)},
    }  # fmt: skip


def url_of(address: Address) -> str | URL:
    """As SQLAlchemy takes it."""
    if isinstance(address, str):
        return address
    return URL.create("sqlite", database=str(address))


def said(address: Address, statement: str, **values: Any) -> Sequence[Any]:
    """The rows that SQL gives, or none; written at once."""
    engine = create_engine(url_of(address))
    try:
        with engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return found.fetchall() if found.returns_rows else []
    finally:
        engine.dispose()


def reading(row: dict[str, Any]) -> Reading:
    """What a row of `measurements` should be read as."""
    bound = row["bound_kind"] and Bound(row["bound_kind"], row["bound_amount"])
    return Reading(row["value"], row["reason"], bound)


def files_with(word: str, folder: Path) -> list[Path]:
    """Files under a folder that hold the word."""
    return [
        path for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]  # fmt: skip
