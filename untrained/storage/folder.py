"""A run's folder, its lock, and where everything in it lies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from untrained.locations import Location, lock_file
from untrained.storage.address import Address, address_of
from untrained.urls import URL


@dataclass(frozen=True)
class RunFolder:
    """`<out>/<run name>`, beside the store that it shares with other runs."""

    out: Location
    name: str
    elsewhere: str | None = field(default=None, repr=False)
    "Where the store is if not in `out`, as `--store` says it."
    driver: int | None = None
    "Number of a driver among several that are at work on the run; None where there is one alone."

    @property
    def path(self) -> Location:
        """The run's own folder."""
        return self.out / self.name

    @property
    def store(self) -> Path:
        """File of the store, which all runs in `out` share, unless theirs is elsewhere.

        Raises:
            ValueError: `out` is a URL, where no store can be.
        """
        found = address_of(None, self.out)
        assert isinstance(found, Path)
        return found

    @property
    def address(self) -> Address:
        """Where the store is.

        Raises:
            ValueError: `elsewhere` is no address.
        """
        return address_of(self.elsewhere, self.out)

    @property
    def trainings(self) -> Location:
        """Folder of checkpoints, which all runs in `out` share."""
        return self.out / "trainings"

    @property
    def report(self) -> Location:
        """The run's page."""
        return self.path / "report.html"

    @property
    def network(self) -> Location:
        """Folder of the exported network."""
        return self.path / "network"

    @property
    def lock(self) -> Path:
        """File that the process at work holds, always of this machine."""
        return lock_file(self.path / ("lock" if self.driver is None else f"lock-{self.driver}"))

    def checkpoint(self, training: str) -> Location:
        """File of a training, which several runs may share."""
        return self.trainings / f"{training}.pt"

    @contextmanager
    def held(self) -> Iterator["RunFolder"]:
        """Makes the folders and holds the run against a second driver.

        The lock ends with the process, however that ends.

        Raises:
            OSError: a folder that cannot be made or written, or a run that is held.
            ValueError: a URL that no library here can read and write.
        """
        if isinstance(self.out, URL):
            self.out.check_reached()
        try:
            for folder in (self.path, self.lock.parent):
                folder.mkdir(parents=True, exist_ok=True)
            (self.out / "trainings").mkdir(exist_ok=True)
            lock = FileLock(self.lock, timeout=0.2)  # `is_held` takes it for a moment
            lock.acquire()
        except Timeout as error:
            raise OSError(
                f"the run {self.path} is in use by another process: wait for it, or choose "
                f"another --seed or --out"
            ) from error
        except OSError as error:
            raise OSError(
                f"cannot write to {self.path}: {error.strerror or error}; choose an --out that "
                f"can be written"
            ) from error
        try:
            yield self
        finally:
            lock.release()


@contextmanager
def held_beside(folder: RunFolder) -> Iterator[RunFolder]:
    """Holds the run beside other drivers, as the first number that is free.

    Raises:
        OSError: a folder that cannot be made or written.
    """
    for number in count(1):
        numbered = replace(folder, driver=number)
        with ExitStack() as stack:
            try:
                stack.enter_context(numbered.held())
            except OSError as error:
                if isinstance(error.__cause__, Timeout):
                    continue
                raise
            yield numbered
        return


def is_held(lock: Path) -> bool:
    """Whether a process holds this lock.

    Raises:
        OSError: it cannot be asked.
    """
    if lock.is_symlink() or not lock.exists():  # taking it empties it
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
