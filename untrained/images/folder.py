"""Images from a folder of pictures, one subfolder per class."""

import logging
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from untrained.images.collection import Collection, short_name
from untrained.images.dataset import Labelled
from untrained.images.layout import (
    ADVICE,
    Layout,
    files_below,
    find_layout,
    is_picture,
    note_links,
    readable,
)
from untrained.images.picture import Picture, read_picture
from untrained.images.splits import shorten

SIZE = 32
"Side in pixels when none is asked for."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The pictures of one class in one split."""

    squares: UInt8[np.ndarray, "n side side 3"]
    files: tuple[str, ...]
    "Where each lies, below the data set's folder."
    filled: int
    "Most bits that the values of a 16-bit grey picture fill; 0 if there is none."
    narrowed: int
    "Pictures of 16-bit colour, of which Pillow gives the upper 8 bits."


Pictures = Mapping[str, Mapping[str, Found]]
"Split -> class -> what was found; classes without pictures are left out."


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
    notes = [*layout.notes, *note_links(path, layout)]
    pictures, more = read_layout(layout, path, side, bits=16)
    notes += more
    for note in notes:
        logger.warning(note)
    classes = tuple(pictures["train"])
    if not classes:
        raise ValueError(
            f"expected pictures in the class folders of {readable(path)}, got none; {ADVICE}"
        )
    check_known(pictures, classes, path)
    every = [found for classwise in pictures.values() for found in classwise.values()]
    filled = max(found.filled for found in every)
    bits = max(8, filled) if filled else 16
    if bits < 16:
        pictures, _ = read_layout(layout, path, side, bits)
        notes.append(f"16-bit grey pictures fill {filled} bits: the upper 8 of these were kept")
    if narrowed := sum(found.narrowed for found in every):
        notes.append(f"of {narrowed} pictures in 16-bit colour the upper 8 bits were kept")
    grey = all(is_grey(found.squares) for found in every)
    if grey:
        notes.append("all pictures are grey: one channel")
    splits = {split: found for split, found in pictures.items() if found}
    return Collection(
        short_name(path),
        classes,
        **{split: label(found, classes, grey) for split, found in splits.items()},
        notes=(
            f"centre square of each picture resized to {side} x {side}, transparency over white",
            *notes,
        ),
        grey_bits=bits,
        files={split: sum((f.files for f in p.values()), ()) for split, p in splits.items()},
    )


def read_layout(layout: Layout, path: Path, side: int, bits: int) -> tuple[Pictures, list[str]]:
    """Read the pictures of every class of every split; return them, and notes."""
    pictures: dict[str, dict[str, Found]] = {}
    notes = []
    for split, classes in layout.splits.items():
        pictures[split] = {}
        for name, folders in classes.items():
            found, more = read_class(name, folders, path, side, bits)
            notes += more
            if len(found.squares):
                pictures[split][name] = found
    return pictures, notes


def read_class(
    name: str, folders: tuple[Path, ...], path: Path, side: int, bits: int
) -> tuple[Found, list[str]]:
    """Read the pictures at any depth below the folders of a class, in order of their paths."""
    files = [file for folder in folders for file in sorted(files_below(folder))]
    pictures = [file for file in files if is_picture(file)]
    # Pillow decodes outside the interpreter's lock. Its warning of large pictures is for servers:
    # here they are read one at a time, and those twice as large are refused.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = list(pool.map(partial(read_or_explain, side=side, bits=bits), pictures))
    read = [(f, r) for f, r in zip(pictures, results, strict=True) if isinstance(r, Picture)]
    left_out = [result for result in results if isinstance(result, str)]
    if not read:
        where = " and ".join(map(readable, folders))
        left_out.append(f"left out class {name!r}: no readable picture in {where}")
    others = [readable(file.name) for file in files if not is_picture(file)]
    skipped = [f"skipped files of {name!r} that are no pictures: {shorten(others)}"]
    found = Found(
        np.array([p.square for _, p in read], dtype=np.uint8).reshape(-1, side, side, 3),
        tuple(readable(file.relative_to(path)) for file, _ in read),
        max((p.filled for _, p in read), default=0),
        sum(p.narrowed for _, p in read),
    )
    return found, left_out + (skipped if others else [])


def read_or_explain(path: Path, side: int, bits: int) -> Picture | str:
    """Read a picture; if it is broken, return the line that says so."""
    try:
        return read_picture(path, side, bits)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return readable(f"left out {path}: {reason}")


def check_known(pictures: Pictures, classes: tuple[str, ...], path: Path) -> None:
    """Refuse classes that train does not show."""
    for split, found in pictures.items():
        strange = [name for name in found if name not in classes]
        if strange:
            raise ValueError(
                f"expected the class folders of {split} in {readable(path)} to be among those of "
                f"train, got {shorten(strange)}; add training pictures or rename"
            )


def is_grey(pixels: UInt8[np.ndarray, "n h w 3"]) -> bool:
    """Tell whether red, green and blue agree everywhere."""
    return bool((pixels == pixels[..., :1]).all())


def label(pictures: Mapping[str, Found], classes: tuple[str, ...], grey: bool) -> Labelled:
    """Join the pictures of all classes, channels first; of grey ones a single channel."""
    channels = 1 if grey else 3
    squares = [found.squares[..., :channels] for found in pictures.values()]
    pixels = np.concatenate(squares).transpose(0, 3, 1, 2)
    labels = np.repeat([classes.index(name) for name in pictures], list(map(len, squares)))
    return Labelled(
        torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels.astype(np.int64))
    )
