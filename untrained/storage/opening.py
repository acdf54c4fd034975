"""Opening a store's database: made whole or not at all, read without writing, faults explained."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DatabaseError

from untrained.outside import without_password
from untrained.storage.address import Address
from untrained.storage.explained import explaining
from untrained.storage.migration import migrate
from untrained.storage.mounts import network_file_system
from untrained.storage.schema import SCHEMA, metadata, schema
from untrained.storage.server import beginning, server_engine

logger = logging.getLogger(__name__)

BUSY_SECONDS = 60.0  # how long other writers are waited for, on a busy machine too


def engine_of(address: Address) -> Engine:
    """A store to be written; one that is not there, or an empty database, is made one first.

    Raises:
        ValueError: a file or a database that is no store.
    """
    if isinstance(address, Path):
        if kind := network_file_system(address):
            logger.warning(
                "%s lies on a network file system (%s), where SQLite may lose what several "
                "machines write: use it from one at a time, or give --store a PostgreSQL database",
                *(address, kind),
            )
        make_file(address)
        engine = _sqlite(address)
    else:
        engine = server_engine(address)
    try:
        with explaining(address), beginning(engine) as connection:
            if isinstance(address, str) and not inspect(connection).get_table_names():
                _make_tables(connection)
            _bring_up_to_date(connection, address)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading_engine(address: Address) -> Iterator[Engine]:
    """A store to be read, which is not written.

    Raises:
        ValueError: no such store, or one of another schema on a server.
    """
    if isinstance(address, Path):
        with _reading_file(address) as engine:
            yield engine
        return
    engine = server_engine(address).execution_options(postgresql_readonly=True)
    try:
        with explaining(address):
            with engine.begin() as connection:
                if _version(connection, address) < SCHEMA:
                    raise ValueError(
                        f"the store {without_password(address)} is of an older version: a search "
                        f"or score command that uses it brings it up to date"
                    )
            yield engine
    finally:
        engine.dispose()


@contextmanager
def _reading_file(path: Path) -> Iterator[Engine]:
    """A store in a file; neither the file nor its folder is written.

    Where SQLite cannot read it in place, as with a journal in a folder that cannot be written, or
    where it is of an older schema, a copy is read.
    """
    if not path.exists():
        raise ValueError(
            f"no store at {path}: expected one that `untrained search` made; if it was given "
            f"--store, give the same here"
        )
    _check_file(path)
    engine = _reader(path)
    try:
        if _readable(engine):
            with explaining(path):
                yield engine
            return
    finally:
        engine.dispose()
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for file in (path, _journal(path)):
            if file.exists():
                shutil.copyfile(file, copy.with_name(file.name))
        engine = _sqlite(copy)
        try:
            with explaining(path):
                with engine.begin() as connection:
                    _bring_up_to_date(connection, path)
                yield engine
        finally:
            engine.dispose()


def _reader(path: Path) -> Engine:
    """A database that is only read, in place; SQLite writes nothing beside it where none is."""
    journal = _journal(path)
    written = journal.exists() and journal.stat().st_size > 0  # by others, perhaps right now
    address = (
        f"file:{quote(os.fsencode(path.absolute()))}?{'mode=ro' if written else 'immutable=1'}"
    )
    return create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False)
    )


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _readable(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            return connection.scalar(select(schema.c.version)) == SCHEMA
    except (DatabaseError, UnicodeDecodeError):
        return False


def make_file(path: Path) -> None:
    """Makes an empty store where there is no file, so that a kill leaves a whole one or none.

    Raises:
        ValueError: what is there is no store.
    """
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            _check_file(path)
            engine = _reader(path)  # what is somebody else's is not even opened for writing
            try:
                with explaining(path), engine.connect() as connection:
                    _check_ours(connection, path)
            finally:
                engine.dispose()
            return
        journal = _journal(path)
        if journal.exists() and journal.stat().st_size:
            raise ValueError(
                f"{journal}: expected the store {path.name} beside it, got none; put it back, or "
                f"move {journal.name} away to start anew"
            )
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            # Written in place: what a log holds would be left behind where the disk is full.
            engine = _sqlite(unfinished, journal="DELETE")
            with explaining(path), engine.begin() as connection:
                _make_tables(connection)
            engine.dispose()
            os.replace(unfinished, path)
        finally:
            for end in ("", "-journal"):
                unfinished.with_name(unfinished.name + end).unlink(missing_ok=True)


def _check_file(path: Path) -> None:
    what = "a folder" if path.is_dir() else "an empty file" if not path.stat().st_size else ""
    if what:
        raise ValueError(
            f"{path}: expected a store of untrained, got {what}; put a copy back, or move it away "
            f"to start anew"
        )


def _sqlite(path: Path, journal: str = "WAL") -> Engine:
    # Absolute: SQLite takes `file:` at the start of a name for a scheme.
    engine = create_engine(URL.create("sqlite", database=str(path.absolute())))
    _prepare(engine, journal)
    return engine


def _prepare(engine: Engine, journal: str = "WAL") -> None:
    event.listen(engine, "connect", partial(_prepare_sqlite, journal))
    event.listen(engine, "begin", _begin_at_once)


def _prepare_sqlite(journal: str, connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_at_once` says
    busy = f"busy_timeout={int(1000 * BUSY_SECONDS)}"
    for pragma in (busy, f"journal_mode={journal}", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    """Takes the write lock before reading, so that what was read still holds when writing."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_tables(connection: Connection) -> None:
    metadata.create_all(connection)
    if connection.scalar(select(schema.c.version)) is None:
        connection.execute(insert(schema).values(version=SCHEMA))


def _bring_up_to_date(connection: Connection, where: Address) -> None:
    """Migrates a store of an older schema.

    Raises:
        ValueError: a database of something else, or of a newer schema.
    """
    version = _version(connection, where)
    if version < SCHEMA:
        migrate(connection, version)


def _version(connection: Connection, where: Address) -> int:
    _check_ours(connection, where)
    version = connection.scalar(select(schema.c.version))
    if version is None or not 1 <= version <= SCHEMA:
        raise ValueError(
            f"the store {without_password(str(where))} was written by a newer untrained, or is "
            f"damaged: expected schema 1 to {SCHEMA}, got {version!r}; upgrade untrained, or "
            f"choose another --out or --store"
        )
    return version


def _check_ours(connection: Connection, where: Address) -> None:
    if "schema" not in inspect(connection).get_table_names():
        raise ValueError(
            f"{without_password(str(where))}: expected a store of untrained, got a database of "
            f"something else; choose another --out or --store"
        )
