"""From what a source holds to a data set: missing splits, statistics, fingerprint."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from untrained.images.dataset import Images, Labelled
from untrained.images.description import Description, describe
from untrained.images.kept import Entry
from untrained.images.splits import complete_splits

logger = logging.getLogger(__name__)


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
    entry: Entry | None = None
    "Where decoded pixels are kept, and what is computed of them; None: nowhere."


def assemble(collection: Collection, seed: int) -> Images:
    """Draw the missing splits by `seed` and describe the result.

    Images that occur in two classes or in two splits are noted.

    Raises:
        ValueError: If there are fewer than two classes, or a class has too few images.
    """
    splits = complete_splits(
        collection.train, collection.validation, collection.test, collection.classes, seed
    )
    found = described(collection, splits, seed)
    for note in found.repeated:
        logger.warning(note)
    return Images(
        collection.name,
        collection.classes,
        *splits,
        mean=found.mean,
        std=found.std,
        fingerprint=found.fingerprint,
        notes=(*collection.notes, *found.repeated),
        grey_bits=collection.grey_bits,
        pixel_file=collection.entry.pixels if collection.entry else None,
    )


def described(
    collection: Collection, splits: tuple[Labelled, Labelled, Labelled], seed: int
) -> Description:
    """What every pixel has a part in, computed at the first start with this seed."""
    name, entry = f"seed-{seed}", collection.entry
    kept = entry.recall(name) if entry else None
    if kept is not None:
        return Description.of_plain(kept)
    originals = {split: getattr(collection, split) for split in collection.files}
    found = describe(splits, collection.classes, originals, collection.files)
    if entry:
        with suppress(OSError):  # of a full disk, or one that is only to be read
            entry.remember(name, found.plain())
    return found


def short_name(path: Path) -> str:
    """Return the name of a file or folder without its ending, fit for file names.

    Example:
        >>> short_name(Path("/home/me/my pictures (new)"))
        'my-pictures-new'
    """
    resolved = path.resolve()
    name = resolved.name if resolved.is_dir() else resolved.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "images"
