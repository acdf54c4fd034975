"""Transactions of a store: kept as a whole or not at all, and done again where they were lost.

SQLite waits by itself for other writers. With a server the connection may be lost at any moment,
and another driver may write the same row first: then the whole transaction is done anew.
"""

import time
from collections.abc import Callable
from functools import wraps
from random import Random
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, extract, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from untrained.outside import without_password
from untrained.patience import FIRST_PAUSE, Patience
from untrained.storage.address import Address
from untrained.storage.explained import explaining, first_line
from untrained.storage.schema import commits
from untrained.storage.server import is_conflict, is_lost

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

CONFLICTS = 20
"Attempts at a transaction whose rows others keep writing first."
NOW = extract("epoch", func.now())
"Seconds since 1970, by the server's clock."
DAY = 86_400.0


def carry_out(engine: Engine, work: Callable[[Connection], T], where: Address) -> T:
    """What the work gives, done in one transaction.

    Args:
        engine: of the store.
        work: with a server it may be done several times, on another connection each time.
        where: the store's address, for people.

    Raises:
        ValueError, OSError: the database's failures, with what to try.
    """
    with explaining(where):
        if engine.dialect.name != "sqlite":
            return _insisting(engine, work, where)
        with engine.begin() as connection:
            return work(connection)


def transaction(
    method: Callable[Concatenate[S, Connection, P], T],
) -> Callable[Concatenate[S, P], T]:
    """A method that is one transaction, of a class with an `engine`, and `where` it is."""

    @wraps(method)
    def carried_out(self: Any, *args: Any, **kwargs: Any) -> T:  # tests cannot check P.args
        def work(connection: Connection) -> T:
            return method(self, connection, *args, **kwargs)

        return carry_out(self.engine, work, self.where)

    return carried_out  # type: ignore[return-value]


class Signature(NamedTuple):
    """What shows that a transaction was kept: a row that it writes beside all else.

    The server's own number of a transaction would not do: a server that crashed gives the numbers
    of what it lost anew.
    """

    writer: str
    number: int


class Done(NamedTuple):
    """A transaction up to its commit."""

    found: Any
    signature: Signature | None
    "None where it wrote nothing."


def _insisting(engine: Engine, work: Callable[[Connection], T], where: Address) -> T:
    """The work, done until it is kept or the server has been away for too long."""
    attempts = Attempts(where)
    done: Done | None = None  # was it kept, if the connection was lost in its commit?
    while True:
        try:
            with engine.connect() as connection:
                if done is None or not _is_kept(connection, done):
                    done = None
                    found = work(connection)
                    done = Done(found, _sign(connection))
                    connection.commit()
                return done.found
        except DBAPIError as error:
            attempts.wait(error)


def _sign(connection: Connection) -> Signature | None:
    """Each connection has one row; those of connections that are long gone are cleared away."""
    if connection.scalar(select(func.txid_current_if_assigned())) is None:
        return None
    if "signature" not in connection.info:
        connection.execute(delete(commits).where(commits.c.at < NOW - DAY))
    writer, number = connection.info.get("signature", (uuid4().hex, 0))
    signature = connection.info["signature"] = Signature(writer, number + 1)
    written = insert(commits).values(**signature._asdict(), at=NOW)
    changed = {"number": written.excluded.number, "at": written.excluded.at}
    connection.execute(written.on_conflict_do_update(index_elements=["writer"], set_=changed))
    return signature


def _is_kept(connection: Connection, done: Done) -> bool:
    """Whether the row is as it was signed. If the transaction is still under way this waits for
    it, and if that is kept then, fails as a conflict."""
    if done.signature is None:
        return True
    unsigned = insert(commits).values(writer=done.signature.writer, number=0, at=NOW)
    asked = unsigned.on_conflict_do_update(
        index_elements=["writer"], set_={"number": commits.c.number}
    )
    return connection.scalar(asked.returning(commits.c.number)) == done.signature.number


class Attempts:
    """At one transaction with a server."""

    def __init__(self, where: Address):
        self.where = where
        self.patience = Patience()
        self.rng = Random()
        self.conflicts = 0

    def wait(self, error: DBAPIError) -> None:
        """Until the transaction may be tried again; raises what no waiting helps against."""
        if is_conflict(error) and self.conflicts < CONFLICTS:
            self.conflicts += 1
            time.sleep(self.rng.random() * FIRST_PAUSE)  # or all would meet again
            return
        away = f"the store {without_password(str(self.where))} is away ({first_line(error)})"
        if not is_lost(error) or not self.patience.wait(away):
            raise error
