"""Labelled images with class names, splits and channel statistics."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Labelled:
    """Images with one class each."""

    pixels: UInt8[Tensor, "n c h w"]
    "0 to 255."
    labels: Int64[Tensor, " n"]
    "Indices into the class names."

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int, generator: torch.Generator) -> "Labelled":
        """So many of them, drawn without replacement; all, in another order, of fewer."""
        rows = torch.randperm(len(self), generator=generator)[:count]
        return Labelled(self.pixels[rows], self.labels[rows])


@dataclass(frozen=True)
class Images:
    """A data set: three disjoint splits of labelled images, and what describes them."""

    name: str
    "Short and fit for file names: `digits`, `cifar10`, a folder's name."
    classes: tuple[str, ...]
    "Class names; labels index them."
    train: Labelled
    "Shown to scores and to training."
    validation: Labelled
    "Chooses the epoch."
    test: Labelled
    "Looked at once, after everything is chosen."
    mean: Float32[Tensor, " c"]
    "Channel means of the training pixels, on the scale [0, 1]."
    std: Float32[Tensor, " c"]
    "Channel standard deviations of the training pixels, on the scale [0, 1]."
    fingerprint: str
    "Hash of every pixel, label and split: equal fingerprints, equal data."
    notes: tuple[str, ...] = ()
    "What was converted or left out while loading, one line each."
    grey_bits: int = 16
    "Bits that 16-bit grey pictures fill, of which the upper 8 are kept."

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    def training_on(self, count: int | None, generator: torch.Generator) -> "Images":
        """The same with so many training images, drawn at random; all of them for None."""
        if count is None or count >= len(self.train):
            return self
        return replace(self, train=self.train.some(count, generator))

    def normalise(self, pixels: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
        """(pixels / 255 - mean) / std, channel by channel."""
        mean, std = (s.to(pixels.device)[:, None, None] for s in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std
