"""Removing a run from a store, with what no other run needs."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection, Table, delete, func, select

from untrained.storage.schema import (
    costs,
    epochs,
    measurements,
    pending,
    runs,
    trained,
    trainings,
    trials,
)
from untrained.storage.store import Store, shared
from untrained.storage.transactions import transaction


@dataclass(frozen=True)
class Removed:
    """What was removed of a store."""

    trials: int
    measurements: int
    trainings: tuple[str, ...]
    "Keys of those that no run names any more."


class Removal:
    """Of one run."""

    def __init__(self, store: Store, name: str):
        self.store, self.name = store, name
        self.engine, self.where = store.engine, store.where

    @transaction
    def __call__(
        self, connection: Connection, beside: Collection[str], *, measured: bool
    ) -> Removed:
        """Removes the run; trials and costs of its search only with the last run that shares it.

        Args:
            connection: of the transaction.
            beside: whose trainings are the search's too, such as those of its calibration.
            measured: whether measurements go that the search made or has among its trials, and
                that no other search has. They are what later runs need not measure again.
        """
        row = connection.execute(select(runs).where(runs.c.name == self.name)).mappings().one()
        run, search = row["id"], row["search"] or row["id"]
        of_search = select(func.count()).select_from(runs).where(shared == search)
        alone = connection.scalar(of_search) == 1
        ids = {run, search, *beside} if alone else {run} - {search}
        keys = self._measured(connection, search) if measured and alone else set()
        count = connection.scalar(select(func.count()).where(trials.c.run == search)) or 0
        connection.execute(delete(runs).where(runs.c.id == run))
        for table in (trials, pending, costs):
            connection.execute(delete(table).where(table.c.run.in_(ids)))
        gone = _orphans(connection, {run, *ids})
        for table, column in ((epochs, epochs.c.training), (trainings, trainings.c.key)):
            for some in _portions(gone):
                connection.execute(delete(table).where(column.in_(some)))
        for some in _portions(sorted(keys)):
            connection.execute(delete(measurements).where(measurements.c.key.in_(some)))
        return Removed(count if alone else 0, len(keys), tuple(gone))

    def _measured(self, connection: Connection, search: str) -> set[str]:
        """Keys of measurements that no other search needs."""
        made = select(measurements.c.key).where(measurements.c.run == search)
        mine = {*connection.scalars(made)}
        others: set[str] = set()
        for table in (trials, pending):
            mine |= _keys(connection, table, table.c.run == search)
            others |= _keys(connection, table, table.c.run != search)
        there = select(measurements.c.key)
        return (mine - others).intersection(connection.scalars(there))


def _keys(connection: Connection, table: Table, which: object) -> set[str]:
    """Of all measurements of some trials."""
    found = connection.scalars(select(table.c.measurements).where(which))  # type: ignore[arg-type]
    return {*chain(*(column for each in found for column in each.values()))}


def _orphans(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Forgets which trainings these are of; the keys of those that are now nobody's."""
    of_them = trained.c.run.in_([*ids])
    keys = {*connection.scalars(select(trained.c.training).where(of_them))}
    connection.execute(delete(trained).where(of_them))
    return sorted(keys.difference(connection.scalars(select(trained.c.training))))


def _portions(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[k : k + 500] for k in range(0, len(keys), 500))  # databases limit variables
