"""Images from a folder of pictures, one subfolder per class."""

import hashlib
import io
import logging
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFile
from PIL import __version__ as pillow
from torch import Tensor

from untrained.images.collection import Collection, short_name
from untrained.images.dataset import Labelled
from untrained.images.decoding import Decoded, decode
from untrained.images.kept import Entry, home_of_entries
from untrained.images.layout import Layout, files_below, find_layout, note_links

SIZE = 32
"Side in pixels when none is asked for."

logger = logging.getLogger(__name__)


def read_folder(path: Path, size: int | None) -> Collection:
    """Read a folder with one subfolder per class, or with such folders below train, val, test.

    If every subfolder with pictures is named as a split (train, training, val, valid, validation,
    dev, test, testing, in any case, also with an ending such as `_set`), these are splits, and
    classes come from train. Pictures may lie deeper below their class folder; a folder that holds
    nothing but one folder of folders stands for that one. Hidden files and folders left by
    archives and file servers (`__MACOSX`, `@eaDir`) are ignored, files that are no pictures
    skipped and noted, broken pictures and class folders without pictures left out with a warning
    and a note. Links to files and to class folders are followed, other links to folders are not.
    Each picture is read as `read_picture` says. If all pictures are grey the data set has one
    channel, otherwise three.

    Pictures are decoded once and kept in the user's cache folder; as long as names, sizes and
    times of change of all files stay, later calls map the pixels from there.

    Args:
        path: The folder; its name names the data set.
        size: Side in pixels of the squares made of the pictures; None means 32.

    Returns:
        Pictures sorted by class, then path.

    Raises:
        ValueError: If there are no class folders, splits lie beside other folders, or a split
            shows a class that train lacks.
    """
    side = SIZE if size is None else size
    layout = find_layout(path)
    pixels, decoded, entry, unkept = pictures_of(layout, path, side)
    left_out = (*layout.notes, *note_links(path, layout), *decoded.warnings, *unkept)
    for note in left_out:
        logger.warning(note)
    classes = tuple(group.name for group in decoded.groups if group.split == "train")
    return Collection(
        short_name(path),
        classes,
        **label(decoded, classes, pixels),
        notes=(
            f"centre square of each picture resized to {side} x {side}, transparency over white",
            *left_out,
            *decoded.remarks,
        ),
        grey_bits=decoded.grey_bits,
        files=files_of(decoded),
        entry=entry,
    )


class Pictures(NamedTuple):
    """The decoded pictures of a folder."""

    pixels: UInt8[Tensor, "n c h w"]
    decoded: Decoded
    entry: Entry | None = None
    "Where the pixels are mapped from; None: they are in memory."
    notes: tuple[str, ...] = ()
    "Why they are not kept, where they should be."


def pictures_of(layout: Layout, path: Path, side: int) -> Pictures:
    """What is kept of them, decoded first where it must be; in memory where nothing can be."""
    home = home_of_entries()
    if home is None:
        return in_memory(layout, path, side)
    name = hashlib.sha256(repr((str(path.resolve()), side)).encode()).hexdigest()[:16]
    entry = Entry(home / name, digest(layout, path, side))
    try:
        told, pixels = entry.open(path) or entry.write(
            path, lambda file: decode(layout, path, side, file).plain()
        )
        return Pictures(pixels, Decoded.of_plain(told), entry)
    except OSError as error:
        note = (
            f"decoded pictures stay in memory, since they cannot be kept in {home}: "
            f"{error.strerror or error}; name another folder by UNTRAINED_CACHE"
        )
    return in_memory(layout, path, side)._replace(notes=(note,))


def in_memory(layout: Layout, path: Path, side: int) -> Pictures:
    """All of them, decoded anew."""
    buffer = io.BytesIO()
    decoded = decode(layout, path, side, buffer)
    pixels = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
    return Pictures(pixels.view(-1, *decoded.shape), decoded)


def digest(layout: Layout, path: Path, side: int) -> str:
    """Of all that decides the pixels: name, size and time of every file, side, and the code."""
    limits = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    formats = sorted(Image.registered_extensions().items())
    found = hashlib.sha256(repr((reader(), limits, formats, side)).encode())
    for split, classes in layout.splits.items():
        for name, folders in classes.items():
            found.update(repr((split, name)).encode())
            for file in (file for folder in folders for file in files_below(folder)):
                state = file.stat() if file.exists() else file.lstat()  # of a link to nowhere
                below = str(file).removeprefix(str(path))
                readable = os.access(file, os.R_OK)
                found.update(repr((below, state.st_size, state.st_mtime_ns, readable)).encode())
    return found.hexdigest()


@cache
def reader() -> str:
    """Digest of the code that reads pictures and describes them: this subpackage, and Pillow."""
    found = hashlib.sha256(pillow.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


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
