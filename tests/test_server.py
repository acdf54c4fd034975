"""Stores on a server: where they are, what is said of mistakes, and lost connections survived."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres import Server
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError
from stored import measured, said

from untrained import patience
from untrained.cli.ending import interrupted
from untrained.outside import command_line, without_password
from untrained.runs import RunConfig
from untrained.runs.config_file import as_toml
from untrained.runs.presets import resolve
from untrained.storage import RunFolder, mounts
from untrained.storage.address import address_of
from untrained.storage.store import Store

URL = "postgresql+psycopg://me:s3cret@host:5433/runs"


# Addresses


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Path("out/store.db")),
        ("mine.db", Path("mine.db")),
        ("/a b/~?.db", Path("/a b/~?.db")),
        ("sqlite:///mine.db", Path("mine.db")),
        ("sqlite:////tmp/a%20b", Path("/tmp/a b")),
        (URL, URL),
        (URL.replace("+psycopg", ""), URL),
        ("postgresql://host/runs", "postgresql+psycopg://host/runs"),
        ("postgresql:///runs?host=/run/pg", "postgresql+psycopg:///runs?host=/run/pg"),
        ("postgresql://u:%40@[::1]:5/d?a=b", "postgresql+psycopg://u:%40@[::1]:5/d?a=b"),
    ],
)
def test_a_store_is_a_file_or_a_url(given: str | None, expected: Path | str) -> None:
    assert address_of(given, Path("out")) == expected
    assert RunFolder(Path("out"), "run", given).address == expected


@pytest.mark.parametrize(
    ("given", "said_of_it"),
    [
        ("", "expected a file or postgresql"),
        ("mysql://me:s3cret@host/runs", "another URL, which begins with 'mysql'"),
        ("postgres://me:s3cret@host/runs", "begins with 'postgres'"),
        ("postgresql+asyncpg://me:s3cret@host/runs", "begins with 'postgresql+asyncpg'"),
        ("sqlite://", "sqlite:///FILE"),
        ("postgresql://me:s3cret@host", "expected postgresql+psycopg://USER@HOST:PORT/DATABASE"),
        ("postgresql://me:s3@cret@host/runs", "write each of : @ / ? # % in a name or password"),
        ("postgresql://me:s3/cret@host/runs", "write each of"),
        ("postgresql://me:s3cret@host:port/runs", "write each of"),
    ],
)
def test_an_address_that_is_none_is_told_in_one_line(given: str, said_of_it: str) -> None:
    with pytest.raises(ValueError, match=r"^store: expected") as error:
        resolve(RunConfig(store=given))
    assert said_of_it in (text := str(error.value))
    assert "\n" not in text
    assert "s3" not in text
    assert "cret" not in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (URL, "postgresql+psycopg://me@host:5433/runs"),
        (f"--store={URL}", "--store=postgresql+psycopg://me@host:5433/runs"),
        ("postgresql://me:s3/c@r:et@host/runs", "postgresql://me@host/runs"),
        ("postgresql://h/d?password=s3cret", "postgresql://h/d"),
        ("postgresql://h/d?a=b&sslpassword=s3cret&c=d", "postgresql://h/d?a=b&c=d"),
        ("postgresql://h/d?password=s3cret&c=d", "postgresql://h/d?c=d"),
        ("pictures:of@postgres", "pictures:of@postgres"),
        ("https://me:word@host", "https://me@host"),
        ("--out=abfs://key:s3/cr@et@box/runs", "--out=abfs://key@box/runs"),
        ("ray://host:10001", "ray://host:10001"),
    ],
)
def test_a_password_is_left_out(given: str, shown: str) -> None:
    assert without_password(given) == shown
    assert "s3" not in command_line("untrained", given)


def test_a_password_is_in_nothing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve(RunConfig(store=URL))
    assert 'store = "postgresql+psycopg://me@host:5433/runs"' in as_toml(config)
    assert config.plain()["store"] == "postgresql+psycopg://me@host:5433/runs"
    monkeypatch.setattr(sys, "argv", ["untrained", "search", "--store", URL])
    assert "s3cret" not in repr(config) + str(config.plain()) + interrupted("Interrupted")
    elsewhere = replace(config, store=None)
    assert elsewhere.identity("images", "code") == config.identity("images", "code")


# Mistakes


def refused(address: str) -> str:
    with pytest.raises((ValueError, OSError), match="store") as error:
        Store.open(address)
    with pytest.raises((ValueError, OSError), match="store"), Store.reading(address):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_mistakes_are_told_in_one_line(postgres: Server) -> None:
    wrong = refused(postgres.address("postgres", "s3cret-but-wrong"))
    assert "password authentication failed" in wrong
    assert "PGPASSWORD or ~/.pgpass" in wrong
    missing = refused(postgres.address("nothing"))
    assert 'database "nothing" does not exist; make it with createdb' in missing
    closed = refused(postgres.address("postgres").replace(str(postgres.port), "1"))
    assert "refused" in closed
    assert "see that the server runs" in closed
    assert "s3cret" not in wrong + missing + closed


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"psycopg.*pip install 'untrained\[postgresql\]'"):
        Store.open(URL)


# Lost connections


def test_a_server_that_stops_and_starts_loses_and_repeats_nothing(
    postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    address, restarted = postgres.url(), threading.Event()

    def restart() -> None:
        for mode in ("fast", "immediate"):  # in good order, and as a crash
            postgres.stop(mode)
            postgres.start()
        restarted.set()

    with Store.open(address) as store:
        store.claim([["k0"]], lambda reading: False)
        thread = threading.Thread(target=restart)
        count = 0
        while not restarted.is_set() or count < 50:
            store.add_measurements([measured(f"k{count}", float(count))])
            store.add_cost("r", "step", 1.0)
            count += 1
            if count == 10:
                thread.start()
        thread.join()
        keys = [f"k{i}" for i in range(count)]
        assert [store.known(keys)[key].value for key in keys] == [*map(float, range(count))]
        assert store.costs("r", wall=False) == [("step", count, float(count))]
    assert list(map(tuple, said(address, "select max(times) from measurements"))) == [(1,)]
    assert "is away" in caplog.text
    assert "s3cret" not in caplog.text


@contextmanager
def losing(
    monkeypatch: pytest.MonkeyPatch, lose: Callable[[Connection, Callable[[], None]], None]
) -> Iterator[None]:
    """The next commit loses its connection."""
    commit, lost = Connection.commit, list[bool]()

    def faulty(self: Connection) -> None:
        if lost:
            return commit(self)
        lost.append(True)
        return lose(self, lambda: commit(self))

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "commit", faulty)
        yield
    assert lost


def cut(connection: Connection) -> None:
    """As a network does."""
    assert connection.connection.dbapi_connection is not None
    connection.connection.dbapi_connection.close()
    raise OperationalError("COMMIT", {}, Exception("cut"), connection_invalidated=True)


@pytest.mark.parametrize("fate", ["kept", "lost", "lost in a crash"])
def test_a_commit_that_got_no_answer_is_done_once(
    postgres: Server, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """Whether or not the server had heard of it. One that crashed gives the number of a
    transaction that it lost to another."""
    address = postgres.url()

    def lose(connection: Connection, commit: Callable[[], None]) -> None:
        if fate == "kept":
            commit()
        number = connection.scalar(select(func.txid_current()))
        if fate == "lost in a crash":
            postgres.stop("immediate")
            postgres.start()
            while said(address, "select txid_current()")[0][0] < number:
                pass
        cut(connection)

    with Store.open(address) as store:
        for step in ("before", "then"):  # a connection's first transaction, and another
            with losing(monkeypatch, lose):
                store.add_cost("r", step, 1.0)
            store.add_cost("r", step, 1.0)
        assert store.costs("r", wall=False) == [("before", 2, 2.0), ("then", 2, 2.0)]


def test_a_commit_that_is_still_under_way_is_waited_for(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(connection: Connection, commit: Callable[[], None]) -> None:
        raw: Any = connection.connection.driver_connection
        raw.pgconn.send_query(b"select pg_sleep(0.5); commit")
        cut(connection)

    with Store.open(postgres.url()) as store:
        with losing(monkeypatch, lose):
            store.add_cost("r", "step", 1.0)
        assert store.costs("r", wall=False) == [("step", 1, 1.0)]


def test_signatures_of_connections_long_gone_are_cleared_away(postgres: Server) -> None:
    address = postgres.url()
    for _ in range(2):
        with Store.open(address) as store:
            store.add_cost("r", "step", 1.0)
            store.add_cost("r", "step", 1.0)
        assert list(map(tuple, said(address, "select number from commits"))) == [(2,)]
        said(address, "update commits set at = at - 90000")


def test_a_server_that_stays_away_ends_the_run_in_one_line(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.2)
    with Store.open(postgres.url()) as store:
        postgres.stop()
        try:
            with pytest.raises(OSError, match=r"cannot use the store.*resumes") as error:
                store.add_cost("r", "step", 1.0)
        finally:
            postgres.start()
        assert "s3cret" not in str(error.value)
        store.add_cost("r", "step", 1.0)


# Files that several machines would share


def test_a_network_file_system_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "mounts"
    shared = tmp_path / "a b"
    escaped = str(shared).replace(" ", "\\040")
    listed.write_text(f"/dev/a / ext4 rw 0 0\nhost:/x {escaped} nfs4 rw 0 0\n"
                      f"tmpfs {escaped}/local tmpfs rw 0 0\n")  # fmt: skip
    monkeypatch.setattr(mounts, "MOUNTS", listed)
    found = {
        name: mounts.network_file_system(shared / name)
        for name in ("store.db", "deep/er/store.db", "local/store.db", "../store.db")
    }
    assert list(found.values()) == ["nfs4", "nfs4", None, None]
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert mounts.network_file_system(shared / "store.db") is None


def test_a_store_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("untrained.storage.opening.network_file_system", lambda path: "nfs4")
    Store.open(tmp_path / "store.db").close()
    [record] = caplog.records
    assert "network file system (nfs4)" in record.getMessage()
    assert "\n" not in record.getMessage()
