"""What a network is shown in training: rows in random order, each batch altered anew."""

from typing import NamedTuple

import numpy as np
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
from untrained.images.trivial_augment import trivial_augment
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
    """Crop, flip, alter, normalise, resize and cut out, each where the recipe says so."""
    padding = min(pixels.shape[2:]) // 8 if recipe.crop else 0
    flip = flips(recipe, pixels.shape[1])
    if padding or flip:
        pixels = random_crop_flip(pixels, generator, padding=padding, flip=flip)
    pixels = pixels.to(device)
    if recipe.trivial_augment:
        pixels = trivial_augment(pixels, generator)
    if recipe.jitter:
        pixels = jitter_colours(pixels, generator, recipe.jitter)
    inputs = images.normalise(pixels)
    if recipe.resized_crop:
        inputs = random_resized_crop(inputs, generator)
    return cutout(inputs, generator, recipe.cutout) if recipe.cutout else inputs


class Shown(NamedTuple):
    """A batch as the network sees it, and what it is to answer."""

    inputs: Float[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    mixed_in: Int64[Tensor, " n"] | None = None
    "Classes of the images that were mixed into these; None for none."
    share: float = 1.0
    "Of each image in its input, at least a half; the rest is what was mixed in."


def show(
    images: Images,
    rows: Int64[Tensor, " n"],
    recipe: Recipe,
    generator: torch.Generator,
    device: str,
) -> Shown:
    """These rows of the training images on the device, altered and mixed as the recipe says."""
    inputs = augment(images.train.at(rows), images, recipe, generator, device)
    shown = Shown(inputs, images.train.labels[rows].to(device))
    return mix(shown, recipe.mixup, generator) if recipe.mixup else shown


def mix(shown: Shown, spread: float, generator: torch.Generator) -> Shown:
    """Each image of a batch x mixed with another one of it, x', both in the same shares.

        s x + (1 - s) x',    max(s, 1 - s) of a draw s from Beta(a, a)

    The larger share is that of x: which of the two is called x does not matter to the loss.

    Args:
        shown: not mixed yet.
        spread: a, more than 0; small ones hardly mix.
        generator: source of the draw and of the pairs.

    Source:
        Zhang, Cisse, Dauphin and Lopez-Paz 2018, mixup: Beyond Empirical Risk Minimization,
        https://arxiv.org/abs/1710.09412
    """
    seed = int(torch.randint(2**62, (), generator=generator))  # torch's own Beta has no generator
    s = float(np.random.default_rng(seed).beta(spread, spread))
    s = max(s, 1 - s)
    pairs = torch.randperm(len(shown.labels), generator=generator).to(shown.labels.device)
    return Shown(
        s * shown.inputs + (1 - s) * shown.inputs[pairs], shown.labels, shown.labels[pairs], s
    )
