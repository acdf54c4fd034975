"""The store: everything a run asked, tried, measured and trained, through SQLAlchemy Core.

SQLite in write-ahead mode; `Store.open` takes the URL of another database too. Only the driver of
a run writes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select
from sqlalchemy.exc import DatabaseError

from untrained.runs.schema import (
    SCHEMA,
    costs,
    epochs,
    measurements,
    metadata,
    runs,
    schema,
    trained,
    trainings,
    trials,
)
from untrained.scores.score import Bound, Reading
from untrained.training.epoch import Epoch


class Store:
    """One database; opened by `Store.open`, shared by any number of runs."""

    def __init__(self, engine: Engine):
        self.engine = engine

    @classmethod
    def open(cls, url: str | Path) -> "Store":
        """Opens a store, and makes its tables where there are none.

        Args:
            url: a file of SQLite, or the URL of another database.

        Raises:
            ValueError: a store of a newer schema, or a file that is no database.
            OSError: it cannot be opened or written.
        """
        address = f"sqlite:///{url}" if isinstance(url, Path) else url
        engine = create_engine(address)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_at_once)
        store = cls(engine)
        with store._write() as connection:
            metadata.create_all(connection)
            version = connection.scalar(select(schema.c.version))
            if version is None:
                connection.execute(insert(schema).values(version=SCHEMA))
            elif version < SCHEMA:
                if version == 1:
                    connection.exec_driver_sql("ALTER TABLE trials ADD COLUMN epochs INTEGER")
                connection.exec_driver_sql("ALTER TABLE measurements ADD COLUMN bound JSON")
                connection.execute(schema.update().values(version=SCHEMA))
            elif version > SCHEMA:
                raise ValueError(
                    f"the store {url} was written by a newer untrained: expected schema {SCHEMA} "
                    f"or older, got {version}; upgrade untrained, or choose another --out"
                )
        return store

    def close(self) -> None:
        """Lets go of the database."""
        self.engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """A transaction whose failures say what to try."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise _explained(error, self.engine.url.database or str(self.engine.url)) from error

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._write() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    # Runs

    def begin_run(self, run: str, values: Mapping[str, Any]) -> None:
        """Notes a run, or renews what is noted of it."""
        with self._write() as connection:
            known = connection.scalar(select(runs.c.id).where(runs.c.id == run))
            if known is None:
                connection.execute(insert(runs).values(id=run, started=time.time(), **values))
            else:
                connection.execute(runs.update().where(runs.c.id == run).values(**values))

    def set_pick(self, run: str, pick: str | None) -> None:
        """Notes the architecture that the search chose."""
        with self._write() as connection:
            connection.execute(runs.update().where(runs.c.id == run).values(pick=pick))

    def run(self, name: str) -> dict[str, Any]:
        """The row of the run of this name; KeyError where there is none."""
        rows = self._rows(select(runs).where(runs.c.name == name))
        if not rows:
            raise KeyError(name)
        return rows[0]

    def run_names(self) -> list[str]:
        """Every run, the latest first."""
        return [row["name"] for row in self._rows(select(runs).order_by(runs.c.started.desc()))]

    # Measurements and trials

    def known(self, keys: Sequence[str]) -> dict[str, Reading]:
        """Those of the measurements that were made before, in whatever run."""
        found: dict[str, Reading] = {}
        for start in range(0, len(keys), 500):  # databases limit the variables of a statement
            chunk = measurements.c.key.in_(keys[start : start + 500])
            for row in self._rows(select(measurements).where(chunk)):
                bound = None if row["bound"] is None else Bound(*row["bound"])
                found[row["key"]] = Reading(row["value"], row["reason"], bound)
        return found

    def add_measurements(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps measurements; one that another run made meanwhile stays, and is counted again.

        One that ran into a bound gives way.
        """
        with self._write() as connection:
            keys = [row["key"] for row in rows]
            bounded = measurements.c.key.in_(keys) & measurements.c.bound.is_not(None)
            connection.execute(measurements.delete().where(bounded))
            query = select(measurements.c.key).where(measurements.c.key.in_(keys))
            there = set(connection.scalars(query))
            again = measurements.update().where(measurements.c.key.in_(there))
            connection.execute(again.values(times=measurements.c.times + 1))
            fresh = [dict(row) for row in rows if row["key"] not in there]
            if fresh:
                connection.execute(insert(measurements), fresh)

    def add_trials(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps a whole batch of trials, in one transaction."""
        with self._write() as connection:
            connection.execute(insert(trials), [dict(row) for row in rows])

    def trials(self, run: str, since: int = 0) -> list[dict[str, Any]]:
        """Trials from a number on; `measurements` maps each score to the readings of its draws."""
        of_it = (trials.c.run == run) & (trials.c.number >= since)
        rows = self._rows(select(trials).where(of_it).order_by(trials.c.number))
        keys = {key for row in rows for column in row["measurements"].values() for key in column}
        readings = self.known(sorted(keys))
        for row in rows:
            row["measurements"] = {
                score: tuple(readings[key] for key in column)
                for score, column in row["measurements"].items()
            }
        return rows

    def batches(self, run: str) -> int:
        """How many batches of trials are stored."""
        query = select(func.max(trials.c.batch)).where(trials.c.run == run)
        with self._write() as connection:
            last = connection.scalar(query)
        return 0 if last is None else last + 1

    # Trainings

    def begin_training(
        self, run: str, named: Mapping[str, Any], training: Mapping[str, Any]
    ) -> None:
        """Notes that the run trains a network, which another run may have trained before.

        Args:
            run: whose.
            named: position among the run's trainings, role, and architecture as the run names it.
            training: key and question.
        """
        with self._write() as connection:
            there = (trained.c.run == run) & (trained.c.position == named["position"])
            connection.execute(trained.delete().where(there))
            connection.execute(insert(trained).values(run=run, training=training["key"], **named))
            known = select(trainings.c.key).where(trainings.c.key == training["key"])
            if connection.scalar(known) is None:
                connection.execute(insert(trainings).values(**training))

    def end_trainings(self, run: str, count: int) -> None:
        """Forgets trainings of the run beyond the first `count`: it was asked for fewer."""
        with self._write() as connection:
            beyond = (trained.c.run == run) & (trained.c.position >= count)
            connection.execute(trained.delete().where(beyond))

    def update_training(
        self, key: str, history: Sequence[Epoch], values: Mapping[str, Any]
    ) -> None:
        """Keeps the epochs that are new, and what is known of the training by now."""
        with self._write() as connection:
            last = connection.scalar(
                select(func.max(epochs.c.number)).where(epochs.c.training == key)
            )
            fresh = [e for e in history if e.number > (last or 0)]
            if fresh:
                connection.execute(
                    insert(epochs), [{"training": key, **vars(epoch)} for epoch in fresh]
                )
            connection.execute(trainings.update().where(trainings.c.key == key).values(**values))

    def trainings(self, run: str) -> list[dict[str, Any]]:
        """Trainings of the run in order, each with its `role` and `epochs`."""
        query = (
            select(trainings, trained.c.role, trained.c.architecture)
            .join(trained, trained.c.training == trainings.c.key)
            .where(trained.c.run == run)
            .order_by(trained.c.position)
        )
        rows = self._rows(query)
        for row in rows:
            of_it = select(epochs).where(epochs.c.training == row["key"]).order_by(epochs.c.number)
            row["epochs"] = tuple(
                Epoch(**{name: value for name, value in epoch.items() if name != "training"})
                for epoch in self._rows(of_it)
            )
        return rows

    # Costs

    def add_cost(self, run: str, step: str, seconds: float, *, wall: bool = False) -> None:
        """Adds a line to the ledger: work done, or wall time of a phase."""
        with self._write() as connection:
            connection.execute(
                insert(costs).values(run=run, step=step, wall=wall, seconds=seconds)
            )

    def costs(self, run: str, *, wall: bool) -> list[tuple[str, int, float]]:
        """Step, count and seconds, summed over sessions, with the measurements of this run."""
        total = select(costs.c.step, func.count(), func.sum(costs.c.seconds))
        query = total.where(costs.c.run == run, costs.c.wall == wall).group_by(costs.c.step)
        measured = (
            select(measurements.c.score, func.count(), func.sum(measurements.c.seconds))
            .where(measurements.c.run == run)
            .group_by(measurements.c.score)
        )
        with self._write() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
            if not wall:
                rows += [tuple(row) for row in connection.execute(measured)]
        return rows


BUSY_SECONDS = 10.0  # how long another writer is waited for


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_at_once` says
    busy = f"busy_timeout={int(1000 * BUSY_SECONDS)}"
    for pragma in (busy, "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    """Takes the write lock before reading, so that what was read still holds when writing."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _explained(error: DatabaseError, where: str) -> Exception:
    """The same failure, saying what was expected and what to try."""
    reason = str(error.orig)
    advice = {
        "locked": (OSError, "another program holds it; wait for it, or choose another --out"),
        "full": (OSError, "free some space and run the same command again: it resumes"),
        "readonly": (OSError, "choose an --out that can be written"),
        "unable to open": (OSError, "choose an --out that can be written"),
        "disk I/O": (OSError, "check the disk and run the same command again: it resumes"),
        "not a database": (ValueError, "expected a store of untrained; choose another --out"),
        "no column": (ValueError, "expected a store of this version; choose another --out"),
        "no such": (ValueError, "expected a store of this version; choose another --out"),
    }
    elsewhere = (OSError, "move it away or choose another --out")
    kind, what_to_try = next((a for sign, a in advice.items() if sign in reason), elsewhere)
    return kind(f"cannot use the store {where}: {reason}; {what_to_try}")
