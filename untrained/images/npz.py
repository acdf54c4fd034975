"""Images from one NumPy `.npz` file."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from untrained.images.collection import Collection, short_name
from untrained.images.dataset import Labelled
from untrained.images.resizing import describe_resize, resize_square
from untrained.images.splits import shorten

LAYOUT = (
    "x_train of shape (n, height, width, channels) or (n, height, width), uint8, and "
    "y_train (n,), integers; the same of x_validation and x_test, and class_names, are optional"
)
SPLITS = ("train", "validation", "test")
KEYS = (*(f"{kind}_{split}" for split in SPLITS for kind in "xy"), "class_names")


def read_npz(path: Path, size: int | None) -> Collection:
    """Read `x_train`, `y_train` and, where present, those of the other splits and `class_names`.

    Pixels are uint8 (n, h, w, c) or (n, h, w). With `class_names`, labels are 0 to K - 1;
    without, labels are any integers from 0, and classes are named by them in ascending order.

    Args:
        path: The file; its stem names the data set. Pickled contents are never loaded.
        size: Side to resize to, or None to keep the size.

    Returns:
        The arrays as tensors, channels first.

    Raises:
        ValueError: If the file is not as described; says what came and what to try.
    """
    return collected(read_arrays(path), path, short_name(path), size)


def collected(
    arrays: Mapping[str, np.ndarray],
    where: Path | str,
    name: str,
    size: int | None,
    notes: tuple[str, ...] = (),
) -> Collection:
    """What the arrays of `KEYS` hold, as `read_npz`.

    Args:
        arrays: By their keys.
        where: They came from, for errors.
        name: Of the data set.
        size: Side to resize to, or None to keep the size.
        notes: On what was done to them before.
    """
    pixels = {split: channels_first(arrays, f"x_{split}", where) for split in splits_of(arrays)}
    for split in pixels:
        check_labels(arrays[f"y_{split}"], len(pixels[split]), f"y_{split}", where)
    check_same_shape(pixels, where)
    classes, labels = index_labels(arrays, where)
    if size is not None:
        height, width = pixels["train"].shape[2:]
        notes += describe_resize((height, width), size)
        pixels = {split: resize_square(x, size) for split, x in pixels.items()}
    data = {split: Labelled(x, torch.from_numpy(labels[split])) for split, x in pixels.items()}
    held_out = data.get("validation"), data.get("test")
    return Collection(name, classes, data["train"], *held_out, notes=notes)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays named in `KEYS`; others stay on disk."""
    # Opened here, because np.load leaves a damaged file open.
    with path.open("rb") as file, open_archive(file, path) as archive:
        check_keys(set(archive.files), path)
        return {key: read_array(archive, key, path) for key in KEYS if key in archive.files}


def open_archive(file: BinaryIO, path: Path) -> np.lib.npyio.NpzFile:
    """Open a `.npz`, or say why it is none."""
    try:
        archive = np.load(file, allow_pickle=False)
    except Exception as error:  # damaged files raise a dozen kinds
        raise ValueError(explain(path, error)) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(
            f"expected a .npz with {LAYOUT}; {path} holds one array only; write it with "
            f"np.savez_compressed"
        )
    return archive


def read_array(archive: np.lib.npyio.NpzFile, key: str, path: Path) -> np.ndarray:
    """Read one array, or say why it cannot be read."""
    try:
        array = archive[key]
    except Exception as error:  # as above
        raise ValueError(explain(path, error)) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"expected an array {key} in {path}, got a file that is none")
    return array


def explain(path: Path, error: Exception) -> str:
    """Say in one line why `path` could not be read."""
    if "Object arrays" in str(error):
        return (
            f"expected plain arrays, but {path} holds pickled Python objects, which are never "
            "loaded; save class names with np.array(names, dtype=str), pixels as uint8"
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason:  # numpy's guess about any bytes that it does not know
        reason = "it is no NumPy file"
    return (
        f"expected a .npz with {LAYOUT}; {path} is unreadable: {reason}; write it with "
        f"np.savez_compressed"
    )


def check_keys(names: set[str], where: Path | str) -> None:
    """Refuse arrays without training images, and images without labels or the reverse."""
    missing = {"x_train", "y_train"} - names
    for pair in ({"x_validation", "y_validation"}, {"x_test", "y_test"}):
        missing |= pair - names if pair & names else set()
    if missing:
        raise ValueError(
            f"expected {LAYOUT}; {where} lacks {' and '.join(sorted(missing))}, "
            f"got {shorten(sorted(names), 5) or 'nothing'}; rename its arrays"
        )


def splits_of(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """List the splits whose images are there."""
    return [split for split in SPLITS if f"x_{split}" in arrays]


def channels_first(
    arrays: Mapping[str, np.ndarray], key: str, where: Path | str
) -> UInt8[Tensor, "n c h w"]:
    """Check pixels, and bring them from (n, h, w[, c]) to a (n, c, h, w) of its own."""
    array = arrays[key]
    check_pixels(array, key, where)
    if array.ndim == 3:
        array = array[..., None]
    return torch.from_numpy(np.array(array.transpose(0, 3, 1, 2), order="C"))


def check_pixels(array: np.ndarray, key: str, where: Path | str) -> None:
    """Refuse pixels of another type, number of axes or order of axes."""
    if array.dtype != np.uint8:
        scale = "if they are 0..1, (x * 255).round()" if array.dtype.kind == "f" else "x"
        raise ValueError(
            f"expected uint8 pixels 0..255 in {key} of {where}, got {array.dtype}; "
            f"convert them: {scale}.astype(np.uint8)"
        )
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(
            f"expected {key} of {where} to be (n, height, width, channels) or (n, height, width) "
            f"with no axis empty, got shape {array.shape}"
        )
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise ValueError(
            f"expected channels last in {key} of {where}, got shape {array.shape}; "
            "use x.transpose(0, 2, 3, 1)"
        )


def check_labels(labels: np.ndarray, count: int, key: str, where: Path | str) -> None:
    """Refuse labels that are not one integer from 0 for each image."""
    if labels.shape != (count,):
        raise ValueError(
            f"expected {key} of {where} to hold one label an image, shape ({count},), "
            f"got shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"expected integer labels in {key} of {where}, got {labels.dtype}; "
            "number the classes from 0 and put their names in class_names"
        )
    if labels.min() < 0:
        raise ValueError(
            f"expected labels of 0 or more in {key} of {where}, got {labels.min()}; "
            "leave unlabelled images out"
        )


def check_same_shape(pixels: dict[str, Tensor], where: Path | str) -> None:
    """Refuse held-out images of another size than the training images."""
    train = tuple(pixels["train"].shape[1:])
    for split, found in pixels.items():
        if tuple(found.shape[1:]) != train:
            raise ValueError(
                f"expected training and {split} images of one size in {where}, got (channels, "
                f"height, width) {train} and {tuple(found.shape[1:])}"
            )


def index_labels(
    arrays: Mapping[str, np.ndarray], where: Path | str
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return class names, and the labels of each split as int64 indices into them."""
    labels = {split: arrays[f"y_{split}"] for split in splits_of(arrays)}
    if "class_names" in arrays:
        classes = read_names(arrays["class_names"], where)
        known = np.arange(len(classes))
    else:
        known = np.unique(labels["train"])
        classes = tuple(map(str, known))
    for split, values in labels.items():
        strange = np.setdiff1d(values, known)
        if len(strange):
            raise ValueError(
                f"expected labels of y_{split} of {where} to be among the {len(known)} known "
                f"classes ({known[0]}..{known[-1]}), got {shorten(list(map(str, strange)))}; "
                "classes come from class_names or, without it, from y_train"
            )
    indices = {split: np.searchsorted(known, values) for split, values in labels.items()}
    return classes, {split: values.astype(np.int64) for split, values in indices.items()}


def read_names(names: np.ndarray, where: Path | str) -> tuple[str, ...]:
    """Check class names and return them as text."""
    if names.ndim != 1 or names.dtype.kind not in "US" or len(names) == 0:
        raise ValueError(
            f"expected class_names of {where} to be a list of text, got {names.dtype} of shape "
            f"{names.shape}; save them with np.array(names, dtype=str)"
        )
    return tuple(np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names.tolist())
