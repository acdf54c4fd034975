"""One picture file, brought to a square of 8-bit colour."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
NO_RANGE = ("I", "F")


def read_picture(path: Path, size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Read one picture: turn, flatten, cut the centre square, resize.

    EXIF orientation is applied; transparency is composited over white; 16-bit grey keeps its
    upper 8 bits; other colour spaces become RGB; the centre square is cut and resized,
    antialiased (bilinear). Of an animation the first frame is read.

    Args:
        path: A file of any format that Pillow opens.
        size: Side in pixels of what is returned.

    Returns:
        Height, width, RGB.

    Raises:
        Exception: Whatever Pillow's decoders raise on a file that is broken.
    """
    with Image.open(path) as picture:
        # Lets the JPEG decoder skip detail: much faster for photographs, still antialiased.
        picture.draft(None, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(picture)
        return np.array(
            ImageOps.fit(flatten(upright), (size, size), method=Image.Resampling.BILINEAR)
        )


def flatten(picture: Image.Image) -> Image.Image:
    """Convert to RGB, with white where the picture is transparent.

    Example:
        >>> flatten(Image.new("LA", (1, 1), (0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if picture.mode in NO_RANGE:
        raise ValueError(f"mode {picture.mode} has no fixed range; save it with 8 or 16 bits")
    if picture.mode in SIXTEEN_BITS:
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
