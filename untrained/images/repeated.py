"""Images that occur more than once where they should not: in two classes, or in two splits."""

import hashlib
from collections.abc import Mapping, Sequence

from untrained.images.dataset import Labelled
from untrained.images.splits import shorten

SPLITS = ("train", "validation", "test")


def pixel_digests(data: Labelled) -> list[bytes]:
    """One digest an image: equal for equal pixels."""
    rows = (row for batch in data.batches() for row in batch.contiguous().numpy())
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]


def note_repeated(
    splits: Sequence[Labelled], classes: tuple[str, ...], files: Mapping[bytes, Sequence[str]]
) -> tuple[str, ...]:
    """Notes on images that contradict themselves, and on those that a held-out split shares.

    Args:
        splits: Training, validation and test images.
        classes: Class names.
        files: Digest of pixels -> files that show them; empty where images are not files.

    Returns:
        One note for each of the two kinds that occurs; images are equal if their pixels are, at
        the size at which they are used.
    """
    labels: dict[bytes, set[int]] = {}
    places: dict[bytes, set[str]] = {}
    for name, split in zip(SPLITS, splits, strict=True):
        for key, k in zip(pixel_digests(split), split.labels.tolist(), strict=True):
            labels.setdefault(key, set()).add(k)
            places.setdefault(key, set()).add(name)

    def listed(keys: list[bytes]) -> str:
        return shorten(
            [" = ".join(files.get(k, ())) or f"one of {classes[min(labels[k])]}" for k in keys]
        )

    torn = [key for key, found in labels.items() if len(found) > 1]
    shared = [key for key, found in places.items() if len(found) > 1]
    notes = []
    if torn:
        pairs = sorted({" and ".join(classes[k] for k in sorted(labels[key])) for key in torn})
        notes.append(
            f"{counted(torn)} in two classes or more ({shorten(pairs)}): {listed(torn)}; "
            f"remove the wrong ones"
        )
    if shared:
        pairs = sorted({" and ".join(s for s in SPLITS if s in places[key]) for key in shared})
        notes.append(
            f"{counted(shared)} in two splits or more ({shorten(pairs)}): {listed(shared)}; "
            f"accuracy on them says little"
        )
    return tuple(notes)


def counted(keys: list[bytes]) -> str:
    """`1 picture occurs`, `2 pictures occur`."""
    return "1 picture occurs" if len(keys) == 1 else f"{len(keys):,} pictures occur"
