"""One alteration of each image, drawn at random, of random strength."""

import math

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from untrained.images.augment import change_colours, draw_integers

KINDS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "contrast", "saturation", "posterize", "solarize",
)  # fmt: skip
"What may be done to an image, each with the same probability."

ANGLE, SHEAR, SHIFT, COLOUR = math.radians(135), 0.99, 0.25, 0.99
"Largest rotation, shear, shift as a share of the side, and relative change of colours."


def trivial_augment(
    pixels: UInt8[Tensor, "n c h w"], generator: torch.Generator
) -> UInt8[Tensor, "n c h w"]:
    """Each image altered in one of `KINDS`, with a strength uniform up to the largest.

    Args:
        pixels: A raw batch.
        generator: Source of every draw, on any device.

    Returns:
        A new batch of the same shape; what comes in from outside an image is black.

    Source:
        Müller and Hutter 2021, TrivialAugment, https://arxiv.org/abs/2103.10158, with its wide
        ranges, but shifts of a quarter of the side. It also sharpens and equalises, which is left
        out here.
    """
    count = len(pixels)
    kinds = draw_integers(len(KINDS), count, generator).to(pixels.device)
    strengths = 2 * torch.rand(count, generator=generator, device=generator.device) - 1
    strengths = strengths.to(pixels.device)
    return alter(pixels, kinds, strengths)


def alter(
    pixels: UInt8[Tensor, "n c h w"],
    kinds: Int64[Tensor, " n"],
    strengths: Float[Tensor, " n"],
) -> UInt8[Tensor, "n c h w"]:
    """Each image altered as its kind says, the index of one of `KINDS`.

    Args:
        pixels: A raw batch.
        kinds: One an image.
        strengths: From -1 to 1, as a share of the largest; the sign is the direction, of which
            posterize and solarize have one.
    """
    signed = {name: torch.where(kinds == k, strengths, 0.0) for k, name in enumerate(KINDS)}
    colours = [signed[name] for name in ("brightness", "contrast", "saturation")]
    found = pixels
    if any(strength.any() for strength in colours):
        found = change_colours(found, 1 + COLOUR * torch.stack(colours, 1))
    found = _solarized(_posterized(found, signed["posterize"].abs()), signed["solarize"].abs())
    moved = (kinds >= 1) & (kinds <= 5)
    return torch.where(moved[:, None, None, None], _moved(pixels, signed), found)


def _posterized(pixels: UInt8[Tensor, "n c h w"], strength: Float[Tensor, " n"]) -> Tensor:
    """Only the upper 8 bits at strength 0, only the upper 2 at 1."""
    lost = (6 * strength).round().int()[:, None, None, None]
    return (pixels.int() >> lost << lost).to(torch.uint8)


def _solarized(pixels: UInt8[Tensor, "n c h w"], strength: Float[Tensor, " n"]) -> Tensor:
    """Pixels above a threshold, which is 255 at strength 0 and 0 at 1, in the negative."""
    above = pixels > (255 * (1 - strength))[:, None, None, None]
    return torch.where(above, 255 - pixels, pixels)


def _moved(
    pixels: UInt8[Tensor, "n c h w"], signed: dict[str, Float[Tensor, " n"]]
) -> UInt8[Tensor, "n c h w"]:
    """Rotated, sheared and shifted, by bilinear interpolation."""
    angle = ANGLE * signed["rotate"]
    maps = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    maps[:, 0, 0], maps[:, 0, 1] = angle.cos(), -angle.sin() + SHEAR * signed["shear_x"]
    maps[:, 1, 0], maps[:, 1, 1] = angle.sin() + SHEAR * signed["shear_y"], angle.cos()
    # A grid spans 2 from edge to edge.
    maps[:, 0, 2], maps[:, 1, 2] = (
        2 * SHIFT * signed["translate_x"],
        2 * SHIFT * signed["translate_y"],
    )
    grid = affine_grid(maps, list(pixels.shape), align_corners=False)
    return grid_sample(pixels.float(), grid, align_corners=False).round().to(torch.uint8)
