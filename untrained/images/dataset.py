"""Labelled images with class names, splits and channel statistics."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Labelled:
    """Images with one class each: some rows of a source, which may be larger than memory."""

    source: UInt8[Tensor, "m c h w"]
    "0 to 255; where it is mapped from a file, only the rows that are used are read."
    labels: Int64[Tensor, " n"]
    "Indices into the class names."
    rows: Int64[Tensor, " n"] | None = None
    "Where in `source` each image lies; None: one after the other."

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> UInt8[Tensor, "n c h w"]:
        """All of them, in memory where `rows` says which."""
        return self.source if self.rows is None else self.source[self.rows]

    def places(self, chosen: Int64[Tensor, " k"]) -> Int64[Tensor, " k"]:
        """Where in `source` some of them lie."""
        return chosen if self.rows is None else self.rows[chosen]

    def at(self, chosen: Int64[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
        """The pixels of some of them."""
        return self.source[self.places(chosen)]

    def batches(self, size: int = 256) -> Iterator[UInt8[Tensor, "_ c h w"]]:
        """The pixels of all, in order, so many at a time."""
        if self.rows is None:
            return iter(self.source.split(size))
        return (self.source[rows] for rows in self.rows.split(size))

    def select(self, chosen: Int64[Tensor, " k"]) -> "Labelled":
        """Some of them, with the same source."""
        return Labelled(self.source, self.labels[chosen], self.places(chosen))

    def some(self, count: int, generator: torch.Generator) -> "Labelled":
        """So many of them, drawn without replacement; all, in another order, of fewer."""
        return self.select(torch.randperm(len(self), generator=generator)[:count])


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
    pixel_file: Path | None = None
    "The file that the source of all three splits is mapped from; None: it is in memory."

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.source.shape
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
