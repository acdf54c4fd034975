"""Where benchmark tables and image sets lie. Any subpackage may import this; it imports none."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path, user_data_path


def data_folder() -> Path:
    """The folder that holds `images/` and `tables/`, which need not exist.

    UNTRAINED_DATA names it; without it, it is the user's data folder, such as
    `~/.local/share/untrained` on Linux.
    """
    named = os.environ.get("UNTRAINED_DATA")
    return Path(named).expanduser() if named else user_data_path("untrained")


def cache_folder() -> Path | None:
    """The folder of what can be made again, such as decoded pictures; it need not exist.

    UNTRAINED_CACHE names it; without it, it is the user's cache folder, such as
    `~/.cache/untrained` on Linux. Where it is set to nothing, nothing is kept: None.
    """
    named = os.environ.get("UNTRAINED_CACHE")
    if named is None:
        return user_cache_path("untrained")
    return Path(named).expanduser() if named else None


@dataclass(frozen=True)
class Holding:
    """A table or an image set that the package knows, at hand or not."""

    name: str
    "`tables/nasbench201.parquet`, `images/cifar10.npz`: its file in the data folder; or built in."
    holds: str
    "In a few words."
    obtain: str
    "How to get it, in a line."
    where: str = ""
    "`bundled`, `UNTRAINED_DATA`, `user's data folder`; empty where it is missing."
    path: Path | None = None
    "The file; None where it is missing, or no file of ours."
    rows: int | None = None
    "Architectures, or training images; None where it is missing or cannot be read."
    sha256: str = ""
    "Of the file."
    reason: str = ""
    "Why it cannot be read."


def where(path: Path) -> str:
    """What led to a file that is at hand."""
    if not path.is_relative_to(data_folder()):
        return "bundled"
    return "UNTRAINED_DATA" if os.environ.get("UNTRAINED_DATA") else "user's data folder"


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
