"""Published files, fetched and checked. Any subpackage may import this; it imports none."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class PublishedFile:
    """A file that never changes."""

    url: str
    checksum: str
    "`md5:...` or `sha256:...`, as its authors give it."

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.url.rpartition("/")[2]


class Bar(Protocol):
    """A progress bar, as pooch asks for one."""

    total: int

    def update(self, count: int) -> None:
        """So many bytes more."""

    def reset(self) -> None:
        """From the beginning."""

    def close(self) -> None:
        """All is here."""


Bars = Callable[[str], AbstractContextManager[Bar | None]]
"The name of a file -> the bar of its download, or None."


def unseen(name: str) -> AbstractContextManager[Bar | None]:
    """No bar."""
    return nullcontext()


def download(files: Sequence[PublishedFile], folder: Path, bars: Bars = unseen) -> list[Path]:
    """Fetch files into a folder, unless they are there and whole.

    Args:
        files: To fetch.
        folder: Made where it is missing.
        bars: How the download is shown.

    Returns:
        Where each lies.

    Raises:
        OSError: If there is no network, no such file, or no space.
        ValueError: If what came has another checksum.
    """
    import pooch  # here, because only this needs it
    from requests.exceptions import RequestException

    pooch.get_logger().setLevel("ERROR")  # what it says is said here
    found = []
    for file in files:
        try:
            with bars(file.name) as bar:
                fetch = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=2**16)
                path = pooch.retrieve(file.url, file.checksum, file.name, folder, downloader=fetch)
        except RequestException as error:
            raise OSError(
                f"expected to fetch {file.url}, got {reason_of(error)}; fetch it elsewhere, "
                f"then untrained data add NAME PATH, the path of the file or of all files' folder"
            ) from error
        except ValueError as error:
            raise ValueError(
                f"expected a file with the checksum {file.checksum} at {file.url}, got another; "
                f"try again later, or name a file that you have"
            ) from error
        found.append(Path(path))
    return found


def reason_of(error: Exception) -> str:
    """Why a request failed, in a few words."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"the answer {status}"
    kind = type(error).__name__
    return "no answer in time" if "Timeout" in kind else f"no connection ({kind})"
