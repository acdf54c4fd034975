"""Where a store is: in a file of SQLite, or in a PostgreSQL database by its URL.

Read with the flags, so that nothing here imports SQLAlchemy.
"""

import re
from pathlib import Path
from urllib.parse import unquote

from untrained.locations import Location
from untrained.urls import URL

Address = Path | str
"A file, or a URL, which may hold a password: it is shown by `outside.without_password`."

SUCH = "postgresql+psycopg://USER@HOST:PORT/DATABASE"
SERVERS = "postgresql+psycopg", "postgresql"
"What a URL begins with; psycopg is the only driver that the store is tested with."


def address_of(store: str | None, out: Location) -> Address:
    """The address that `--store` means; by default the file store.db in `out`.

    Raises:
        ValueError: a URL of another kind of database, or one that cannot be read; or none, where
            `out` is a URL.

    Example:
        >>> address_of("sqlite:///runs/store.db", Path("elsewhere")).as_posix()
        'runs/store.db'
    """
    if store is None and isinstance(out, URL):
        raise ValueError(
            f"store: expected one beside an --out by URL, where SQLite cannot write, got none; "
            f"try --store FILE on this machine, or {SUCH}"
        )
    if store is None:
        return out / "store.db"
    kind, separator, rest = store.partition("://")
    if not separator:
        if not store:
            raise ValueError(f"store: expected a file or {SUCH}, got {store!r}")
        return Path(store)
    if kind == "sqlite" and len(rest) > 1 and rest[0] == "/":
        return Path(unquote(rest[1:]))
    if kind not in SERVERS:
        raise ValueError(
            f"store: expected a file, sqlite:///FILE or {SUCH}, got another URL, which begins "
            f"with {kind!r}"
        )
    if not _URL.fullmatch(rest):  # which is not shown: any part of it may be the password
        raise ValueError(
            f"store: expected {SUCH}, got another form of {kind}://...; write each of : @ / ? # "
            f"% in a name or password as %3A %40 %2F %3F %23 %25"
        )
    return f"{SERVERS[0]}://{rest}"


_URL = re.compile(
    r"(?:[^:@/?#]*(?::[^:@/?#]*)?@)?"  # user and password
    r"(?:\[[0-9A-Fa-f:.]+\]|[^:@/?#\[\]]*)(?::[0-9]{1,5})?"  # host and port
    r"/[^@/?#]+(?:\?[^@#]*)?"  # database and options
)
