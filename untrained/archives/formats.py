"""The formats of archives, and how a path is told to be of one."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from untrained.archives.cifar import is_cifar, read_cifar
from untrained.archives.contents import Arrays, Shards
from untrained.archives.idx import is_idx, read_idx_folder
from untrained.archives.parquet import is_parquet, read_parquet
from untrained.archives.svhn import is_svhn, read_svhn
from untrained.archives.webdataset import is_webdataset, read_webdataset


class Format(NamedTuple):
    """One format."""

    fits: Callable[[Path], bool]
    "Tells by names of files alone whether a path is of it."
    read: Callable[[Path], Arrays | Shards]


FORMATS = {
    "CIFAR": Format(is_cifar, read_cifar),
    "IDX": Format(is_idx, read_idx_folder),
    "SVHN": Format(is_svhn, read_svhn),
    "Parquet": Format(is_parquet, read_parquet),
    "WebDataset": Format(is_webdataset, read_webdataset),
}
"By name, in the order in which they are tried."


def read_archive(path: Path) -> Arrays | Shards | None:
    """Read a file or a folder; None where its names are those of no format.

    A folder that holds nothing but one folder stands for that one.

    Raises:
        ValueError: If it is not what its names say; says what came and what to try.
        OSError: If it cannot be read.
    """
    for place in (path, *shells(path)):
        for format in FORMATS.values():
            if format.fits(place):
                return format.read(place)
    return None


def shells(path: Path) -> list[Path]:
    """The one folder in a folder that holds nothing else, which archives leave; or none."""
    inside = [p for p in path.iterdir() if p.name[0] != "."] if path.is_dir() else []
    return inside if len(inside) == 1 and inside[0].is_dir() else []
