"""Images from arrays or tensors that are in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from untrained.images.collection import Collection
from untrained.images.npz import KEYS, check_keys, collected
from untrained.settings import check_known

GIVEN = "what was given"
"In errors, in place of a file."
NAME = "arrays"
"Of the data set."


def read_given(given: Mapping[str, Any], size: int | None) -> Collection:
    """Arrays by the names that they have in a `.npz` file; see `read_npz`.

    Args:
        given: `x_train`, `y_train` and, where there are some, `x_test`, `y_test` and
            `class_names`. Pixels are uint8; of an array channels come last, of a tensor first.
        size: Side to resize to, or None to keep the size.

    Raises:
        ValueError: If they are not as described; says what came and what to try.
    """
    check_keys({*map(str, given)}, GIVEN)
    check_known("images", map(str, given), [*KEYS])
    return collected({key: _array(value) for key, value in given.items()}, GIVEN, NAME, size)


def _array(value: Any) -> np.ndarray:
    """With channels last; a copy, which nobody else changes."""
    if not isinstance(value, Tensor):
        return np.array(value)
    found = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
    return found.detach().cpu().numpy().copy()
