"""What an archive of images holds: arrays, or pictures that are still encoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Arrays:
    """All images of a set, in memory."""

    name: str | None
    "Of the image set; None where the files do not say."
    arrays: Mapping[str, np.ndarray]
    "`x_train`, `y_train`, `x_test`, `y_test`, `class_names`, as in a `.npz` file."
    notes: tuple[str, ...] = ()
    "What was left out, one line each."


@dataclass(frozen=True)
class Shard:
    """Encoded pictures of one file, which are read when they are needed."""

    file: Path
    split: str
    "train, validation or test."
    names: Sequence[str]
    "Of each picture, for errors."
    labels: np.ndarray
    "Of each picture, an index into the class names."
    read: Callable[[int, int], list[bytes | None]]
    "The files of the pictures from one index to before another; None where one has none."

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Shards:
    """All shards of an image set, the training split first."""

    classes: tuple[str, ...]
    "Class names; labels index them."
    shards: tuple[Shard, ...]


def check_indices(shards: Sequence[Shard], classes: Sequence[str], path: Path) -> None:
    """Refuse labels for which there is no class name.

    Raises:
        ValueError: If there is one.
    """
    highest = max(int(shard.labels.max(initial=0)) for shard in shards)
    if highest >= len(classes):
        raise ValueError(
            f"expected labels below {len(classes)} in {path}, which names so many classes, got "
            f"{highest}; fetch all of it again"
        )


def class_indices(labels: Sequence[np.ndarray]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Class names made of integers or texts, in ascending order, and every label's index.

    Example:
        >>> class_indices([np.array(["dog", "cat"]), np.array(["dog"])])
        (('cat', 'dog'), [array([1, 0]), array([1])])
    """
    known = np.unique(np.concatenate(labels))
    return tuple(map(str, known.tolist())), [np.searchsorted(known, each) for each in labels]
