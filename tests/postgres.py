"""A real PostgreSQL server for tests: in a folder of its own, run by an ordinary user."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text

USER, PASSWORD = "tester", "s3cret%pass"
QUOTED = "s3cret%25pass"
"The password as a URL holds it."


def why_none() -> str:
    """Why there can be no server here; empty where there can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'untrained[postgresql]'"
    return "" if _programs() else "there is no PostgreSQL server: apt-get install postgresql"


def _programs() -> Path | None:
    """Debian keeps them out of the way."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += map(Path, sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True))
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@dataclass
class Server:
    """One server; `url` makes room for another store each time."""

    folder: Path
    port: int

    def __post_init__(self) -> None:
        self.numbers = count()

    def url(self) -> str:
        """Of a new schema, which is as good as a new database, and made sooner."""
        name = f"store{next(self.numbers)}"
        engine = create_engine(self.address("postgres"))
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        engine.dispose()
        return f"{self.address('postgres')}?options=-csearch_path%3D{name}"

    def address(self, database: str, password: str = QUOTED) -> str:
        """Of a database that may be there or not."""
        return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        self._run("pg_ctl", "start", "--wait", "--log", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """At once; connections are cut."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode)

    def _run(self, program: str, *words: str) -> None:
        folder = _programs()
        assert folder is not None
        ordinary = "postgres" if os.geteuid() == 0 else None  # initdb refuses root
        subprocess.run(
            [str(folder / program), "-D", str(self.folder / "data"), *words],
            user=ordinary,
            group=ordinary,
            extra_groups=[] if ordinary else None,
            cwd=self.folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="untrained-postgres"))  # pytest's own are root's alone
    try:
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        found = Server(folder, _free_port())
        found._run("initdb", "-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C",
                   "--no-sync", "--pwfile", str(folder / "password"))  # fmt: skip
        found.start()
        try:
            yield found
        finally:
            found.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        port: int = asking.getsockname()[1]
        return port
