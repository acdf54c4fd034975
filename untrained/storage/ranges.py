"""What a store keeps of a run that is measured range by range, and who is at work on it."""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from untrained.storage.claims import drivers_of
from untrained.storage.lookup import looked_up
from untrained.storage.rows import check_row
from untrained.storage.schema import costs, measurements, trials
from untrained.storage.store import Store
from untrained.storage.transactions import transaction

RANGE = 64
"Architectures of a range: they are claimed together, and noted together once all are measured."
WALL = "search"
"The step of the cost ledger under which a driver notes the seconds of each range."
RECENT = 200
"Ranges that a rate is taken of."


class Ranges:
    """Those of one run: range n holds the trials from number n * RANGE on."""

    def __init__(self, store: Store, run: str):
        self.store, self.run = store, run
        self.engine, self.where = store.engine, store.where

    @transaction
    def kept(self, connection: Connection, numbers: Sequence[int] | None = None) -> set[int]:
        """The ranges that are stored; of these, if some are given."""
        first = select(trials.c.number).where(trials.c.run == self.run)
        if numbers is None:
            first = first.where(trials.c.number % RANGE == 0)
        else:
            first = first.where(trials.c.number.in_([n * RANGE for n in numbers]))
        return {number // RANGE for number in connection.scalars(first)}

    def claim(self, numbers: Sequence[int]) -> list[bool]:
        """Which of the ranges this driver is at from now on; other drivers take others first."""
        return self.store.claims.claim([[self._key(n)] for n in numbers], _nothing)

    def release(self, numbers: Sequence[int]) -> None:
        """This driver is no longer at these."""
        self.store.claims.release([self._key(n) for n in numbers])

    @transaction
    def trials(self, connection: Connection) -> int:
        """Architectures that are measured, so far as ranges are stored."""
        of_it = select(func.count()).where(trials.c.run == self.run)
        return connection.scalar(of_it) or 0

    @transaction
    def failures(self, connection: Connection) -> list[tuple[str, str, int]]:
        """Score, reason and how often, of measurements that this run made, most often first."""
        often = func.count().label("often")
        failed = (measurements.c.run == self.run) & measurements.c.value.is_(None)
        query = select(measurements.c.score, measurements.c.reason, often).where(failed)
        grouped = query.group_by(measurements.c.score, measurements.c.reason)
        rows = connection.execute(grouped.order_by(often.desc(), measurements.c.score))
        return [tuple(row) for row in rows]

    @transaction
    def seconds(self, connection: Connection) -> tuple[int, float]:
        """How many ranges lately, and for how long one driver was at them in all."""
        of_it = (costs.c.run == self.run) & costs.c.wall & (costs.c.step == WALL)
        query = select(costs.c.seconds).where(of_it).order_by(costs.c.id.desc()).limit(RECENT)
        found = [*connection.scalars(query)]
        return len(found), fsum(found)

    @transaction
    def drivers(self, connection: Connection, name: str) -> int:
        """How many are at work on the run of this name."""
        return drivers_of(connection, name)

    @transaction
    def content(
        self, connection: Connection, number: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows of a range's trials, and of all their measurements."""
        first = number * RANGE
        of_it = trials.c.number.between(first, first + RANGE - 1) & (trials.c.run == self.run)
        rows = _rows(connection, select(trials).where(of_it).order_by(trials.c.number))
        keys = sorted(
            {k for row in rows for column in row["measurements"].values() for k in column}
        )
        found = []
        for start in range(0, len(keys), 500):  # databases limit a statement's variables
            some = measurements.c.key.in_(keys[start : start + 500])
            found += _rows(connection, select(measurements).where(some))
        return rows, found

    def values(self, number: int) -> Iterator[dict[str, Any]]:
        """Of each draw of a range's architectures, `architecture`, `draw` and the scores."""
        rows, found = self.content(number)
        values = {row["key"]: row["value"] for row in found}
        for row in rows:
            for i, draw in enumerate(row["draws"]):
                scores = {k: values.get(column[i]) for k, column in row["measurements"].items()}
                yield {"architecture": row["architecture"], "draw": draw, **scores}

    @transaction
    def add(
        self,
        connection: Connection,
        rows: Sequence[Mapping[str, Any]],
        measured: Sequence[Mapping[str, Any]],
    ) -> None:
        """Keeps a range as another store has it; what is here already stays."""
        there: set[str] = set()
        keys = [row["key"] for row in measured]
        for start in range(0, len(keys), 500):
            there |= looked_up(connection, keys[start : start + 500]).keys()
        if fresh := [dict(row) for row in measured if row["key"] not in there]:
            connection.execute(insert(measurements), fresh)
        first = (trials.c.run == self.run) & (trials.c.number == rows[0]["number"])
        if connection.scalar(select(trials.c.number).where(first)) is None:
            connection.execute(insert(trials), [dict(row) for row in rows])

    def _key(self, number: int) -> str:
        return f"{self.run}/{number}"


def _rows(connection: Connection, query: "Select[Any]") -> list[dict[str, Any]]:
    rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        check_row(query.selected_columns, row)
    return rows


def _nothing(connection: Connection, keys: Sequence[str]) -> tuple[str, ...]:
    """What is there of ranges is asked otherwise."""
    return ()
