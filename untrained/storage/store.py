"""The store: everything a run asked, tried, measured and trained, through SQLAlchemy Core.

In a file of SQLite, in write-ahead mode, or in a PostgreSQL database. Only drivers of runs write:
one or several, on one machine or, with a server, on several.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, literal, select

from untrained.outside import without_password
from untrained.scores.score import Reading
from untrained.storage.address import Address
from untrained.storage.claims import UNCLAIMED, Claims
from untrained.storage.lookup import looked_up, readings
from untrained.storage.opening import engine_of, reading_engine
from untrained.storage.rows import Damaged, as_mappings, check_row
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
from untrained.storage.spent import seconds_by_score, seconds_by_step
from untrained.storage.transactions import transaction
from untrained.storage.trial_record import TrialRecord
from untrained.training.epoch import Epoch

shared: ColumnElement[str] = func.coalesce(runs.c.search, runs.c.id)
"Whose trials a run's are."


class Store:
    """One database; opened by `Store.open`, shared by any number of runs."""

    def __init__(self, engine: Engine, where: Address, lock: Path | None = None):
        self.engine = engine
        self.where = where
        self.claims = Claims(engine, where, lock)

    @classmethod
    def open(cls, address: Address, lock: Path | None = None) -> "Store":
        """Opens a store, and makes its tables where there are none.

        Args:
            address: a file of SQLite, or the URL of a PostgreSQL database.
            lock: a file that this driver holds as long as it lives, by which others on this
                machine know at once whether it does; None for none.

        Raises:
            ValueError: a store of a newer schema, or a file or database that is none.
            OSError: it cannot be opened or written.
        """
        return cls(engine_of(address), address, lock)

    @classmethod
    @contextmanager
    def reading(cls, address: Address) -> Iterator["Store"]:
        """A store to be read; neither a file nor its folder is written.

        Raises:
            ValueError: as `open`, or no such store.
            OSError: it cannot be read.
        """
        with reading_engine(address) as engine:
            yield cls(engine, address)

    def close(self) -> None:
        """Gives up its claims and lets go of the database."""
        self.claims.end()
        self.engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @transaction
    def _rows(self, connection: Connection, query: Any) -> list[dict[str, Any]]:
        return self._read(connection, query)

    def _read(self, connection: Connection, query: Any) -> list[dict[str, Any]]:
        try:
            rows = [*as_mappings(connection.execute(query))]
            for row in rows:
                check_row(query.selected_columns, row)
        except (ValueError, TypeError) as error:  # also JSON that is none
            raise self._damaged(str(error)) from error
        return rows

    def _damaged(self, what: str) -> Damaged:
        where = without_password(str(self.where))
        return Damaged(f"the store {where} is damaged in one place: {what}; {AGAIN}")

    def _is_whole(self, connection: Connection, query: Any, least: int = 1) -> bool:
        """Whether there are so many rows or more, and none is damaged."""
        try:
            return len(self._read(connection, query)) >= least
        except Damaged:
            return False

    # Runs

    @transaction
    def begin_run(self, connection: Connection, run: str, values: Mapping[str, Any]) -> None:
        """Notes a run, or renews what is noted of it."""
        if self._is_whole(connection, select(runs).where(runs.c.id == run)):
            connection.execute(runs.update().where(runs.c.id == run).values(**values))
        else:
            either = (runs.c.id == run) | (runs.c.name == values["name"])
            connection.execute(runs.delete().where(either))
            connection.execute(insert(runs).values(id=run, started=time.time(), **values))

    @transaction
    def set_selected(self, connection: Connection, search: str, selected: str | None) -> None:
        """Notes that the search has ended and what it chose, in every run that shares it."""
        ended = {"selected": selected, "ended": time.time()}
        connection.execute(runs.update().where(shared == search).values(**ended))

    @transaction
    def set_found(
        self, connection: Connection, search: str, what: str, found: Mapping[str, Any]
    ) -> None:
        """Notes what was found before the search, in every run that shares it: what is `limited`,
        `calibrated`, `shrunk` or `budgeted`."""
        connection.execute(runs.update().where(shared == search).values({what: dict(found)}))

    def found(self, search: str, what: str) -> Mapping[str, Any] | None:
        """What was noted so, in whatever run of the search; None where nothing is whole."""
        noted = (shared == search) & runs.c[what].is_not(None)
        with suppress(Damaged):
            rows = self._rows(select(runs.c.id, runs.c[what]).where(noted))
            return rows[0][what] if rows else None
        return None

    def run(self, name: str) -> dict[str, Any]:
        """The row of the run of this name; KeyError where there is none."""
        rows = self._rows(select(runs).where(runs.c.name == name))
        if not rows:
            raise KeyError(name)
        return rows[0]

    def run_names(self, search: str | None = None) -> list[str]:
        """Every run, or every one that shares a search, the latest first."""
        query = select(runs.c.name).order_by(runs.c.started.desc())
        if search is not None:
            query = query.where(shared == search)
        return [row["name"] for row in self._rows(query)]

    # Measurements and trials

    @transaction
    def known(self, connection: Connection, keys: Sequence[str]) -> dict[str, Reading]:
        """Those of the measurements that were made before, in whatever run, and are whole."""
        found: dict[str, Reading] = {}
        for start in range(0, len(keys), 500):  # databases limit a statement's variables
            found |= readings(connection, keys[start : start + 500])
        return found

    def claim(
        self, groups: Sequence[Sequence[str]], asks_again: Callable[[Reading], bool]
    ) -> list[bool]:
        """As `Claims.claim`, of measurements.

        Args:
            groups: keys.
            asks_again: whether a measurement that is there is made again all the same.
        """

        def made(connection: Connection, keys: Sequence[str]) -> set[str]:
            there = readings(connection, keys).items()
            return {key for key, found in there if not asks_again(found)}

        return self.claims.claim(groups, made)

    @transaction
    def add_measurements(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps measurements; one that another run made meanwhile stays, and is counted again.

        One that is damaged, or ran out of memory or time, gives way.
        """
        keys = [row["key"] for row in rows]
        before = looked_up(connection, keys)
        there = {key for key, reading in before.items() if reading and not reading.bound}
        if given_up := before.keys() - there:
            connection.execute(measurements.delete().where(measurements.c.key.in_(given_up)))
        if there:
            again = measurements.update().where(measurements.c.key.in_(there))
            connection.execute(again.values(times=measurements.c.times + 1))
        fresh = [dict(row) for row in rows if row["key"] not in there]
        if fresh:
            connection.execute(insert(measurements), fresh)
        connection.execute(UNCLAIMED, {"keys": keys})

    @transaction
    def add_trials(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps a whole batch of trials, if another run of the same search has not meanwhile."""
        first = (trials.c.run == rows[0]["run"]) & (trials.c.number == rows[0]["number"])
        if connection.scalar(select(trials.c.number).where(first)) is None:
            connection.execute(insert(trials), [dict(row) for row in rows])

    @transaction
    def forget_trials(self, connection: Connection, run: str) -> None:
        """Forgets what was tried, not what was measured."""
        connection.execute(trials.delete().where(trials.c.run == run))
        connection.execute(pending.delete().where(pending.c.run == run))

    @transaction
    def tried(self, connection: Connection, run: str) -> int:
        """How many trials are stored."""
        last = connection.scalar(select(func.max(trials.c.number)).where(trials.c.run == run))
        return 0 if last is None else last + 1

    def trials(self, run: str, since: int = 0, until: int | None = None) -> list[TrialRecord]:
        """Trials from a number on, before another or up to the last, with their readings."""
        of_it = (trials.c.run == run) & (trials.c.number >= since)
        if until is not None:
            of_it &= trials.c.number < until
        rows = self._rows(select(trials).where(of_it).order_by(trials.c.number))
        end = since + len(rows) if until is None else until
        if [row["number"] for row in rows] != list(range(since, end)):
            raise self._damaged(f"trials of {run} are missing")
        keys = {key for row in rows for column in row["measurements"].values() for key in column}
        known = self.known(sorted(keys))
        return [TrialRecord.of(row, known, LOST) for row in rows]

    # Asynchronous searches

    @transaction
    def add_pending(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps proposals, which are being measured from now on."""
        connection.execute(insert(pending), [dict(row) for row in rows])

    def pending(self, run: str) -> list[dict[str, Any]]:
        """What is being measured, in the order in which it was proposed."""
        return self._rows(select(pending).where(pending.c.run == run).order_by(pending.c.batch))

    @transaction
    def arrive(self, connection: Connection, run: str, batch: int, number: int) -> None:
        """Makes a pending proposal, all of whose measurements are there, the next trial.

        Raises:
            OSError: another driver has taken over the search.
        """
        there = (trials.c.run == run) & (trials.c.number == number)
        if connection.scalar(select(trials.c.number).where(there)) is not None:
            raise OSError(
                f"another command goes on with this search in the store "
                f"{without_password(str(self.where))}: wait for it, then give this one again"
            )
        it = (pending.c.run == run) & (pending.c.batch == batch)
        names = [column.name for column in pending.columns]
        taken = select(*(pending.c[name] for name in names), literal(number)).where(it)
        connection.execute(insert(trials).from_select([*names, "number"], taken))
        connection.execute(pending.delete().where(it))

    @transaction
    def batches(self, connection: Connection, run: str) -> int:
        """How many batches of trials are stored, or pending."""
        lasts = [
            connection.scalar(select(func.max(table.c.batch)).where(table.c.run == run))
            for table in (trials, pending)
        ]
        return 1 + max((last for last in lasts if last is not None), default=-1)

    @transaction
    def seconds(self, connection: Connection, search: str) -> dict[str, float]:
        """Score -> seconds that it took for an architecture, all draws together, on average.

        In whatever run its measurements were made; what scores shared is divided among them, and
        building the network is in it, but not training before the score. Architectures some of
        whose measurements are lost do not count; a score that has no others is left out.
        """
        rows = self._read(connection, select(trials.c.measurements).where(trials.c.run == search))
        return seconds_by_score(connection, [row["measurements"] for row in rows])

    # Trainings

    @transaction
    def begin_training(
        self,
        connection: Connection,
        run: str,
        named: Mapping[str, Any],
        training: Mapping[str, Any],
    ) -> None:
        """Notes that the run trains a network, which another run may have trained before.

        Args:
            connection: of the transaction.
            run: whose.
            named: position among the run's trainings, role, and architecture as the run names it.
            training: key and question.
        """
        there = (trained.c.run == run) & (trained.c.position == named["position"])
        connection.execute(trained.delete().where(there))
        connection.execute(insert(trained).values(run=run, training=training["key"], **named))
        row, done = trainings.c.key == training["key"], epochs.c.training == training["key"]
        trained_before = self._is_whole(connection, select(trainings).where(row))
        if not (trained_before and self._is_whole(connection, select(epochs).where(done), 0)):
            connection.execute(trainings.delete().where(row))
            connection.execute(epochs.delete().where(done))
            connection.execute(insert(trainings).values(**training))

    @transaction
    def end_trainings(self, connection: Connection, run: str, count: int) -> None:
        """Forgets trainings of the run beyond the first `count`: it was asked for fewer."""
        beyond = (trained.c.run == run) & (trained.c.position >= count)
        connection.execute(trained.delete().where(beyond))

    def claim_trainings(self, groups: Sequence[Sequence[str]]) -> list[bool]:
        """As `Claims.claim`, of trainings: those that are not finished."""

        def made(connection: Connection, keys: Sequence[str]) -> Collection[str]:
            done = trainings.c.finished & trainings.c.key.in_(keys)
            return [*connection.scalars(select(trainings.c.key).where(done))]

        return self.claims.claim(groups, made)

    @transaction
    def update_training(
        self, connection: Connection, key: str, history: Sequence[Epoch], values: Mapping[str, Any]
    ) -> None:
        """Keeps the epochs that are new, and what is known of the training by now."""
        last = connection.scalar(select(func.max(epochs.c.number)).where(epochs.c.training == key))
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

    @transaction
    def add_cost(
        self, connection: Connection, run: str, step: str, seconds: float, *, wall: bool = False
    ) -> None:
        """Adds a line to the ledger: work done, or wall time of a phase."""
        connection.execute(insert(costs).values(run=run, step=step, wall=wall, seconds=seconds))

    @transaction
    def mean_seconds(self, connection: Connection, step: str) -> float | None:
        """What a step took on average, in whatever run; None where none has it."""
        of_it = (costs.c.step == step) & ~costs.c.wall
        return connection.scalar(select(func.avg(costs.c.seconds)).where(of_it))

    @transaction
    def costs(self, connection: Connection, *ids: str, wall: bool) -> list[tuple[str, int, float]]:
        """Step, count and seconds of a run and its search, summed over sessions."""
        return seconds_by_step(connection, ids, wall=wall)


AGAIN = "give the command that made it again: it recomputes this and keeps the rest"
LOST = Reading(None, "lost from the store; give the search command again to measure it anew")
