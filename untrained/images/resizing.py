"""One rule for bringing images to a size."""

from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate


def resize_square(
    pixels: UInt8[Tensor, "n c h w"], size: int
) -> UInt8[Tensor, "n c {size} {size}"]:
    """Cut the centre square of every image and resize it, antialiased, to `size` pixels.

    But for the outermost pixels this equals resizing the shorter side, then cutting the centre.

    Example:
        >>> import torch
        >>> resize_square(torch.zeros(2, 3, 40, 60, dtype=torch.uint8), 32).shape
        torch.Size([2, 3, 32, 32])
    """
    height, width = pixels.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[:, :, top : top + side, left : left + side]
    if side == size:
        return square.contiguous()
    return interpolate(square, (size, size), mode="bilinear", antialias=True).contiguous()


def describe_resize(before: tuple[int, int], size: int) -> tuple[str, ...]:
    """Write the note that says what `resize_square` did, if it did anything.

    Example:
        >>> describe_resize((40, 60), 32)
        ('centre square of 40 x 60 images resized to 32 x 32',)
    """
    if before == (size, size):
        return ()
    height, width = before
    return (f"centre square of {height} x {width} images resized to {size} x {size}",)
