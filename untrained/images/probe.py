"""Probes: the batch of images that a score shows to a network."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from untrained.images.augment import draw_integers, random_crop_flip, windows
from untrained.images.dataset import Images, Labelled


@dataclass(frozen=True)
class ProbeSpec:
    """Which images a score is shown, and how they are altered."""

    count: int = 64
    "Images in the probe."
    at_most: bool = False
    "Take all images of the split where it has fewer than `count`."
    augment: bool = False
    "Horizontal flip (colour images only) and random crop after zero padding by an eighth."
    patch: int | None = None
    "Side in pixels of a random square cut from each image; None keeps the image whole."
    one_channel: bool = False
    "Keep one channel, drawn at random for each image."
    split: Literal["train", "validation"] = "train"
    "Where the images come from; never the test images."

    def of(self, images: Images) -> Labelled:
        """The split that images are drawn from."""
        return images.train if self.split == "train" else images.validation


@dataclass(frozen=True)
class Probe:
    """A normalised batch, its labels, and where it comes from."""

    inputs: Float32[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    classes: int
    "Number of classes of the data set, which may exceed those present here."
    origin: str
    "For people: `72 of cifar10/train, augmented`."


def draw_probe(images: Images, spec: ProbeSpec, generator: torch.Generator) -> Probe:
    """Draw a batch from a split and alter it as `spec` says.

    Images are drawn without replacement. More patches than images may be asked for: then every
    image is used once before any is used again. In this order: draw images, crop and flip
    the raw pixels (the frame is black, an eighth of the shorter side wide), cut the patch,
    normalise, keep one channel.

    Args:
        images: The data set; only `count` images of it are copied.
        spec: What to draw.
        generator: Source of every draw; equal states give equal bits.

    Returns:
        Inputs (count, c, h, w): c is 1 with `one_channel`, h = w = `patch` with `patch`.

    Raises:
        ValueError: If `spec` asks for more than `images` have.

    Example:
        >>> from untrained.images import load_images
        >>> spec = ProbeSpec(count=32, patch=3)
        >>> probe = draw_probe(load_images("digits"), spec, torch.Generator().manual_seed(0))
        >>> probe.inputs.shape, probe.origin
        (torch.Size([32, 1, 3, 3]), '32 of digits/train, 3 x 3 patches')
    """
    check_spec(spec, images)
    split = spec.of(images)
    if spec.at_most:
        spec = replace(spec, count=min(spec.count, len(split)))
    rows = draw_rows(len(split), spec.count, generator).to(split.source.device)
    inputs = images.normalise(draw_pixels(images, rows, spec, generator))
    if spec.one_channel:
        channel = draw_integers(inputs.shape[1], spec.count, generator).to(inputs.device)
        inputs = inputs[torch.arange(spec.count, device=inputs.device), channel][:, None]
    return Probe(inputs, split.labels[rows], len(images.classes), describe(images, spec))


def check_spec(spec: ProbeSpec, images: Images) -> None:
    """Refuse what these images cannot give."""
    _, height, width = images.shape
    if spec.count < 1:
        raise ValueError(f"expected a probe of 1 image or more, got count {spec.count!r}")
    if spec.patch is not None and not 1 <= spec.patch <= min(height, width):
        raise ValueError(
            f"expected a patch of 1 to {min(height, width)} pixels, since images of "
            f"{images.name} are {height} x {width}, got {spec.patch!r}"
        )
    if spec.patch is None and not spec.at_most and spec.count > len(spec.of(images)):
        raise ValueError(
            f"expected a probe of at most {len(spec.of(images))} images, which is all that "
            f"{images.name}/{spec.split} has, got count {spec.count!r}; only patches may repeat "
            f"images"
        )


def draw_rows(available: int, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
    """Draw `count` rows as random orders of all rows, one after the other."""
    passes = -(-count // available)
    orders = [
        torch.randperm(available, generator=generator, device=generator.device)
        for _ in range(passes)
    ]
    return torch.cat(orders)[:count]


def draw_pixels(
    images: Images, rows: Int64[Tensor, " n"], spec: ProbeSpec, generator: torch.Generator
) -> UInt8[Tensor, "n c h w"]:
    """Crop, flip and cut patches from the given rows of the split."""
    channels, height, width = images.shape
    split = spec.of(images)
    pixels, places = split.source, split.places(rows)
    if spec.augment:
        padding = min(height, width) // 8
        pixels = random_crop_flip(pixels[places], generator, padding=padding, flip=channels == 3)
        places = torch.arange(len(rows), device=pixels.device)
    if spec.patch is None:
        return pixels if spec.augment else pixels[places]
    tops = draw_integers(height - spec.patch + 1, len(rows), generator).to(pixels.device)
    lefts = draw_integers(width - spec.patch + 1, len(rows), generator).to(pixels.device)
    return windows(pixels, places, tops, lefts, (spec.patch, spec.patch))


def describe(images: Images, spec: ProbeSpec) -> str:
    """Write the probe's origin for people."""
    origin = [f"{spec.count} of {images.name}/{spec.split}"]
    if spec.augment:
        origin.append("augmented")
    if spec.patch is not None:
        origin.append(f"{spec.patch} x {spec.patch} patches")
    if spec.one_channel:
        origin.append("one channel")
    return ", ".join(origin)
