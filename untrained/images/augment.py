"""Random alterations of a batch of images, each a few tensor operations for the whole batch."""

import math

import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad


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


def random_resized_crop(
    inputs: Float[Tensor, "n c h w"], generator: torch.Generator
) -> Float[Tensor, "n c h w"]:
    """A random part of each image, brought to the full size.

    The part has a uniform share of 8 % to 100 % of the area, a ratio of width to height between
    3/4 and 4/3 of which the logarithm is uniform, and a uniform place. A part wider or higher
    than the image is narrowed to it, where the original draws again.

    Args:
        inputs: A batch.
        generator: Source of every draw, on any device.

    Returns:
        A new batch of the same shape and dtype.

    Source:
        Szegedy et al. 2015, Going Deeper with Convolutions, https://arxiv.org/abs/1409.4842; the
        numbers are those of torchvision's RandomResizedCrop.
    """
    count, _, height, width = inputs.shape
    area, tilt, left, top = torch.rand(
        4, count, generator=generator, device=generator.device, dtype=inputs.dtype
    )
    area, ratio = 0.08 + 0.92 * area, ((2 * tilt - 1) * math.log(4 / 3)).exp()
    across = (area * ratio * height / width).sqrt().clamp(max=1)
    down = (area / ratio * width / height).sqrt().clamp(max=1)
    boxes = torch.stack([left * (1 - across), top * (1 - down), across, down], dim=1)
    return resize_boxes(inputs, boxes.to(inputs.device))


def resize_boxes(
    inputs: Float[Tensor, "n c h w"], boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, "n c h w"]:
    """The box of each image, brought to the full size by bilinear interpolation.

    Args:
        inputs: A batch.
        boxes: Left edge, upper edge, width and height, as shares of the image's sides.
    """
    left, top, across, down = boxes.T
    # Grids run from -1 to 1: x maps to across * x, moved to the middle of the box.
    maps = torch.zeros(len(inputs), 2, 3, dtype=inputs.dtype, device=inputs.device)
    maps[:, 0, 0], maps[:, 0, 2] = across, 2 * left + across - 1
    maps[:, 1, 1], maps[:, 1, 2] = down, 2 * top + down - 1
    grid = affine_grid(maps, list(inputs.shape), align_corners=False)
    return grid_sample(inputs, grid, padding_mode="border", align_corners=False)


def jitter_colours(
    pixels: UInt8[Tensor, "n c h w"], generator: torch.Generator, strength: float
) -> UInt8[Tensor, "n c h w"]:
    """Change brightness, contrast and saturation of each image by factors of its own.

    The factors are uniform between 1 - strength and 1 + strength.

    Args:
        pixels: A raw batch; images without three channels have no saturation to change.
        generator: Source of every draw, on any device.
        strength: From 0 to 1; 0.4 in the ImageNet recipes.

    Returns:
        A new batch of the same shape.

    Raises:
        ValueError: If `strength` is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"expected a strength of 0 to 1, got {strength!r}")
    draws = torch.rand(len(pixels), 3, generator=generator, device=generator.device)
    return change_colours(pixels, (1 + strength * (2 * draws - 1)).to(pixels.device))


def change_colours(
    pixels: UInt8[Tensor, "n c h w"], factors: Float[Tensor, "n 3"]
) -> UInt8[Tensor, "n c h w"]:
    """Brightness, then contrast, then saturation, times a factor each.

    With the grey image g = 0.299 red + 0.587 green + 0.114 blue, and its mean m, an image x with
    brightness b, contrast c and saturation s becomes, each time cut to 0 and 255:

        b x,    then m + c (x - m),    then g + s (x - g)
    """
    brightness, contrast, saturation = factors.T[:, :, None, None, None]
    x = (brightness * pixels).clamp(0, 255)
    mean = grey(x).mean((2, 3), keepdim=True)
    x = (mean + contrast * (x - mean)).clamp(0, 255)
    x = (grey(x) + saturation * (x - grey(x))).clamp(0, 255)
    return x.round().to(torch.uint8)


def grey(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ h w"]:
    """What the eye sees of red, green and blue without colour; other images are grey as is."""
    if x.shape[1] != 3:
        return x
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device)
    return (weights[:, None, None] * x).sum(1, keepdim=True)


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
