"""Claims: which driver is at which measurement or training, so that no two make the same one.

A driver holds its claims by a lease, which a thread renews. One that is dead loses them: at once
where its lock can be asked, on the same machine; elsewhere once its lease has ended.
"""

import logging
import platform
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, extract, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from untrained.storage.address import Address
from untrained.storage.folder import is_held
from untrained.storage.lookup import KEYS
from untrained.storage.rows import Damaged, check_row
from untrained.storage.schema import claims, drivers
from untrained.storage.transactions import transaction

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
"How long a driver that says nothing keeps its claims; it renews them three times as often."

CLAIM = {
    "postgresql": postgresql.insert(claims).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(claims).on_conflict_do_nothing(),
}
"Of keys that nobody has claimed, by dialect."
UNCLAIMED = claims.delete().where(claims.c.key.in_(KEYS))
"Keys that nobody claims any more, whoever did."

Made = Callable[[Connection, Sequence[str]], Collection[str]]
"Those of the keys of which what is claimed is there, and is not made again."


class Claims:
    """Those of one driver; a thread renews its lease from the first claim to `end`."""

    def __init__(self, engine: Engine, where: Address, lock: Path | None):
        """Claims nothing yet.

        Args:
            engine: of the store.
            where: the store's address, for people.
            lock: a file that the driver holds as long as it lives; None for none.
        """
        self.engine = engine
        self.where = where
        self.lock = None if lock is None else str(lock.absolute())
        self.driver = uuid4().hex
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        """Notes the driver, and renews its lease until `end`; once."""
        if self.thread is None:
            self._begin()
            self.thread = threading.Thread(target=self._renew_often, name="lease", daemon=True)
            self.thread.start()

    def claim(self, groups: Sequence[Sequence[str]], made: Made) -> list[bool]:
        """Which groups of keys, each wholly, this driver is at from now on.

        No other driver that lives is given any of them. A group of which another is at some, or
        has made some meanwhile, is not claimed.
        """
        self.begin()
        mine = self._take([key for group in groups for key in group])
        return self._unmade(groups, mine, made)

    @transaction
    def release(self, connection: Connection, keys: Collection[str]) -> None:
        """Those of the keys that are this driver's are anybody's again."""
        self._release(connection, keys)

    @transaction
    def driving(self, connection: Connection, run: str) -> bool:
        """Whether a driver of the run of this name lives."""
        return drivers_of(connection, run) > 0

    def end(self) -> None:
        """Gives up all claims, if the store can be reached; if not, the lease ends."""
        if self.thread is None:
            return
        self.ended.set()
        self.thread.join()
        with suppress(DBAPIError), self.engine.begin() as connection:
            _forget(connection, [self.driver])
            connection.execute(delete(claims).where(claims.c.driver == self.driver))

    @transaction
    def _begin(self, connection: Connection) -> None:
        """Clears away what dead drivers left, too."""
        _forget(connection, self._dead(connection))
        self._renew(connection)
        connection.execute(delete(claims).where(claims.c.driver.not_in(select(drivers.c.id))))

    @transaction
    def _take(self, connection: Connection, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are this driver's from now on, or were before."""
        rows = [{"key": key, "driver": self.driver} for key in sorted(keys)]  # all in one order
        if connection.execute(CLAIM[connection.dialect.name], rows).rowcount == len(rows):
            return set(keys)
        _forget(connection, self._dead(connection))
        orphaned = claims.c.driver.not_in(select(drivers.c.id)) & claims.c.key.in_(keys)
        connection.execute(update(claims).where(orphaned).values(driver=self.driver))
        mine = (claims.c.driver == self.driver) & claims.c.key.in_(keys)
        return {*connection.scalars(select(claims.c.key).where(mine))}

    @transaction
    def _unmade(
        self, connection: Connection, groups: Sequence[Sequence[str]], mine: set[str], made: Made
    ) -> list[bool]:
        """In a transaction of its own, as one on a server sees nothing later than its beginning:
        a claim may have waited until another driver had made what it is of."""
        there = set(made(connection, [key for group in groups for key in group]))
        given = [mine.issuperset(group) and there.isdisjoint(group) for group in groups]
        left = (group for group, whole in zip(groups, given, strict=True) if not whole)
        self._release(connection, mine.intersection(chain(*left)))
        return given

    def _release(self, connection: Connection, keys: Collection[str]) -> None:
        if keys:
            mine = (claims.c.driver == self.driver) & claims.c.key.in_(keys)
            connection.execute(delete(claims).where(mine))

    def _renew(self, connection: Connection) -> None:
        """Holds the lease for as long again."""
        until = _now(connection) + LEASE_SECONDS
        mine = update(drivers).where(drivers.c.id == self.driver).values(until=until)
        if not connection.execute(mine).rowcount:
            me = {"id": self.driver, "machine": platform.node(), "lock": self.lock}
            connection.execute(insert(drivers).values(**me, until=until))

    def _renew_often(self) -> None:
        while not self.ended.wait(LEASE_SECONDS / 3):
            try:
                with self.engine.begin() as connection:
                    self._renew(connection)
            except DBAPIError as error:  # the next time will do
                logger.debug("the lease is not renewed: %s", error)

    def _dead(self, connection: Connection) -> list[str]:
        now = _now(connection)
        others = connection.execute(select(drivers).where(drivers.c.id != self.driver)).mappings()
        return [
            other["id"]
            for other in map(dict, others)
            if self._follows(other) or not _lives(other, now)
        ]

    def _follows(self, other: Mapping[str, Any]) -> bool:
        """Whether the other held the lock that this driver holds now, and so is dead."""
        if self.lock is None:
            return False
        return (other["lock"], other["machine"]) == (self.lock, platform.node())


def drivers_of(connection: Connection, run: str) -> int:
    """How many drivers live that are at the run of this name: their locks are in its folder."""
    now = _now(connection)
    noted = connection.execute(select(drivers).where(drivers.c.lock.is_not(None))).mappings()
    living = [driver for driver in map(dict, noted) if _lives(driver, now)]
    return sum(PurePath(driver["lock"]).parent.name == run for driver in living)


def _forget(connection: Connection, ids: Sequence[str]) -> None:
    if ids:
        connection.execute(delete(drivers).where(drivers.c.id.in_(ids)))


def _lives(driver: Mapping[str, Any], now: float) -> bool:
    try:
        check_row(drivers.columns, driver)
    except Damaged:
        return False
    if driver["until"] < now:
        return False
    if driver["lock"] is None or driver["machine"] != platform.node():
        return True
    lock = Path(driver["lock"])
    try:
        return is_held(lock) or not lock.exists()  # of a container with the same host's name
    except OSError:  # somebody else's
        return True


def _now(connection: Connection) -> float:
    """Seconds since 1970, by one clock for all drivers."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(extract("epoch", func.clock_timestamp()))) or 0)
