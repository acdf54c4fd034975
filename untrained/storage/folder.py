"""A run's folder, its lock, and where everything in it lies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from untrained.storage.address import Address, address_of


@dataclass(frozen=True)
class RunFolder:
    """`<out>/<run name>`, beside the store that it shares with other runs."""

    out: Path
    name: str
    elsewhere: str | None = field(default=None, repr=False)
    "Where the store is if not in `out`, as `--store` says it."
    driver: int | None = None
    "Number of a driver among several that are at work on the run; None where there is one alone."

    @property
    def path(self) -> Path:
        """The run's own folder."""
        return self.out / self.name

    @property
    def store(self) -> Path:
        """File of the store, which all runs in `out` share, unless theirs is elsewhere."""
        return self.out / "store.db"

    @property
    def address(self) -> Address:
        """Where the store is.

        Raises:
            ValueError: `elsewhere` is no address.
        """
        return address_of(self.elsewhere, self.out)

    @property
    def report(self) -> Path:
        """The run's page."""
        return self.path / "report.html"

    @property
    def network(self) -> Path:
        """Folder of the exported network."""
        return self.path / "network"

    @property
    def lock(self) -> Path:
        """File that the process at work holds."""
        return self.path / ("lock" if self.driver is None else f"lock-{self.driver}")

    def running(self) -> bool:
        """Whether a process holds the run; taken for no where that cannot be asked."""
        try:
            return is_held(self.lock)
        except OSError:  # a folder that is read-only
            return False

    def checkpoint(self, training: str) -> Path:
        """File of a training, which several runs may share."""
        return self.out / "trainings" / f"{training}.pt"

    @contextmanager
    def held(self) -> Iterator["RunFolder"]:
        """Makes the folders and holds the run against a second driver.

        The lock ends with the process, however that ends.

        Raises:
            OSError: a folder that cannot be made or written, or a run that is held.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.out / "trainings").mkdir(exist_ok=True)
            lock = FileLock(self.lock, timeout=0.2)  # `running` takes it for a moment
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
