"""Images one by one, from a data set of torch or of Hugging Face, or from a pair of arrays.

Neither library's classes are asked for: what has a length and gives (image, label) is a data set
of torch; what has `features` besides, and gives dictionaries, is one of Hugging Face.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from untrained.archives.parquet import find_label
from untrained.images.picture import SIXTEEN_BITS, flatten
from untrained.images.resizing import resize_square

EXPECTED = (
    "expected images as a name, a file, a folder, arrays {'x_train': pixels, 'y_train': labels}, "
    "a pair (pixels, labels), a data set with a length whose items are (image, label), one of "
    "Hugging Face, or {'train': ..., 'test': ...} of these"
)
GREY_OR_COLOUR = {1, 3}
SCALED = "values from 0 to 1 became 0 to 255"


@dataclass(frozen=True)
class Items:
    """All images of one split."""

    pixels: np.ndarray
    "(n, height, width, channels), uint8."
    labels: np.ndarray
    "Whole numbers, or names of classes."
    classes: tuple[str, ...] = ()
    "Class names, where the data set has some."
    notes: tuple[str, ...] = ()
    "What was converted, one line each."


def items_of(given: Any, size: int | None) -> Items:
    """Read every item of a data set once, in its order.

    An image is a picture of Pillow, an array (height, width[, channels]) or a tensor ([channels,]
    height, width); of uint8, or of floats from 0 to 1, as torchvision's `ToTensor` makes them.

    Args:
        given: A data set, or a pair of images and labels.
        size: Side to which each image is brought, or None where all have one size.

    Raises:
        ValueError: If it is something else; says what came and what to try.
    """
    images, classes = _pairs(given)
    pixels: list[np.ndarray] = []
    labels: list[int | str] = []
    notes: dict[str, None] = {}
    for place, (image, label) in enumerate(images):
        found, note = pixels_of(image, place)
        before = found.shape[:2]
        if size is not None and before != (size, size):
            square = resize_square(torch.from_numpy(found).permute(2, 0, 1)[None], size)
            found = square[0].permute(1, 2, 0).numpy()
            note = (*note, f"centre square of each image resized to {size} x {size}")
        pixels.append(found)
        labels.append(_label(label, place))
        notes |= dict.fromkeys(note)
    if not pixels:
        raise ValueError(f"expected images in {type(given).__name__}, got none")
    if len({*map(type, labels)}) > 1:
        raise ValueError("expected labels that are all whole numbers or all text, got both")
    return Items(_stacked(pixels), np.array(labels), classes, tuple(notes))


def _pairs(given: Any) -> tuple[Iterator[tuple[Any, Any]], tuple[str, ...]]:
    """Images with their labels, and class names where there are some."""
    if isinstance(given, tuple | list) and len(given) == 2 and _is_pair(*given):
        pixels, labels = given
        return zip(pixels, labels, strict=True), ()
    reads = hasattr(given, "__getitem__") and not isinstance(given, bytes | np.ndarray | Tensor)
    if not reads or not hasattr(given, "__len__"):
        loader = hasattr(given, "dataset") and not reads
        hint = "; give its .dataset" if loader else ""
        raise ValueError(f"{EXPECTED}, got one of type {type(given).__name__}{hint}")
    if isinstance(getattr(given, "features", None), Mapping):
        return _rows(given)
    return (_pair(given[k], k) for k in range(len(given))), _classes(given)


def _is_pair(pixels: Any, labels: Any) -> bool:
    """Tell whether these are many images and as many labels, not one image and its label."""
    dimensions = getattr(pixels, "ndim", 0), getattr(labels, "ndim", 1)
    return dimensions in ((3, 1), (4, 1)) and len(pixels) == len(labels)


def _pair(item: Any, place: int) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ValueError(
            f"expected items (image, label), got item {place} of type {type(item).__name__}; wrap "
            f"the data set so that it gives these"
        )
    return item[0], item[1]


def _rows(given: Any) -> tuple[Iterator[tuple[Any, Any]], tuple[str, ...]]:
    """The same of a data set of Hugging Face."""
    features = given.features
    told = {name: {"_type": type(each).__name__} for name, each in features.items()}
    images = [name for name, each in told.items() if each["_type"] == "Image"]
    plain = [name for name, each in features.items() if _is_plain(each)]
    label = find_label(plain, told)
    if len(images) != 1 or label is None:
        lacking = "Image" if len(images) != 1 else "labels"
        raise ValueError(
            f"expected one column of {lacking}, got {', '.join(map(str, features)) or 'none'}; "
            f"keep one by select_columns, and call that of labels `label` by rename_column"
        )
    rows = (given[k] for k in range(len(given)))
    classes = tuple(getattr(features[label], "names", ()))
    return ((row[images[0]], row[label]) for row in rows), classes


def _is_plain(feature: Any) -> bool:
    kind = str(getattr(feature, "dtype", ""))
    return hasattr(feature, "names") or kind.startswith(("int", "uint", "string"))


def _classes(given: Any) -> tuple[str, ...]:
    """Class names of a data set, or of the one that a subset is of."""
    while not hasattr(given, "classes") and hasattr(given, "dataset"):
        given = given.dataset
    found = getattr(given, "classes", ())
    names = isinstance(found, Sequence) and all(isinstance(name, str) for name in found)
    return tuple(found) if names else ()


def pixels_of(image: Any, place: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """One image as uint8 (height, width, channels), and a note where it was converted."""
    if isinstance(image, Image.Image):
        if image.mode in SIXTEEN_BITS:
            raise ValueError(
                f"expected pictures of 8 bits, got item {place} of mode {image.mode}; convert them"
            )
        return _of_array(np.array(image if image.mode == "L" else flatten(image)), place)
    if isinstance(image, Tensor):
        array = image.detach().cpu()
        return _of_array((array.permute(1, 2, 0) if array.ndim == 3 else array).numpy(), place)
    return _of_array(np.asarray(image), place)


def _of_array(array: np.ndarray, place: int) -> tuple[np.ndarray, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        array, notes = (array * 255).round().astype(np.uint8), (SCALED,)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        span = f" from {array.min():g} to {array.max():g}" if array.dtype.kind == "f" else ""
        raise ValueError(
            f"expected images of uint8, or of floats from 0 to 1, (height, width[, channels]), or "
            f"of a tensor ([channels,] height, width), got item {place} of {array.dtype}{span} "
            f"and shape {array.shape}; leave a normalisation out, which is done here"
        )
    return array[..., None] if array.ndim == 2 else array, notes


def _label(label: Any, place: int) -> int | str:
    if isinstance(label, str):
        return label
    scalar = isinstance(label, Tensor | np.ndarray | np.generic) and label.ndim == 0
    value = label.item() if scalar else label
    if type(value) is not int:
        raise ValueError(
            f"expected a whole number or text as label, got {value!r:.60} of item {place}"
        )
    return value


def _stacked(pixels: list[np.ndarray]) -> np.ndarray:
    """One array; grey images among coloured ones get three channels."""
    channels = {image.shape[2] for image in pixels}
    if channels == GREY_OR_COLOUR:
        pixels = [np.repeat(p, 3, axis=2) if p.shape[2] == 1 else p for p in pixels]
    shapes = {image.shape for image in pixels}
    if len(shapes) > 1:
        some = " and ".join(" x ".join(map(str, shape)) for shape in sorted(shapes)[:2])
        raise ValueError(f"expected images of one size, got {some}; give size=32, or another")
    return np.stack(pixels)
