"""Probes: the batch of images that a score shows to a network."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from untrained.images.dataset import Images


@dataclass(frozen=True)
class ProbeSpec:
    """Which images a score is shown, and how they are altered."""

    count: int = 64
    "Images in the probe."
    augment: bool = False
    "Horizontal flip (colour images only) and random crop after zero padding by an eighth."
    patch: int | None = None
    "Side in pixels of a random square cut from each image; None keeps the image whole."
    one_channel: bool = False
    "Keep one channel, drawn at random for each image."


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
    raise NotImplementedError
