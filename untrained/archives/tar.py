"""Tar archives, of which nothing is unpacked to disk."""

import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

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


def members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The ordinary files in an archive, whose names are checked.

    Raises:
        ValueError: If a file would lie outside the folder into which others unpack it.
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
        ValueError: If it is no archive, a damaged one, or one that names or claims what no image
            set does.
        OSError: If it cannot be opened.
    """
    found: dict[str, bytes] = {}
    with path.open("rb") as raw:
        try:
            with tarfile.open(fileobj=raw) as archive:
                for member in members(archive, path):
                    name = PurePosixPath(member.name).name
                    if name in wanted:
                        check_size(member.size, f"{name} of {path}")
                        file = archive.extractfile(member)
                        found[name] = file.read() if file else b""
        except ForeignError:
            raise
        except DAMAGED as error:
            raise damaged(path, error) from error
    return found


def first_names(path: Path, count: int = 5) -> list[str]:
    """Names of the first files in an archive, without their folders; none of a damaged one."""
    try:
        with tarfile.open(path) as archive:
            ordinary = (member for member in archive if member.isreg())
            return [PurePosixPath(m.name).name for m, _ in zip(ordinary, range(count))]  # noqa: B905
    except DAMAGED:
        return []


def check_size(size: int, where: str) -> None:
    """Refuse a file that is too large to be a part of a published image set.

    Raises:
        ValueError: If it is.
    """
    if not 0 <= size <= MOST_BYTES:
        raise ForeignError(
            f"expected at most {MOST_BYTES:,} bytes in {where}, got a claim of {size:,}; fetch it "
            f"again from its authors"
        )


class ForeignError(ValueError):
    """An archive names or claims what no image set does."""


def damaged(path: Path, error: Exception) -> ValueError:
    """The error that says in one line that an archive cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(
        f"expected a tar archive in {path}, got something else or a part of one ({reason}); fetch "
        f"it again"
    )
