"""What is in a store and in the folder beside it, read and never written."""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from untrained.locations import Location
from untrained.pages.progress import Progress, progress
from untrained.runs.record import RunRecord, load_record, training_of
from untrained.runs.snapshot_files import SNAPSHOTS
from untrained.runs.track_one import holds_tracking
from untrained.runs.tracking import ABOUT
from untrained.serve.changes import Changes, stamps
from untrained.storage.address import Address, address_of
from untrained.storage.folder import RunFolder
from untrained.storage.rows import Damaged
from untrained.storage.store import Store


@dataclass(frozen=True)
class Line:
    """A run in the list of all."""

    name: str
    progress: Progress | None = None
    "None for a run that cannot be read."
    space: str = ""
    searcher: str = ""
    images: str = ""
    scores: tuple[str, ...] = ()
    accuracy: float | None = None
    "Of the selected architecture on the test images, the first of several trainings."
    failed: int = 0
    "Trainings that ended early."
    problem: str = ""
    "Why it cannot be read."


class Library:
    """The runs of a store, and the trackings of a folder."""

    def __init__(self, out: Location, store: str | None = None) -> None:
        """Opens nothing yet.

        Args:
            out: the folder of runs.
            store: where their store is, if not in the folder.

        Raises:
            ValueError: `store` is no address.
        """
        self.out = out
        self.store = store
        self.address: Address = address_of(store, out)
        self.changes = Changes(self.address)

    @property
    def is_there(self) -> bool:
        """Whether there is a store to be read; a server's is taken to be."""
        return not isinstance(self.address, Path) or self.address.exists()

    def state(self) -> Hashable:
        """Another value after anything was written."""
        files = [folder.path / file for folder in self._trackings() for file in (ABOUT, SNAPSHOTS)]
        return self.changes.state(), stamps(files)  # type: ignore[arg-type]

    def lines(self) -> list[Line]:
        """Every run, the latest first.

        Raises:
            ValueError, OSError: the store cannot be read.
        """
        if not self.is_there:
            return []
        with Store.reading(self.address) as opened:
            return [_line(opened, name) for name in opened.run_names()]

    def trackings(self) -> list[str]:
        """Names of the folders of trackings, the latest first."""
        return [folder.name for folder in self._trackings()]

    def tracking(self, name: str) -> RunFolder:
        """The folder of a tracking; KeyError where there is none of this name."""
        if name not in self.trackings():
            raise KeyError(name)
        return RunFolder(self.out, name)

    def runs(self, names: Sequence[str]) -> list[RunRecord]:
        """The runs of these names.

        Raises:
            KeyError: there is none of one of the names.
            ValueError, OSError: one cannot be read.
        """
        with Store.reading(self.address) as opened:
            known = opened.run_names()
        for name in names:
            if name not in known:
                raise KeyError(name)
        return [load_record(self.address, name) for name in names]

    def _trackings(self) -> list[RunFolder]:
        if not isinstance(self.out, Path):
            return []
        found: list[tuple[float, RunFolder]] = []
        with suppress(OSError):
            for path in self.out.iterdir():
                folder = RunFolder(self.out, path.name)
                if holds_tracking(folder):
                    found.append((-path.stat().st_ctime, folder))
        return [folder for _, folder in sorted(found, key=lambda each: (each[0], each[1].name))]


def _line(store: Store, name: str) -> Line:
    try:
        row = store.run(name)
        trainings = tuple(map(training_of, store.trainings(row["id"])))
        ended = row["selected"] is not None or row["ended"] is not None
        found = progress(
            row["config"],
            store.tried(row["search"] or row["id"]),
            trainings,
            ended=ended,
            running=store.claims.driving(name),
        )
    except Damaged as error:
        return Line(name, problem=str(error))
    selected = (t.test_accuracy for t in trainings if t.role == "selected")
    return Line(
        name,
        found,
        row["space"],
        row["searcher"],
        str(row["images"].get("name", "")),
        tuple(row["directions"]),
        next((accuracy for accuracy in selected if accuracy is not None), None),
        sum(bool(training.reason) for training in trainings),
    )
