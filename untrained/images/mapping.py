"""Pixels mapped from a file: what is used is read, and shared between processes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from untrained.images.dataset import Images


def map_pixels(file: Path | str, shape: Sequence[int]) -> UInt8[Tensor, "n c h w"]:
    """The pixels of a file of images of this shape (channels, height, width)."""
    size = Path(file).stat().st_size
    return torch.from_file(str(file), size=size, dtype=torch.uint8).view(-1, *shape)


def without_pixels(images: Images) -> Images:
    """The same with no pixels, to be sent to a process that maps them itself."""
    return _over(images, torch.empty(0, *images.shape, dtype=torch.uint8))


def with_pixels(images: Images, file: str) -> Images:
    """What `without_pixels` left, with the pixels of this file."""
    return _over(images, map_pixels(file, images.shape))


def _over(images: Images, source: UInt8[Tensor, "m c h w"]) -> Images:
    splits = {name: getattr(images, name) for name in ("train", "validation", "test")}
    return replace(images, **{n: replace(split, source=source) for n, split in splits.items()})
