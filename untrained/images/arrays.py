"""Images from arrays, tensors or data sets that are in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from untrained.archives.contents import class_indices
from untrained.archives.splits import SPLITS as SPLIT_NAMES
from untrained.images.collection import Collection
from untrained.images.items import Items, items_of
from untrained.images.npz import KEYS, check_keys, collected
from untrained.settings import check_known

GIVEN = "what was given"
"In errors, in place of a file."
NAME = "arrays"
"Of the data set."


def read_given(given: Any, size: int | None) -> Collection:
    """Arrays by their names in a `.npz` file, see `read_npz`; or what `items_of` takes, by splits.

    Args:
        given: `x_train`, `y_train` and, where there are some, the same of `validation` and
            `test`, and `class_names`. Pixels are uint8; of an array channels come last, of a
            tensor first. Or data sets by the names of splits, or one alone, which is for training.
        size: Side to resize to, or None to keep the size.

    Raises:
        ValueError: If they are not as described; says what came and what to try.
    """
    if not isinstance(given, Mapping):
        return _collected({"train": items_of(given, size)}, size)
    names = {str(name): SPLIT_NAMES.get(str(name)) for name in given}
    if names and all(names.values()):
        return _collected(
            {str(names[str(name)]): items_of(each, size) for name, each in given.items()}, size
        )
    check_keys({*names}, GIVEN)
    check_known("images", names, [*KEYS])
    return collected({key: _array(value) for key, value in given.items()}, GIVEN, NAME, size)


def _collected(splits: Mapping[str, Items], size: int | None) -> Collection:
    """Data sets by their splits; of class names, those of the training split count."""
    if "train" not in splits:
        raise ValueError(
            f"expected a data set for training in {GIVEN}, got {' and '.join(splits)} alone; call "
            f"one `train`"
        )
    arrays = {f"x_{split}": items.pixels for split, items in splits.items()}
    labels = [items.labels for items in splits.values()]
    classes = splits["train"].classes
    if labels[0].dtype.kind == "U":
        classes, labels = class_indices(labels)
    arrays |= {f"y_{split}": found for split, found in zip(splits, labels, strict=True)}
    if classes:
        arrays["class_names"] = np.array(classes, dtype=str)
    notes = dict.fromkeys(note for items in splits.values() for note in items.notes)
    return collected(arrays, GIVEN, NAME, size, tuple(notes))


def _array(value: Any) -> np.ndarray:
    """With channels last; a copy, which nobody else changes."""
    if not isinstance(value, Tensor):
        return np.array(value)
    found = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
    return found.detach().cpu().numpy().copy()
