"""Whether anything was written, told without reading it."""

from collections.abc import Hashable, Iterable
from pathlib import Path

from sqlalchemy import Engine, text

from untrained.storage.address import Address
from untrained.storage.explained import explaining
from untrained.storage.server import server_engine

LOG_POSITION = text(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_insert_lsn() END::text"
)
"Of a PostgreSQL server: how far its write-ahead log has come, which any commit moves on."


class Changes:
    """Those of a store: of its file and the journal beside it, or of its server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.engine: Engine | None = None

    def close(self) -> None:
        """Lets go of the server."""
        if self.engine is not None:
            self.engine.dispose()

    def state(self) -> Hashable:
        """Another value after any commit; also, now and then, after none.

        Raises:
            ValueError, OSError: the server cannot be asked.
        """
        if isinstance(self.address, Path):
            journal = self.address.with_name(f"{self.address.name}-wal")
            return stamps((self.address, journal))
        if self.engine is None:
            reading = server_engine(self.address).execution_options(postgresql_readonly=True)
            self.engine = reading
        with explaining(self.address), self.engine.connect() as connection:
            return connection.scalar(LOG_POSITION)


def stamps(files: Iterable[Path]) -> Hashable:
    """When each was last written, and how long it is; None for one that is not there."""
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> Hashable:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
