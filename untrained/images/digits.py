"""The data set that is always there: scikit-learn's handwritten digits."""

import numpy as np
import torch

from untrained.images.collection import Collection
from untrained.images.dataset import Labelled
from untrained.images.resizing import describe_resize, resize_square


def read_digits(size: int | None) -> Collection:
    """Read 1,797 grey images of 8 x 8 pixels, values 0..16 scaled to 0..255.

    Source:
        Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits,
        https://archive.ics.uci.edu/dataset/80
    """
    from sklearn.datasets import load_digits  # here, because importing it takes a second

    bunch = load_digits()
    pixels = torch.from_numpy((bunch.images * (255 / 16)).round().astype(np.uint8))[:, None]
    notes: tuple[str, ...] = ()
    if size is not None:
        notes = describe_resize((8, 8), size)
        pixels = resize_square(pixels, size)
    classes = tuple(map(str, bunch.target_names))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    return Collection("digits", classes, Labelled(pixels, labels), notes=notes)
