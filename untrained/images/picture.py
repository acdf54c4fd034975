"""One picture file, brought to a square of 8-bit colour."""

from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
NO_RANGE = ("I", "F")


HUGE = 2**24
"Pixels above which pictures are decoded one at a time, so that many do not exhaust memory."
ALONE = Lock()
"Held meanwhile."


class Picture(NamedTuple):
    """A picture as it was read."""

    square: UInt8[np.ndarray, "size size 3"]
    "Height, width, RGB."
    filled: int
    "Bits that the values fill if it is of 16-bit grey; 0 otherwise."
    narrowed: bool
    "Whether it is of 16-bit colour, of which Pillow gives the upper 8 bits."


def read_picture(path: Path | BytesIO, size: int, bits: int = 16) -> Picture:
    """Read one picture: turn, flatten, cut the centre square, resize.

    EXIF orientation is applied; transparency is composited over white; 16-bit grey keeps the
    upper 8 of its lower `bits`; other colour spaces become RGB; the centre square is cut and
    resized, antialiased (bilinear). Of an animation the first frame is read.

    Args:
        path: A file of any format that Pillow opens, or its content.
        size: Side in pixels of what is returned.
        bits: 8 to 16, those that 16-bit grey pictures fill: 12 for many cameras.

    Raises:
        Exception: Whatever Pillow's decoders raise on a file that is broken.
    """
    with Image.open(path) as picture:
        # Lets the JPEG decoder skip detail: much faster for photographs, still antialiased.
        picture.draft(None, (2 * size, 2 * size))
        narrowed = picture.mode not in SIXTEEN_BITS and any(
            "16" in str(t[3]) for t in picture.tile
        )
        with ALONE if picture.width * picture.height > HUGE else nullcontext():
            ImageOps.exif_transpose(picture, in_place=True)
            filled = 0
            upright: Image.Image = picture
            if picture.mode in SIXTEEN_BITS:
                values = np.asarray(picture)
                filled = int(values.max()).bit_length()
                upright = Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8))
            square = ImageOps.fit(flatten(upright), (size, size), Image.Resampling.BILINEAR)
    return Picture(np.array(square), filled, narrowed)


def flatten(picture: Image.Image) -> Image.Image:
    """Convert to RGB, with white where the picture is transparent.

    Example:
        >>> flatten(Image.new("LA", (1, 1), (0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if picture.mode in NO_RANGE:
        raise ValueError(f"mode {picture.mode} has no fixed range; save it with 8 or 16 bits")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
