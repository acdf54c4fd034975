"""The runs of a store, and the one that somebody means."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from untrained.locations import Location, located
from untrained.storage.address import address_of
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store

State = Literal["running", "ended", "interrupted"]


@dataclass(frozen=True)
class RunSummary:
    """A run in a line."""

    name: str
    space: str
    searcher: str
    images: str
    trials: int
    "Architectures that were tried."
    selected: str | None
    test_accuracy: float | None
    "Of the selected architecture, in [0, 1]; None where it is not trained."
    state: State
    "Of an `interrupted` one, the same command resumes it; the words are those of pages."
    started: float
    "Seconds since 1970."
    bytes: int | None
    "Of its folder, without the store; None where that is under a URL."
    folder: str


def runs_of(out: Location, store: str | None = None) -> tuple[RunSummary, ...]:
    """Every run, the latest first.

    Raises:
        ValueError: no such store.
        OSError: it cannot be read.
    """
    with Store.reading(address_of(store, out)) as opened:
        return tuple(_summary(opened, RunFolder(out, name, store)) for name in opened.run_names())


def find_run(text: str, out: Location, store: str | None = None) -> RunFolder:
    """The run that is meant: its folder, its name, or a part of that which no other name has.

    Raises:
        ValueError: none, or several.
        OSError: the store cannot be read.
    """
    place = located(text)
    if not isinstance(place, Path) or len(place.parts) > 1:
        out, text = place.parent, place.name
    with Store.reading(address_of(store, out)) as opened:
        names = opened.run_names()
    found = [text] if text in names else [name for name in names if text and text in name]
    if len(found) == 1:
        return RunFolder(out, found[0], store)
    those = ", ".join((found or names)[:5])
    if not names:
        raise ValueError(f"expected a run in {out}, got {text!r}, and there is none")
    how = "one run that is called so, or whose name holds it," if found else "a run"
    raise ValueError(f"expected {how} in {out}, got {text!r}; there are: {those}")


def _summary(store: Store, folder: RunFolder) -> RunSummary:
    row = store.run(folder.name)
    tried = store.tried(row["search"] or row["id"])
    trainings = store.trainings(row["id"])
    accuracies = [t["test_accuracy"] for t in trainings if t["role"] == "selected"]
    return RunSummary(
        name=folder.name,
        space=row["space"],
        searcher=row["searcher"],
        images=row["images"]["name"],
        trials=tried,
        selected=row["selected"],
        test_accuracy=next((a for a in accuracies if a is not None), None),
        state=_state(store, row, tried, trainings),
        started=row["started"],
        bytes=_size(folder.path),
        folder=str(folder.path),
    )


def _state(
    store: Store, row: dict[str, Any], tried: int, trainings: list[dict[str, Any]]
) -> State:
    if store.claims.driving(row["name"]):
        return "running"
    population = row["config"].get("population")
    if population:
        return "ended" if tried >= population["count"] else "interrupted"
    ended = row["ended"] is not None or row["selected"] is not None
    trains = bool(row["config"].get("train")) and row["selected"] is not None
    trained = bool(trainings) and all(each["finished"] for each in trainings)
    return "ended" if ended and (trained or not trains) else "interrupted"


def _size(folder: Location) -> int | None:
    if not isinstance(folder, Path):
        return None
    return sum(file.stat().st_size for file in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
