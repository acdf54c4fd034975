"""Pictures of a folder or of shards, decoded one after the other into a file."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BufferedRandom, BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from untrained.images.layout import readable
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
    """What pictures gave beside their pixels."""

    shape: tuple[int, int, int]
    "Channels, height and width."
    groups: tuple[Group, ...]
    "In the order of the pixels; none is empty."
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
    """What was read of one part."""

    files: tuple[str, ...] = ()
    filled: int = 0
    "Most bits that the values of a 16-bit grey picture fill; 0 if there is none."
    narrowed: int = 0
    "Pictures of 16-bit colour, of which Pillow gives the upper 8 bits."
    grey: bool = True
    "Red, green and blue agree everywhere."
    warnings: tuple[str, ...] = ()


class Source(NamedTuple):
    """One encoded picture."""

    name: str
    "Where it lies, below the data set's folder."
    content: Path | bytes | None
    "Its file, or what that holds; None where there is nothing."


@dataclass(frozen=True)
class Part:
    """Pictures of one class in one split, whose pixels are to lie together."""

    split: str
    name: str
    sources: Sequence[Source]
    where: str = ""
    "For a warning where none can be read; empty if that calls for none."
    others: Sequence[str] = ()
    "Files beside them that are no pictures."


def decode(parts: Callable[[], Iterable[Part]], side: int, file: Open) -> Decoded:
    """Write the pixels of all pictures to a file, channels first, and say what they are.

    Args:
        parts: Called for the pictures; again where 16-bit grey ones fill fewer bits.
        side: Side in pixels of the squares made of the pictures.
        file: To be written and read; it is empty. One picture at a time is in memory.

    Raises:
        OSError: If the file cannot be written.
    """
    found = decode_all(parts(), side, 16, file)
    remarks = []
    filled = max((f.filled for _, f in found), default=0)
    bits = max(8, filled) if filled else 16
    if bits < 16:
        file.seek(0)
        file.truncate()
        found = decode_all(parts(), side, bits, file)
        remarks.append(f"16-bit grey pictures fill {filled} bits: the upper 8 of these were kept")
    if narrowed := sum(f.narrowed for _, f in found):
        remarks.append(f"of {narrowed} pictures in 16-bit colour the upper 8 bits were kept")
    grey = all(f.grey for _, f in found)
    if grey:
        keep_one_channel(file, side)
        remarks.append("all pictures are grey: one channel")
    return Decoded(
        (1 if grey else 3, side, side),
        tuple(Group(part.split, part.name, f.files) for part, f in found if f.files),
        tuple(warning for _, f in found for warning in f.warnings),
        tuple(remarks),
        bits,
    )


def decode_all(
    parts: Iterable[Part], side: int, bits: int, file: Open
) -> list[tuple[Part, Found]]:
    """Write the pictures of every part; what they are, with parts that hold no pictures now."""
    found = ((part, decode_part(part, side, bits, file)) for part in parts)
    return [(replace(part, sources=()), each) for part, each in found]


def decode_part(part: Part, side: int, bits: int, file: Open) -> Found:
    """Write the pictures of one part, in its order."""
    found = write_pictures(part.sources, side, bits, file)
    warned = list(found.warnings)
    if part.where and not found.files:
        warned.append(f"left out class {part.name!r}: no readable picture in {part.where}")
    if part.others:
        warned.append(
            f"skipped files of {part.name!r} that are no pictures: {shorten([*part.others])}"
        )
    return found._replace(warnings=tuple(warned))


def write_pictures(pictures: Sequence[Source], side: int, bits: int, file: Open) -> Found:
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
            read.append(picture.name)
            filled, narrowed = max(filled, result.filled), narrowed + result.narrowed
            grey = grey and is_grey(result.square)
    return Found(tuple(read), filled, narrowed, grey, tuple(left_out))


def read_or_explain(source: Source, side: int, bits: int) -> Picture | str:
    """Read a picture; if it is broken, return the line that says so."""
    content = source.content
    try:
        if content is None:
            raise ValueError("there is no picture")
        return read_picture(
            BytesIO(content) if isinstance(content, bytes) else content, side, bits
        )
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken files
        where = content if isinstance(content, Path) else source.name
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(content, bytes):
            reason = re.sub(r" <_io.BytesIO object at \w+>", "", reason)
        return readable(f"left out {where}: {reason}")


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
