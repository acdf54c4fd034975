"""Random alterations of a batch of images, each a few tensor operations for the whole batch."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.nn.functional import pad


def random_crop_flip(
    pixels: Shaped[Tensor, "n c h w"], generator: torch.Generator, *, padding: int, flip: bool
) -> Shaped[Tensor, "n c h w"]:
    """Shift every image by up to `padding` pixels, and mirror about half of them.

    Each image is framed by `padding` zeros and an (h, w) window is cut at a uniform place;
    then, if `flip`, it is mirrored left to right with probability 1/2.

    Args:
        pixels: A batch, usually raw uint8: the frame is black before normalisation.
        generator: Source of every draw, on any device.
        padding: Width of the frame in pixels, 0 or more. CIFAR recipes use 4.
        flip: Whether mirroring is allowed; wrong for digits and letters.

    Returns:
        A new batch of the same shape and dtype.

    Raises:
        ValueError: If `padding` is negative.

    Example:
        >>> batch = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 2, 2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> random_crop_flip(batch, generator, padding=1, flip=True).shape
        torch.Size([2, 1, 2, 2])
    """
    if padding < 0:
        raise ValueError(f"expected a padding of 0 or more pixels, got {padding!r}")
    count, _, height, width = pixels.shape
    framed = pad(pixels, (padding, padding, padding, padding))
    tops = draw_integers(2 * padding + 1, count, generator).to(pixels.device)
    lefts = draw_integers(2 * padding + 1, count, generator).to(pixels.device)
    rows = torch.arange(count, device=pixels.device)
    shifted = windows(framed, rows, tops, lefts, (height, width))
    if not flip:
        return shifted
    mirrored = draw_integers(2, count, generator).to(pixels.device).bool()
    return torch.where(mirrored[:, None, None, None], shifted.flip(-1), shifted)


def cutout(
    inputs: Float[Tensor, "n c h w"], generator: torch.Generator, side: int
) -> Float[Tensor, "n c h w"]:
    """Set one square of each image to 0, which is the mean of normalised inputs.

    The square's centre is uniform over the pixels, so near an edge part of the square falls
    outside. It covers rows centre - side // 2 to centre - side // 2 + side - 1, columns alike.

    Args:
        inputs: A normalised batch.
        generator: Source of every draw, on any device.
        side: Side of the square in pixels, 0 or more; 16 for CIFAR-10 in the paper.

    Returns:
        A new batch of the same shape and dtype.

    Raises:
        ValueError: If `side` is negative.

    Example:
        >>> (cutout(torch.ones(5, 1, 8, 8), torch.Generator(), 1) == 0).sum().item()
        5

    Source:
        DeVries and Taylor 2017, Improved Regularization of Convolutional Neural Networks with
        Cutout, https://arxiv.org/abs/1708.04552
    """
    if side < 0:
        raise ValueError(f"expected a side of 0 or more pixels, got {side!r}")
    count, _, height, width = inputs.shape
    in_rows = draw_interval(height, side, count, generator).to(inputs.device)
    in_columns = draw_interval(width, side, count, generator).to(inputs.device)
    square = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return inputs.masked_fill(square, 0)


def draw_interval(
    length: int, side: int, count: int, generator: torch.Generator
) -> Shaped[Tensor, "count length"]:
    """Mark, for each of `count` images, `side` neighbouring places around a uniform centre."""
    starts = draw_integers(length, count, generator)[:, None] - side // 2
    places = torch.arange(length, device=generator.device)
    return (places >= starts) & (places < starts + side)


def draw_integers(bound: int, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    """Draw uniform integers from 0 to bound - 1, on the generator's device."""
    return torch.randint(bound, (count,), generator=generator, device=generator.device)


def windows(
    pixels: Shaped[Tensor, "images c h w"],
    rows: Int64[Tensor, " n"],
    tops: Int64[Tensor, " n"],
    lefts: Int64[Tensor, " n"],
    size: tuple[int, int],
) -> Shaped[Tensor, "n c height width"]:
    """Cut window k, of `size` (height, width), from image rows[k] at (tops[k], lefts[k]).

    Only the windows are copied: `pixels` may be a whole data set.
    """
    height, width = size
    # A view that holds a window for every place: (images, c, places, places, height, width).
    places = pixels.unfold(2, height, 1).unfold(3, width, 1)
    return places[rows, :, tops, lefts]
