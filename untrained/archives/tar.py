"""Tar archives, of which nothing is unpacked to disk."""

import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

DAMAGED = (
    tarfile.TarError,
    EOFError,
    OSError,  # of gzip and bzip2
    OverflowError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)
"What reading an archive raises that is cut, or none."
ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOST_BYTES = 2**30
"Of one file in an archive; larger than any of CIFAR."


def is_tar(path: Path) -> bool:
    """Tell by its ending whether a file is a tar archive."""
    return path.name.casefold().endswith(ENDINGS) and path.is_file()


@contextmanager
def opened(path: Path, mode: Literal["r:*", "r:"] = "r:*") -> Iterator[tarfile.TarFile]:
    """An archive, to be read; `r:` refuses one that is compressed.

    Raises:
        ValueError: If what is read of it is damaged, or names or claims what no image set does.
        OSError: If it cannot be opened.
    """
    with path.open("rb") as raw:
        try:
            with tarfile.open(fileobj=raw, mode=mode) as archive:
                yield archive
        except ForeignError as error:
            raise ValueError(str(error)) from None
        except DAMAGED as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"expected a tar archive in {path}, got something else or a part of one "
                f"({reason}); fetch it again"
            ) from error


class ForeignError(Exception):
    """An archive names or claims what no image set does; for `opened`."""


def members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The ordinary files in an archive, whose names are checked.

    Raises:
        ForeignError: If a file would lie outside the folder into which others unpack it.
    """
    for member in archive:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise ForeignError(
                f"expected files below one folder in {path}, got {member.name[:100]!r}, which "
                f"would lie outside; do not unpack it, and fetch it again from its authors"
            )
        if member.isreg() and not member.issparse():
            yield member


def read_members(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Those files of an archive that have one of these names, in whichever folder.

    Raises:
        ValueError, OSError: As `opened`.
    """
    found: dict[str, bytes] = {}
    with opened(path) as archive:
        for member in members(archive, path):
            name = PurePosixPath(member.name).name
            if name in wanted:
                check_size(member.size, f"{name} of {path}")
                file = archive.extractfile(member)
                found[name] = file.read() if file else b""
    return found


def first_names(path: Path, count: int = 5) -> list[str]:
    """Names of the first files in an archive, without their folders, as far as it is whole."""
    found: list[str] = []
    with suppress(*DAMAGED), tarfile.open(path) as archive:
        for member in islice(archive, 2 * count):
            if member.isreg():
                found.append(PurePosixPath(member.name).name)
    return found[:count]


def check_size(size: int, where: str) -> None:
    """Refuse a file that is too large to be a part of a published image set.

    Raises:
        ForeignError: If it is.
    """
    if not 0 <= size <= MOST_BYTES:
        raise ForeignError(
            f"expected at most {MOST_BYTES:,} bytes in {where}, got a claim of {size:,}; fetch it "
            f"again from its authors"
        )
