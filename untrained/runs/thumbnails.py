"""Small pictures of images, one by one or on a sheet of many."""

import io

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

SIDE = 48
"Pixels of the longer side of a picture at most."
COLUMNS = 16
"Of a sheet; each row of it has so many pictures, but for the last."


def thumbnail(pixels: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "d y x"]:
    """A picture in colour, or in grey where there are not three channels."""
    picture = _picture(pixels if len(pixels) == 3 else _grey(pixels.double()))
    picture.thumbnail((SIDE, SIDE))
    return _pixels(picture)


def _grey(pixels: Float[Tensor, "c h w"]) -> UInt8[Tensor, "1 h w"]:
    """One channel, or the mean of however many there are."""
    return pixels.mean(0, keepdim=True).round().to(torch.uint8)


def png(pixels: UInt8[Tensor, "c h w"]) -> bytes:
    """A picture of one or three channels as a file."""
    written = io.BytesIO()
    _picture(pixels).save(written, "PNG", optimize=True)
    return written.getvalue()


def sheet(pictures: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "c y x"]:
    """All of them in rows of `COLUMNS`, black where the last row ends early."""
    n, c, h, w = pictures.shape
    rows = -(-n // COLUMNS)
    whole = pictures.new_zeros(rows * COLUMNS, c, h, w)
    whole[:n] = pictures
    grid = whole.view(rows, COLUMNS, c, h, w).permute(2, 0, 3, 1, 4)
    return grid.reshape(c, rows * h, COLUMNS * w)


def from_sheet(content: bytes, count: int) -> UInt8[Tensor, "n c h w"]:
    """The pictures of a sheet that was written as a file.

    Raises:
        ValueError, OSError: it is no picture, or not one of so many.
    """
    found = _pixels(Image.open(io.BytesIO(content)))
    rows = -(-count // COLUMNS)
    c, height, width = found.shape
    if height % rows or width % COLUMNS or c not in (1, 3):
        raise ValueError(f"expected {count} pictures in rows of {COLUMNS}, got {width} x {height}")
    grid = found.view(c, rows, height // rows, COLUMNS, width // COLUMNS)
    return grid.permute(1, 3, 0, 2, 4).flatten(0, 1)[:count]


def _picture(pixels: UInt8[Tensor, "c h w"]) -> Image.Image:
    """Of one channel or three."""
    values = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    return Image.fromarray(values[:, :, 0] if len(pixels) == 1 else values)


def _pixels(picture: Image.Image) -> UInt8[Tensor, "c h w"]:
    found = torch.from_numpy(np.array(picture))
    return found[None] if found.ndim == 2 else found.permute(2, 0, 1)
