"""From what a source holds to a data set: missing splits, statistics, fingerprint."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from untrained.images.dataset import Images, Labelled
from untrained.images.repeated import note_repeated, pixel_digests
from untrained.images.splits import complete_splits

logger = logging.getLogger(__name__)

LEAST_STD = 1 / 255
"One grey level: a channel that is (nearly) constant is divided by this, not by zero."


@dataclass(frozen=True)
class Collection:
    """Everything one source brings."""

    name: str
    "As in `Images`."
    classes: tuple[str, ...]
    "Class names; labels index them."
    train: Labelled
    "Training images, from which missing splits are drawn."
    validation: Labelled | None = None
    "The source's own validation images."
    test: Labelled | None = None
    "The source's own test images."
    notes: tuple[str, ...] = ()
    "What was converted or left out, one line each."
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    "Split -> the file of each image, where each has one."
    grey_bits: int = 16
    "As in `Images`."


def assemble(collection: Collection, seed: int) -> Images:
    """Draw the missing splits by `seed` and describe the result.

    Images that occur in two classes or in two splits are noted.

    Raises:
        ValueError: If there are fewer than two classes, or a class has too few images.
    """
    splits = complete_splits(
        collection.train, collection.validation, collection.test, collection.classes, seed
    )
    mean, std = channel_statistics(splits[0].pixels)
    repeated = note_repeated(splits, collection.classes, files_by_pixels(collection))
    for note in repeated:
        logger.warning(note)
    return Images(
        collection.name,
        collection.classes,
        *splits,
        mean=mean,
        std=std,
        fingerprint=hash_splits(splits, collection.classes),
        notes=(*collection.notes, *repeated),
        grey_bits=collection.grey_bits,
    )


def files_by_pixels(collection: Collection) -> dict[bytes, list[str]]:
    """Digest of pixels -> the files that show them."""
    found: dict[bytes, list[str]] = {}
    for split, files in collection.files.items():
        for key, file in zip(pixel_digests(getattr(collection, split)), files, strict=True):
            found.setdefault(key, []).append(file)
    return found


def channel_statistics(
    pixels: UInt8[Tensor, "n c h w"],
) -> tuple[Float32[Tensor, " c"], Float32[Tensor, " c"]]:
    """Compute mean and population standard deviation of each channel of pixels / 255.

    They come from exact counts of the 256 values, so they are the same bits on every machine.
    A standard deviation below 1/255 is returned as 1/255.

    Example:
        >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2))
        (tensor([0.5000]), tensor([0.5000]))
    """
    channels = pixels.transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels])
    share = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (share * values).sum(1)
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt().clamp_min(LEAST_STD)
    return mean.float(), std.float()


def hash_splits(splits: tuple[Labelled, ...], classes: tuple[str, ...]) -> str:
    """Hash shapes, class names, pixels and labels to 16 hexadecimal characters (SHA-256)."""
    shapes = [tuple(split.pixels.shape) for split in splits]
    digest = hashlib.sha256(repr((shapes, classes)).encode())
    for split in splits:
        digest.update(split.pixels.contiguous().numpy().data)
        digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]


def short_name(path: Path) -> str:
    """Return the name of a file or folder without its ending, fit for file names.

    Example:
        >>> short_name(Path("/home/me/my pictures (new)"))
        'my-pictures-new'
    """
    resolved = path.resolve()
    name = resolved.name if resolved.is_dir() else resolved.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "images"
