"""What a network is shown in training: rows in random order, each batch altered anew."""

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from untrained.images.augment import (
    cutout,
    jitter_colours,
    random_crop_flip,
    random_resized_crop,
)
from untrained.images.dataset import Images
from untrained.training.recipe import Recipe, flips


def draw_batches(
    count: int, batch: int, generator: torch.Generator
) -> list[Int64[Tensor, " batch"]]:
    """Rows of all images in random order, `batch` at a time.

    A last batch of one image is left out: BatchNorm has no variance over it.
    """
    batches = list(torch.randperm(count, generator=generator).split(batch))
    return batches[:-1] if len(batches[-1]) == 1 else batches


def augment(
    pixels: UInt8[Tensor, "n c h w"],
    images: Images,
    recipe: Recipe,
    generator: torch.Generator,
    device: str,
) -> Float[Tensor, "n c h w"]:
    """Crop, flip, change colours, normalise, resize and cut out, each where the recipe says so."""
    padding = min(pixels.shape[2:]) // 8 if recipe.crop else 0
    flip = flips(recipe, pixels.shape[1])
    if padding or flip:
        pixels = random_crop_flip(pixels, generator, padding=padding, flip=flip)
    pixels = pixels.to(device)
    if recipe.jitter:
        pixels = jitter_colours(pixels, generator, recipe.jitter)
    inputs = images.normalise(pixels)
    if recipe.resized_crop:
        inputs = random_resized_crop(inputs, generator)
    return cutout(inputs, generator, recipe.cutout) if recipe.cutout else inputs
