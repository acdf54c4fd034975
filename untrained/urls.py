"""Files by URL, on an object store: read by name, written whole, and waited for.

Any subpackage may import this. fsspec is imported when a URL is used.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from untrained.outside import without_password
from untrained.patience import Patience

T = TypeVar("T")

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"Protocol -> our extra with its library."
LASTING = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError),
    *(ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ImportError),
)
"""Errors that are the same the next time. Those of a network are any other: each library has kinds
of its own."""


class Unreachable(OSError):
    """What a URL names cannot be read or written; that says nothing of what it holds."""


class URL(str):
    """A file or folder by its URL, with those words of `Path` that this library uses.

    It is a text, as configurations, TOML and JSON hold it. Nothing is listed: a file is asked for
    by name, so that a listing that is late hides none.
    """

    __slots__ = ()

    def __truediv__(self, name: str) -> "URL":
        return URL(f"{self}/{name}")

    @property
    def protocol(self) -> str:
        """What it begins with: `s3`."""
        return self.partition("://")[0]

    @property
    def root(self) -> str:
        """Protocol and bucket, which names of files do not leave."""
        return "/".join(self.split("/")[:3])

    @property
    def name(self) -> str:
        """What comes last."""
        return self.rpartition("/")[2]

    @property
    def parent(self) -> "URL":
        """The folder; of a bucket, itself."""
        return self if self == self.root else URL(self.rpartition("/")[0])

    def with_name(self, name: str) -> "URL":
        """Another in the same folder."""
        return self.parent / name

    def absolute(self) -> "URL":
        """Itself."""
        return self

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: names under a URL need no folders."""

    def size(self) -> int | None:
        """Bytes of the file; None where there is none.

        Raises:
            Unreachable: it cannot be asked, for ten minutes.
        """
        try:
            return int(self._insist("read", lambda system, path: system.info(path))["size"])
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        """Whether there is such a file; errors as of `size`."""
        return self.size() is not None

    def read_bytes(self) -> bytes:
        """What the file holds.

        Raises:
            FileNotFoundError: there is none.
            Unreachable: it cannot be read, for ten minutes.
        """
        return self._insist("read", lambda system, path: system.cat_file(path))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The same as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Writes the file in one request, after which its length is that of the content.

        An object store shows the old file until it has all of the new one.

        Raises:
            Unreachable: it cannot be written, for ten minutes.
        """

        def put(system: Any, path: str) -> None:
            system.pipe_file(path, content)
            if (found := self._size_now(system, path)) != len(content):
                raise OSError(f"expected {len(content):,} bytes to be kept, found {found:,}")

        try:
            self._insist("write", put)
        except FileNotFoundError as error:  # the bucket
            raise self._explained("write", error) from error

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Removes the file; errors as of `read_bytes`."""
        try:
            self._insist("remove", lambda system, path: system.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def check_library(self) -> None:
        """Refuse a protocol that is not known here.

        Raises:
            ValueError: such a one, or one whose library is not installed.
        """
        from fsspec import get_filesystem_class

        try:
            get_filesystem_class(self.protocol)
        except ValueError as error:
            raise ValueError(
                f"expected a URL that fsspec knows, such as s3://BUCKET/FOLDER or "
                f"gs://BUCKET/FOLDER, got {self}"
            ) from error
        except ImportError as error:
            extra = EXTRAS.get(self.protocol)
            advice = f"pip install 'untrained[{extra}]'" if extra else str(error)
            raise ValueError(
                f"{self}: expected the library that {self.protocol}:// needs, got none; {advice}"
            ) from error

    def check_reached(self) -> None:
        """Refuse what cannot be reached now; from then on it is waited for.

        Raises:
            ValueError: as `check_library`.
            Unreachable: it cannot be reached.
        """
        self.check_library()
        try:
            self._insist("reach", lambda system, path: system.info(path), patient=False)
        except FileNotFoundError:
            return

    def _size_now(self, system: Any, path: str) -> int:
        try:
            return int(system.info(path)["size"])
        except FileNotFoundError:
            return 0

    def _insist(self, what: str, work: Callable[[Any, str], T], *, patient: bool = True) -> T:
        """What the work gives, which is tried again where the network may be at fault."""
        from fsspec.core import url_to_fs

        self.check_library()
        patience = Patience()
        while True:
            try:  # nothing that was listed is kept: others write there too
                return work(*url_to_fs(str(self), use_listings_cache=False))
            except FileNotFoundError:
                raise
            except Exception as error:  # see `LASTING`
                away = f"cannot {what} {self} ({_one_line(error)})"
                if isinstance(error, LASTING) or not patient or not patience.wait(away):
                    raise self._explained(what, error) from error

    def _explained(self, what: str, error: Exception) -> Unreachable:
        return Unreachable(
            f"cannot {what} {self}: {_one_line(error)}; see that it can be reached, and that you "
            f"may read and write there, then give the same command again: it resumes"
        )


def _one_line(error: Exception) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return without_password(said)[:200]
