"""The runs of a store, and the one that somebody means."""

from dataclasses import dataclass
from pathlib import Path

from untrained.locations import Location, located
from untrained.runs.reached import Reached, reached
from untrained.runs.record import decided_config, has_ended, training_of, used_directions
from untrained.storage.address import address_of
from untrained.storage.folder import RunFolder
from untrained.storage.rows import Damaged
from untrained.storage.store import Store


@dataclass(frozen=True)
class RunSummary:
    """A run in a list of all."""

    name: str
    reached: Reached | None = None
    "None for a run that cannot be read."
    space: str = ""
    searcher: str = ""
    images: str = ""
    scores: tuple[str, ...] = ()
    "That the search ranks by."
    selected: str | None = None
    test_accuracy: float | None = None
    """Of the selected architecture, in [0, 1], the first of several trainings; None where it was
    not trained."""
    failed: int = 0
    "Trainings that ended early."
    started: float = 0.0
    "Seconds since 1970."
    problem: str = ""
    "Why it cannot be read."


def runs_of(out: Location, store: str | None = None) -> tuple[RunSummary, ...]:
    """Every run, the latest first.

    Raises:
        ValueError: no such store.
        OSError: it cannot be read.
    """
    with Store.reading(address_of(store, out)) as opened:
        return tuple(_summary(opened, name) for name in opened.run_names())


def bytes_of(folder: Location) -> int | None:
    """Of all files of a folder; None where it is under a URL."""
    if not isinstance(folder, Path):
        return None
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files)


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


def _summary(store: Store, name: str) -> RunSummary:
    try:
        row = store.run(name)
        trainings = tuple(map(training_of, store.trainings(row["id"])))
        found = reached(
            decided_config(row),
            store.tried(row["search"] or row["id"]),
            trainings,
            ended=has_ended(row),
            selected=row["selected"],
            running=store.claims.driving(name),
        )
    except Damaged as error:
        return RunSummary(name, problem=str(error))
    accuracies = [t.test_accuracy for t in trainings if t.role == "selected"]
    return RunSummary(
        name=name,
        reached=found,
        space=row["space"],
        searcher=row["searcher"],
        images=str(row["images"].get("name", "")),
        scores=tuple(used_directions(row)),
        selected=row["selected"],
        test_accuracy=next((a for a in accuracies if a is not None), None),
        failed=sum(bool(training.reason) for training in trainings),
        started=row["started"],
    )
