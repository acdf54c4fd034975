"""Decoded pictures that are kept, so that later starts map them instead of decoding again."""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from untrained.data import cache_folder
from untrained.files import write_whole
from untrained.images.mapping import map_pixels

logger = logging.getLogger(__name__)

PIXELS = ".pixels"
INDEX = "index"
MOST_BYTES = 10 * 2**30
"Bytes that all entries together may take; those used least recently go first."
ABANDONED = 24 * 3600.0
"Seconds after which what was never finished is removed."
UNFINISHED = ".unfinished-"
UNREADABLE = (OSError, ValueError, LookupError, TypeError)
"What reading a damaged entry raises."


@dataclass(frozen=True)
class Entry:
    """The decoded pictures of one folder at one size."""

    folder: Path
    made_of: str
    "Digest of what it was made of: files, size, and the code that reads them."

    @property
    def pixels(self) -> Path:
        """The file of pixels, one picture after the other: of one name, always the same."""
        return self.folder / f"{self.made_of[:16]}{PIXELS}"

    def recall(self, name: str) -> Any:
        """What was remembered by this name; None where there is nothing that belongs here."""
        with suppress(*UNREADABLE):
            made_of, told = read(self.folder / f"{name}.json")
            return told if made_of == self.made_of else None

    def remember(self, name: str, told: Mapping[str, Any]) -> None:
        """Keep what was found out about the pixels.

        Raises:
            OSError: it cannot be written.
        """
        text = json.dumps([self.made_of, dict(told)])
        write_whole(self.folder / f"{name}.json", f"{checksum(text)}\n{text}".encode())

    def fitting(self) -> Any:
        """What is told of the pixels, where they are whole and made of the same; else None."""
        told = self.recall(INDEX)
        with suppress(*UNREADABLE):
            return told["pictures"] if told["file"] == state_of(self.pixels) else None

    def open(self, of: Path) -> "Mapped | None":
        """The pixels and what is told of them; None, and a warning if there are others.

        Args:
            of: the folder of pictures.
        """
        with suppress(OSError):  # just removed
            if (told := self.fitting()) is not None:
                mapped = Mapped(told, map_pixels(self.pixels, told["shape"]))
                with suppress(OSError):  # a folder that is only to be read
                    os.utime(self.folder)
                return mapped
        if self.folder.exists():
            logger.warning(f"{self._complaint(of)}: decoding them again")
        return None

    def _complaint(self, of: Path) -> str:
        with suppress(*UNREADABLE):
            made_of, _ = read(self.folder / f"{INDEX}.json")
            if made_of != self.made_of:
                return f"{of}: pictures changed since they were decoded"
        return f"{self.folder}: decoded pictures are damaged"

    def write(self, of: Path, decode: Callable[[BufferedRandom], Mapping[str, Any]]) -> "Mapped":
        """Make the entry, whole or not at all; it takes the place of an older one.

        Args:
            of: the folder of pictures.
            decode: writes the pixels to a file, and returns what is told of them.

        Returns:
            As `open`; whatever becomes of the entry, the pixels stay mapped.

        Raises:
            OSError: it cannot be written.
        """
        home = self.folder.parent
        home.mkdir(parents=True, exist_ok=True)
        new = Entry(Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=home)), self.made_of)
        try:
            with new.pixels.open("w+b") as file:
                pictures = decode(file)
                file.flush()
                os.fsync(file.fileno())
            told = {"of": str(of.resolve()), "file": state_of(new.pixels), "pictures": pictures}
            new.remember(INDEX, told)
            mapped = Mapped(pictures, map_pixels(new.pixels, pictures["shape"]))
            self._replace(new.folder)
        finally:
            shutil.rmtree(new.folder, ignore_errors=True)
        trim(self.folder)
        return mapped

    def _replace(self, new: Path) -> None:
        """Put another folder in its place, unless another start was faster."""
        if self.fitting() is not None:
            return
        remove(self.folder)
        try:
            os.rename(new, self.folder)
        except OSError:
            if not self.folder.exists():
                raise


class Mapped(NamedTuple):
    """Pixels that are mapped from a file."""

    told: Mapping[str, Any]
    "What they are."
    pixels: UInt8[Tensor, "n c h w"]


class Kept(NamedTuple):
    """An entry as it is listed."""

    folder: Path
    of: str
    "The folder of pictures; empty where that cannot be read."
    pictures: int
    shape: tuple[int, ...]
    "Channels, height and width."
    bytes: int
    used: float
    "When it was last used, in seconds since 1970."


def kept_pictures() -> list[Kept]:
    """All entries, the last used first."""
    home = home_of_entries()
    folders = [p for p in home.glob("*") if p.name[0] != "."] if home else []
    found = []
    for folder in folders:
        with suppress(OSError):  # it has just been removed
            found.append(_listed(folder))
    return sorted(found, key=lambda kept: -kept.used)


def _listed(folder: Path) -> Kept:
    size = sum(file.stat().st_size for file in folder.iterdir())
    used = folder.stat().st_mtime
    try:
        _, told = read(folder / f"{INDEX}.json")
        shape = tuple(told["pictures"]["shape"])
        count = told["file"][0] // math.prod(shape)
    except UNREADABLE:
        return Kept(folder, "", 0, (), size, used)
    return Kept(folder, told["of"], count, shape, size, used)


def clear() -> int:
    """Remove all entries; how many bytes they took."""
    found = kept_pictures()
    for kept in found:
        remove(kept.folder)
    sweep(0.0)
    return sum(kept.bytes for kept in found)


def trim(used: Path) -> None:
    """Remove what was used least recently, as far as all take too much; `used` stays."""
    left = MOST_BYTES
    for kept in kept_pictures():
        left -= kept.bytes
        if left < 0 and kept.folder != used:
            with suppress(OSError):
                remove(kept.folder)
    sweep(ABANDONED)


def sweep(age: float) -> None:
    """Remove what was begun longer ago than that and never finished."""
    home = home_of_entries()
    for folder in home.glob(f"{UNFINISHED}*") if home else ():
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime >= age:
                shutil.rmtree(folder)


def remove(folder: Path) -> None:
    """Remove an entry; whoever has mapped its pixels may go on."""
    if folder.exists():
        away = tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent)
        with suppress(FileNotFoundError):  # another start was faster
            os.rename(folder, away)
        shutil.rmtree(away, ignore_errors=True)


def home_of_entries() -> Path | None:
    """The folder of all entries; None where none are to be kept."""
    folder = cache_folder()
    return folder and folder / "pictures"


def read(file: Path) -> tuple[str, Any]:
    """What an entry was made of, and what is told in one of its files.

    Raises:
        OSError, ValueError: it cannot be read, or is damaged.
    """
    check, _, text = file.read_text(encoding="utf-8").partition("\n")
    if check != checksum(text):
        raise ValueError(f"expected the text that {check!r} is the checksum of, got {text[:80]!r}")
    made_of, told = json.loads(text)
    return made_of, told


def checksum(text: str) -> str:
    """Other texts have others."""
    return hashlib.sha256(text.encode()).hexdigest()


def state_of(path: Path) -> list[int]:
    """Size and time of the last change: others, another content."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
