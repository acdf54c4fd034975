"""What every pixel of a data set has a part in: statistics, fingerprint, repeated images."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from untrained.images.dataset import Labelled
from untrained.images.repeated import note_repeated, pixel_digests

LEAST_STD = 1 / 255
"One grey level: a channel that is (nearly) constant is divided by this, not by zero."


@dataclass(frozen=True)
class Description:
    """What all splits together are."""

    mean: Float32[Tensor, " c"]
    "As in `Images`."
    std: Float32[Tensor, " c"]
    "As in `Images`."
    fingerprint: str
    "As in `Images`."
    repeated: tuple[str, ...]
    "Notes on images that occur in two classes or in two splits."

    def plain(self) -> dict[str, Any]:
        """Itself as JSON holds it, bit for bit."""
        return {**vars(self), "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def of_plain(cls, kept: Mapping[str, Any]) -> "Description":
        """What `plain` was made of."""
        statistics = {name: torch.tensor(kept[name]) for name in ("mean", "std")}
        return cls(**statistics, fingerprint=kept["fingerprint"], repeated=(*kept["repeated"],))


def describe(
    splits: tuple[Labelled, Labelled, Labelled],
    classes: tuple[str, ...],
    originals: Mapping[str, Labelled],
    files: Mapping[str, tuple[str, ...]],
) -> Description:
    """Describe a data set, a few images in memory at a time.

    Args:
        splits: Training, validation and test images.
        classes: Class names.
        originals: Split of the source -> its images, of those that are files.
        files: Split of the source -> the file of each image.
    """
    mean, std = channel_statistics(splits[0].batches())
    by_pixels: dict[bytes, list[str]] = {}
    for split, images in originals.items():
        for key, file in zip(pixel_digests(images), files[split], strict=True):
            by_pixels.setdefault(key, []).append(file)
    repeated = note_repeated(splits, classes, by_pixels)
    return Description(mean, std, hash_splits(splits, classes), repeated)


def channel_statistics(
    batches: Iterable[UInt8[Tensor, "_ c h w"]],
) -> tuple[Float32[Tensor, " c"], Float32[Tensor, " c"]]:
    """Compute mean and population standard deviation of each channel of pixels / 255.

    They come from exact counts of the 256 values, so they are the same bits on every machine.
    A standard deviation below 1/255 is returned as 1/255.

    Example:
        >>> channel_statistics([torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)])
        (tensor([0.5000]), tensor([0.5000]))
    """
    counts = sum(count_values(batch) for batch in batches)
    assert isinstance(counts, Tensor)
    share = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (share * values).sum(1)
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt().clamp_min(LEAST_STD)
    return mean.float(), std.float()


def count_values(pixels: UInt8[Tensor, "n c h w"]) -> Tensor:
    """How often each channel has each of the 256 values."""
    channels = pixels.transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(channel, minlength=256) for channel in channels])


def hash_splits(splits: tuple[Labelled, ...], classes: tuple[str, ...]) -> str:
    """Hash shapes, class names, pixels and labels to 16 hexadecimal characters (SHA-256)."""
    shapes = [(len(split), *split.source.shape[1:]) for split in splits]
    digest = hashlib.sha256(repr((shapes, classes)).encode())
    for split in splits:
        for batch in split.batches():
            digest.update(batch.contiguous().numpy().data)
        digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]
