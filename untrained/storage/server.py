"""Stores in a PostgreSQL database, which several drivers on several machines may share."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

CONNECTING: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "untrained",
    # A line that is cut is noticed in about a minute, and not in two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"What libpq is told unless the URL says otherwise."

ORPHANED = "SET idle_in_transaction_session_timeout = '60s'"
"Transactions of a driver whose connection was cut must not hold their rows for long."

ONE_AT_A_TIME = 7_227_262_733
"Number of the lock under which tables are made and changed; any, but always the same."


def server_engine(url: str) -> Engine:
    """A database on a server; nothing is connected yet.

    A transaction sees the database as it was at its beginning. Where another has changed a row
    that it changes too, it fails as a conflict, and is to be done again.

    Raises:
        ValueError: the driver is not installed.
    """
    parsed = make_url(url)
    usual = {name: value for name, value in CONNECTING.items() if name not in parsed.query}
    try:
        engine = create_engine(
            parsed, connect_args=usual, pool_size=2, isolation_level="REPEATABLE READ"
        )
    except ModuleNotFoundError as error:
        raise ValueError(
            f"store: expected the driver {error.name}, which {parsed.drivername}:// needs, got "
            f"none; try pip install 'untrained[postgresql]'"
        ) from error
    event.listen(engine, "connect", _prepare)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of what is done again
    return engine


def _prepare(connection: Any, _: Any) -> None:
    connection.execute(ORPHANED)
    connection.commit()


@contextmanager
def beginning(engine: Engine) -> Iterator[Connection]:
    """A transaction that may make and change tables, as no other driver does meanwhile."""
    if engine.dialect.name == "sqlite":  # where every transaction is alone
        with engine.begin() as connection:
            yield connection
        return
    seeing_others = engine.execution_options(isolation_level="READ COMMITTED")
    with seeing_others.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
        yield connection


def is_conflict(error: DBAPIError) -> bool:
    """Whether others wrote the same rows at the same time, so that to try again helps."""
    return isinstance(error, IntegrityError) or _state(error) in ("40001", "40P01")


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection was lost, or there is none at present."""
    state = _state(error)
    if state is None:  # of what happens before or without an answer
        if not isinstance(error, OperationalError | InterfaceError):
            return False
        lasting = ("password", "does not exist", "no pg_hba.conf entry", "permission denied")
        return not any(sign in str(error.orig) for sign in lasting)
    return error.connection_invalidated or state.startswith(("08", "57P", "53300"))


def _state(error: DBAPIError) -> str | None:
    """The five characters by which SQL names a failure."""
    return getattr(error.orig, "sqlstate", None)
