"""WebDataset: tar shards in which files of one name are one sample, such as 0001.jpg, 0001.cls.

The label is in `.cls`, as text, or in `.json`, under `label`, `cls` or `class`: a whole number
from 0 or the name of a class.

Source: https://github.com/webdataset/webdataset.
"""

import json
import tarfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from untrained.archives.contents import Shard, Shards, class_indices
from untrained.archives.splits import files_ending, shards_by_split
from untrained.archives.tar import ForeignError, check_size, is_tar, members, opened

PICTURES = frozenset(("bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"))
KEYS = ("label", "cls", "class")
DIGITS = 18
"Of a whole number, at most."
MOST_LABEL_BYTES = 2**20
"Of a file that holds a label; it is read whole."


class Place(NamedTuple):
    """Where a file lies in its archive."""

    start: int
    size: int


class Sample(NamedTuple):
    """One picture and its label."""

    key: str
    picture: Place
    label: str | int


def is_webdataset(path: Path) -> bool:
    """Tell by endings whether there are shards."""
    return bool(tar_shards(path))


def tar_shards(path: Path) -> list[Path]:
    """The shards of a folder, or a file alone, which is also taken if it is compressed."""
    return files_ending(path, ".tar") or ([path] if is_tar(path) else [])


def read_webdataset(path: Path) -> Shards:
    """Find the samples of each shard; pictures are read when they are needed.

    Classes are what the labels are, in ascending order.

    Raises:
        ValueError: If a shard is no tar archive, is compressed, or holds a picture without a
            label, or no picture.
        OSError: If it cannot be read.
    """
    splits = shards_by_split(tar_shards(path), path)
    found = [
        (split, file, read_samples(file)) for split, files in splits.items() for file in files
    ]
    kinds = {type(sample.label) for _, _, samples in found for sample in samples}
    if len(kinds) > 1:
        raise ValueError(
            f"expected labels that are all whole numbers or all names of classes in {path}, got "
            f"both; write one kind"
        )
    classes, indices = class_indices(
        [np.array([sample.label for sample in samples]) for _, _, samples in found]
    )
    shards = (
        Shard(file, split, [s.key for s in samples], labels, partial(_pictures, file, samples))
        for (split, file, samples), labels in zip(found, indices, strict=True)
    )
    return Shards(classes, tuple(shards))


def read_samples(file: Path) -> list[Sample]:
    """The samples of one shard, in its order."""
    if not file.name.casefold().endswith(".tar"):
        raise ValueError(
            f"expected shards as .tar, whose pictures can be read in any order, got {file}, which "
            f"is compressed or no archive of CIFAR; unpack it by gunzip, bunzip2 or unxz"
        )
    pictures: dict[str, Place] = {}
    labels: dict[str, str | int | None] = {}
    with opened(file, "r:") as archive:
        for member in members(archive, file):
            key, kind = _split(member.name)
            if kind in PICTURES:
                check_size(member.size, f"{member.name[:100]} of {file}")
                pictures[key] = Place(member.offset_data, member.size)
            elif kind in ("cls", "json"):
                found = _label(_content(archive, member, file), kind)
                labels[key] = labels.get(key) if found is None else found
    labelled = {key: label for key, label in labels.items() if label is not None}
    bare = [key for key in pictures if key not in labelled]
    if bare or not pictures:
        got = f"{bare[0][:100]!r} without one" if bare else "no picture"
        raise ValueError(
            f"expected pictures with a label each in {file}, such as 0001.jpg and 0001.cls or "
            f'0001.json with "label", got {got}; add labels, or give a folder of pictures'
        )
    return [Sample(key, place, labelled[key]) for key, place in pictures.items()]


def _split(name: str) -> tuple[str, str]:
    """Key and ending: a key ends at the first dot of the file's own name."""
    folder, slash, own = name.rpartition("/")
    key, _, kind = own.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> bytes:
    if member.size > MOST_LABEL_BYTES:
        raise ForeignError(
            f"expected at most {MOST_LABEL_BYTES:,} bytes in {member.name[:100]} of {file}, got "
            f"{member.size:,}; leave all but the label out"
        )
    found = archive.extractfile(member)
    return found.read() if found else b""


def _label(content: bytes, kind: str) -> str | int | None:
    """What a file says of the label; None where it says nothing."""
    found: object = content.decode("utf-8", "replace").strip()
    if kind == "json":
        try:
            told = json.loads(content)
        except (ValueError, RecursionError):
            return None
        keys = [key for key in KEYS if isinstance(told, dict) and key in told]
        found = told[keys[0]] if keys else None
    if isinstance(found, str):
        number = found.isdecimal() and found.isascii() and len(found) <= DIGITS
        return int(found) if number else found or None
    return found if type(found) is int and 0 <= found < 10**DIGITS else None


def _pictures(file: Path, samples: list[Sample], start: int, stop: int) -> list[bytes | None]:
    """The encoded pictures of some samples."""
    found: list[bytes | None] = []
    with file.open("rb") as raw:
        for sample in samples[start:stop]:
            raw.seek(sample.picture.start)
            found.append(raw.read(sample.picture.size))
    return found
