"""Failures of a store's database, told in one line: what was expected, and what to try."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from untrained.outside import without_password
from untrained.storage.address import Address


@contextmanager
def explaining(where: Address) -> Iterator[None]:
    """Failures of the database inside say what was expected and what to try."""
    try:
        yield
    except DBAPIError as error:
        advice = OF_SERVERS if isinstance(where, str) else OF_FILES
        raise _explained(first_line(error), where, advice) from error
    except UnicodeDecodeError as error:  # in a name or a message of a damaged database
        raise _explained(str(error), where, OF_FILES) from error


def first_line(error: DBAPIError) -> str:
    """What the database said, shortly."""
    return " ".join(str(error.orig).split())[:200]


Advice = dict[str, tuple[type[Exception], str]]
"A sign in what the database said -> the kind of error, and what to try; any other has no sign."

OF_FILES: Advice = {
    "locked": (OSError, "another program holds it; wait for it, or choose another --out"),
    "full": (OSError, "free some space and run the same command again: it resumes"),
    "readonly": (OSError, "choose an --out that can be written"),
    "unable to open": (OSError, "choose an --out that can be written"),
    "disk I/O": (OSError, "check the disk and run the same command again: it resumes"),
    "not a database": (ValueError, "expected a store of untrained; choose another --out"),
    "no column": (ValueError, "expected a store of this version; choose another --out"),
    "no such": (ValueError, "expected a store of this version; choose another --out"),
    "": (
        OSError,
        "it is damaged: put a copy back, or move it away to start anew; `sqlite3 FILE .recover` "
        "saves the rows that are whole",
    ),
}

OF_SERVERS: Advice = {
    "password": (ValueError, "put the right one into PGPASSWORD or ~/.pgpass"),
    "database system": (OSError, "wait until it is up, then run the same command again"),
    'role "': (ValueError, "expected the name of a user of that server; see createuser"),
    'database "': (ValueError, "make it with createdb, or name another"),
    "permission denied": (ValueError, "expected a user who may read and write its tables"),
    "read-only": (OSError, "expected a server that can be written, not its replica"),
    "No space": (OSError, "free some space there and run the same command again: it resumes"),
    "": (OSError, "see that the server runs and can be reached, then run the same command again: "
         "it resumes"),
}  # fmt: skip


def _explained(reason: str, where: Address, advice: Advice) -> Exception:
    kind, what_to_try = next(a for sign, a in advice.items() if sign in reason)
    return kind(f"cannot use the store {without_password(str(where))}: {reason}; {what_to_try}")
