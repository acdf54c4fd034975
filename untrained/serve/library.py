"""What is in a store and in the folder beside it, read and never written."""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from pathlib import Path

from untrained.locations import Location
from untrained.runs.listing import RunSummary, runs_of
from untrained.runs.record import RunRecord, load_record
from untrained.serve.changes import Changes, stamps
from untrained.storage.address import Address, address_of
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store
from untrained.tracking.snapshot_files import SNAPSHOTS
from untrained.tracking.track import ABOUT
from untrained.tracking.track_one import holds_tracking


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

    def summaries(self) -> tuple[RunSummary, ...]:
        """Every run, the latest first.

        Raises:
            ValueError, OSError: the store cannot be read.
        """
        return runs_of(self.out, self.store) if self.is_there else ()

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
