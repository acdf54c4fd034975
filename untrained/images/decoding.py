"""Pictures of a folder, decoded one after the other into a file."""

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from io import BufferedRandom, BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from untrained.images.layout import ADVICE, Layout, files_below, is_picture, readable
from untrained.images.picture import Picture, read_picture
from untrained.images.splits import shorten

Open = BufferedRandom | BytesIO
"A file to be written and read."


class Group(NamedTuple):
    """The pictures of one class in one split, whose pixels lie together."""

    split: str
    name: str
    files: tuple[str, ...]
    "Where each lies, below the data set's folder."


@dataclass(frozen=True)
class Decoded:
    """What the pictures of a folder gave beside their pixels."""

    shape: tuple[int, int, int]
    "Channels, height and width."
    groups: tuple[Group, ...]
    "In the order of the pixels: split by split, class by class; none is empty."
    warnings: tuple[str, ...]
    "What was left out, one line each."
    remarks: tuple[str, ...]
    "What was converted, one line each."
    grey_bits: int
    "As in `Images`."

    def plain(self) -> dict[str, Any]:
        """Itself as JSON holds it."""
        return asdict(self)

    @classmethod
    def of_plain(cls, kept: Mapping[str, Any]) -> "Decoded":
        """What `plain` was made of."""
        groups = tuple(Group(split, name, (*files,)) for split, name, files in kept["groups"])
        lists = {name: tuple(kept[name]) for name in ("shape", "warnings", "remarks")}
        return cls(**{**kept, **lists, "groups": groups})


class Found(NamedTuple):
    """What was read of one class in one split."""

    files: tuple[str, ...] = ()
    filled: int = 0
    "Most bits that the values of a 16-bit grey picture fill; 0 if there is none."
    narrowed: int = 0
    "Pictures of 16-bit colour, of which Pillow gives the upper 8 bits."
    grey: bool = True
    "Red, green and blue agree everywhere."
    warnings: tuple[str, ...] = ()


def decode(layout: Layout, path: Path, side: int, file: Open) -> Decoded:
    """Write the pixels of all pictures to a file, channels first, and say what they are.

    Args:
        layout: Where the pictures lie.
        path: The data set's folder.
        side: Side in pixels of the squares made of the pictures.
        file: To be written and read; it is empty. One picture at a time is in memory.

    Raises:
        ValueError: If train shows no picture, or another split a class that train lacks.
        OSError: If the file cannot be written.
    """
    found = decode_all(layout, path, side, 16, file)
    known = [name for (split, name), f in found.items() if split == "train" and f.files]
    if not known:
        raise ValueError(
            f"expected pictures in the class folders of {readable(path)}, got none; {ADVICE}"
        )
    check_known([where for where, f in found.items() if f.files], known, path)
    remarks = []
    filled = max(f.filled for f in found.values())
    bits = max(8, filled) if filled else 16
    if bits < 16:
        file.seek(0)
        file.truncate()
        found = decode_all(layout, path, side, bits, file)
        remarks.append(f"16-bit grey pictures fill {filled} bits: the upper 8 of these were kept")
    if narrowed := sum(f.narrowed for f in found.values()):
        remarks.append(f"of {narrowed} pictures in 16-bit colour the upper 8 bits were kept")
    grey = all(f.grey for f in found.values())
    if grey:
        keep_one_channel(file, side)
        remarks.append("all pictures are grey: one channel")
    return Decoded(
        (1 if grey else 3, side, side),
        tuple(Group(*where, f.files) for where, f in found.items() if f.files),
        tuple(warning for f in found.values() for warning in f.warnings),
        tuple(remarks),
        bits,
    )


def decode_all(
    layout: Layout, path: Path, side: int, bits: int, file: Open
) -> dict[tuple[str, str], Found]:
    """Write the pictures of every class of every split; (split, class) -> what they are."""
    return {
        (split, name): decode_class(name, folders, path, side, bits, file)
        for split, classes in layout.splits.items()
        for name, folders in classes.items()
    }


def decode_class(
    name: str, folders: tuple[Path, ...], path: Path, side: int, bits: int, file: Open
) -> Found:
    """Write the pictures at any depth below the folders of a class, in order of their paths."""
    files = [found for folder in folders for found in sorted(files_below(folder))]
    found = write_pictures([each for each in files if is_picture(each)], path, side, bits, file)
    warned = list(found.warnings)
    if not found.files:
        where = " and ".join(map(readable, folders))
        warned.append(f"left out class {name!r}: no readable picture in {where}")
    others = [readable(each.name) for each in files if not is_picture(each)]
    if others:
        warned.append(f"skipped files of {name!r} that are no pictures: {shorten(others)}")
    return found._replace(warnings=tuple(warned))


def write_pictures(pictures: list[Path], path: Path, side: int, bits: int, file: Open) -> Found:
    """Write one after the other, and say what they are; those that are broken are left out."""
    read, left_out = [], []
    filled, narrowed, grey = 0, 0, True
    read_one = partial(read_or_explain, side=side, bits=bits)
    # Pillow decodes outside the interpreter's lock. Its warning of large pictures is for servers:
    # here they are read one at a time, and those twice as large are refused.
    with (
        warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
        ThreadPoolExecutor() as pool,
        ExitStack() as cancelled,
    ):
        cancelled.callback(pool.shutdown, wait=False, cancel_futures=True)  # after an error
        for picture, result in zip(pictures, pool.map(read_one, pictures), strict=True):
            if isinstance(result, str):
                left_out.append(result)
                continue
            file.write(np.ascontiguousarray(result.square.transpose(2, 0, 1)).data)
            read.append(readable(picture.relative_to(path)))
            filled, narrowed = max(filled, result.filled), narrowed + result.narrowed
            grey = grey and is_grey(result.square)
    return Found(tuple(read), filled, narrowed, grey, tuple(left_out))


def read_or_explain(path: Path, side: int, bits: int) -> Picture | str:
    """Read a picture; if it is broken, return the line that says so."""
    try:
        return read_picture(path, side, bits)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return readable(f"left out {path}: {reason}")


def check_known(found: list[tuple[str, str]], known: list[str], path: Path) -> None:
    """Refuse classes of a split that train does not show."""
    strange = [(split, name) for split, name in found if name not in known]
    if strange:
        split = strange[0][0]
        names = [name for where, name in strange if where == split]
        raise ValueError(
            f"expected the class folders of {split} in {readable(path)} to be among those of "
            f"train, got {shorten(names)}; add training pictures or rename"
        )


def is_grey(pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Tell whether red, green and blue agree everywhere."""
    return bool((pixels == pixels[..., :1]).all())


def keep_one_channel(file: Open, side: int) -> None:
    """Leave the first of every three planes of the file."""
    plane = side * side
    file.flush()
    count = file.seek(0, 2) // (3 * plane)
    for k in range(count):
        file.seek(3 * k * plane)
        kept = file.read(plane)
        file.seek(k * plane)
        file.write(kept)
    file.truncate(count * plane)
