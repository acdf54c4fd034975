"""Decoded pictures as a data set: mapped from where they are kept, or decoded first."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFile
from PIL import __version__ as pillow
from torch import Tensor

from untrained import archives
from untrained.images.collection import Collection, short_name
from untrained.images.dataset import Labelled
from untrained.images.decoding import Decoded, Open
from untrained.images.kept import Entry, home_of_entries

SIDE = 32
"Side in pixels when none is asked for."
Decode = Callable[[Open], Decoded]
"Writes the pixels of all pictures to a file, and says what they are."

logger = logging.getLogger(__name__)


class Pictures(NamedTuple):
    """Decoded pictures."""

    pixels: UInt8[Tensor, "n c h w"]
    decoded: Decoded
    entry: Entry | None = None
    "Where the pixels are mapped from; None: they are in memory."
    notes: tuple[str, ...] = ()
    "Why they are not kept, where they should be."


def pictures_of(path: Path, side: int, made_of: str, decode: Decode) -> Pictures:
    """What is kept of them, decoded first where it must be; in memory where nothing can be.

    Args:
        path: Where they lie.
        side: Side in pixels.
        made_of: A `digest` of all that decides the pixels.
        decode: Decodes them.
    """
    home = home_of_entries()
    if home is None:
        return in_memory(decode)
    name = hashlib.sha256(repr((str(path.resolve()), side)).encode()).hexdigest()[:16]
    entry = Entry(home / name, made_of)
    try:
        told, pixels = entry.open(path) or entry.write(path, lambda file: decode(file).plain())
        return Pictures(pixels, Decoded.of_plain(told), entry)
    except OSError as error:
        note = (
            f"decoded pictures stay in memory, since they cannot be kept in {home}: "
            f"{error.strerror or error}; name another folder by UNTRAINED_CACHE"
        )
    return in_memory(decode)._replace(notes=(note,))


def in_memory(decode: Decode) -> Pictures:
    """All of them, decoded anew."""
    buffer = io.BytesIO()
    decoded = decode(buffer)
    pixels = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
    return Pictures(pixels.view(-1, *decoded.shape), decoded)


def digest(side: int, files: Iterable[object]) -> str:
    """Of all that decides the pixels: side, the code, and what is told of every file."""
    limits = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    formats = sorted(Image.registered_extensions().items())
    found = hashlib.sha256(repr((reader(), limits, formats, side)).encode())
    for told in files:
        found.update(repr(told).encode())
    return found.hexdigest()


@cache
def reader() -> str:
    """Digest of the code that reads pictures and describes them, and of Pillow's version."""
    found = hashlib.sha256(pillow.encode())
    for home in (Path(__file__), Path(archives.__file__)):
        for file in sorted(home.parent.glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()


def collection_of(
    pictures: Pictures, path: Path, classes: tuple[str, ...], warnings: tuple[str, ...] = ()
) -> Collection:
    """Decoded pictures as a data set, which says and notes what was left out.

    Args:
        pictures: All of them.
        path: Where they lie; its name names the data set.
        classes: Class names; every group's is among them.
        warnings: What is said besides.
    """
    decoded = pictures.decoded
    left_out = (*warnings, *decoded.warnings, *pictures.notes)
    for note in left_out:
        logger.warning(note)
    side = decoded.shape[-1]
    return Collection(
        short_name(path),
        classes,
        **label(decoded, classes, pictures.pixels),
        notes=(
            f"centre square of each picture resized to {side} x {side}, transparency over white",
            *left_out,
            *decoded.remarks,
        ),
        grey_bits=decoded.grey_bits,
        files=files_of(decoded),
        entry=pictures.entry,
    )


def files_of(decoded: Decoded) -> dict[str, tuple[str, ...]]:
    """Split -> the file of each picture."""
    files: dict[str, tuple[str, ...]] = {}
    for group in decoded.groups:
        files[group.split] = files.get(group.split, ()) + group.files
    return files


def label(
    decoded: Decoded, classes: tuple[str, ...], pixels: UInt8[Tensor, "n c h w"]
) -> dict[str, Labelled]:
    """Split -> its pictures, as rows of all pixels."""
    counts = [len(group.files) for group in decoded.groups]
    splits = np.repeat([group.split for group in decoded.groups], counts)
    labels = np.repeat([classes.index(group.name) for group in decoded.groups], counts)
    rows = {split: torch.from_numpy((splits == split).nonzero()[0]) for split in set(splits)}
    return {
        str(split): Labelled(pixels, torch.from_numpy(labels)[found], found)
        for split, found in rows.items()
    }
