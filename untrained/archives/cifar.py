"""CIFAR-10 and CIFAR-100, the Python and the binary version, as archive or unpacked.

A Python batch is a pickled dictionary: `data` (n, 3072) uint8, the red plane first, row by row,
and `labels` or `fine_labels`. A binary one is a row of records of a label, of CIFAR-100 a coarse
and a fine one, and 3,072 pixels.

Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images,
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from untrained.archives.contents import Arrays
from untrained.archives.tar import first_names, is_tar, read_members
from untrained.pickles import PickledArray, read_arrays_pickle

PIXELS = 3 * 32 * 32
BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))


class Version(NamedTuple):
    """The files of one version of one image set."""

    name: str
    train: tuple[str, ...]
    test: str
    names: str
    "The file of class names."
    labels: str
    "Of a Python batch, the key of its labels; its class names are at the same, `label_names`."
    label_bytes: int
    "Of a record of a binary batch, before its pixels, the last of which is the label; 0: Python."


VERSIONS = (
    Version("cifar10", BATCHES, "test_batch", "batches.meta", "labels", 0),
    Version("cifar100", ("train",), "test", "meta", "fine_labels", 0),
    Version("cifar10", tuple(f"{batch}.bin" for batch in BATCHES), "test_batch.bin",
            "batches.meta.txt", "", 1),
    Version("cifar100", ("train.bin",), "test.bin", "fine_label_names.txt", "", 2),
)  # fmt: skip
WANTED = frozenset(
    name for version in VERSIONS for name in (*version.train, version.test, version.names)
)


def is_cifar(path: Path) -> bool:
    """Tell by names whether a folder or an archive is one of the four."""
    if is_tar(path):
        return bool(WANTED & {*first_names(path)})
    names = {name for name in WANTED if (path / name).is_file()}
    signs = ({version.train[0], version.test, version.names} for version in VERSIONS)
    return any(len(each & names) >= 2 for each in signs)


def read_cifar(path: Path) -> Arrays:
    """Read all batches of a folder or an archive; of CIFAR-100, the fine labels.

    Raises:
        ValueError: If batches are missing, or something else than what the authors publish.
        OSError: If it cannot be read.
    """
    found = read_members(path, WANTED) if is_tar(path) else read_files(path)
    version = max(VERSIONS, key=lambda version: len({*version.train} & found.keys()))
    missing = {*version.train, version.test} - found.keys()
    if missing:
        raise ValueError(
            f"expected {', '.join(version.train)} and {version.test} of {version.name} in {path}, "
            f"got no {' and no '.join(sorted(missing))}; fetch all of it again"
        )
    train = [read_batch(version, name, found[name], path) for name in version.train]
    test = read_batch(version, version.test, found[version.test], path)
    arrays = {
        "x_train": np.concatenate([batch.pixels for batch in train]),
        "y_train": np.concatenate([batch.labels for batch in train]),
        "x_test": test.pixels,
        "y_test": test.labels,
    }
    return Arrays(version.name, {**arrays, **class_names(version, found, path)})


def read_files(path: Path) -> dict[str, bytes]:
    """The files of a folder that belong to one of the versions."""
    files = {name: path / name for name in WANTED if (path / name).is_file()}
    return {name: file.read_bytes() for name, file in files.items()}


class Batch(NamedTuple):
    """Some images."""

    pixels: np.ndarray
    "(n, 32, 32, 3)."
    labels: np.ndarray


def read_batch(version: Version, name: str, content: bytes, path: Path) -> Batch:
    """One file of images."""
    where = f"{name} of {path}"
    if version.label_bytes:
        record = version.label_bytes + PIXELS
        rows = np.frombuffer(content, np.uint8)
        if len(rows) == 0 or len(rows) % record:
            raise ValueError(
                f"expected records of {record} bytes in {where}, got {len(rows):,} bytes, which "
                f"is no whole number of them; fetch it again"
            )
        rows = rows.reshape(-1, record)
        return Batch(_planes(rows[:, -PIXELS:]), rows[:, version.label_bytes - 1].astype(np.int64))
    whole = read_arrays_pickle(content, where)
    data, labels = (_at(whole, key) for key in ("data", version.labels))
    pixels: np.ndarray = data.values if isinstance(data, PickledArray) else np.zeros(0)
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (PIXELS,):
        raise ValueError(
            f"expected data of {where} to be uint8 of shape (n, {PIXELS}), got "
            f"{pixels.dtype} of shape {pixels.shape}; fetch it again"
        )
    if not isinstance(labels, list) or [*map(type, labels)] != [int] * len(pixels):
        raise ValueError(
            f"expected {version.labels} of {where} to be {len(pixels)} integers, got "
            f"{type(labels).__name__} of {len(labels) if isinstance(labels, list) else 'others'}; "
            f"fetch it again"
        )
    return Batch(_planes(pixels), _labels(labels, where))


def _labels(labels: list[int], where: str) -> np.ndarray:
    strange = [label for label in labels if not 0 <= label < 100]
    if strange:
        raise ValueError(
            f"expected labels from 0 to 99 in {where}, got {strange[0]}; fetch it again"
        )
    return np.array(labels, np.int64)


def class_names(version: Version, found: Mapping[str, bytes], path: Path) -> dict[str, np.ndarray]:
    """`class_names`, where the files hold some."""
    content = found.get(version.names)
    if content is None:
        return {}
    where = f"{version.names} of {path}"
    if version.label_bytes:
        names: Any = content.decode("utf-8", "replace").split()
    else:
        names = _at(read_arrays_pickle(content, where), version.labels[:-1] + "_names")
    if not isinstance(names, list) or not names or {*map(type, names)} != {str}:
        raise ValueError(
            f"expected class names in {where}, got {str(names)[:80]!r}; fetch it again"
        )
    return {"class_names": np.array(names, dtype=str)}


def _at(whole: Any, key: str) -> Any:
    return whole.get(key) if isinstance(whole, dict) else None


def _planes(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
