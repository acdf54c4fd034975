"""WebDataset: tar shards in which files of one name are one sample, such as 0001.jpg, 0001.cls.

The label is in `.cls`, as text, or in `.json`, under `label`, `cls` or `class`: a whole number
from 0 or the name of a class.

Source: https://github.com/webdataset/webdataset.
"""

import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np

from untrained.archives.contents import Shard, Shards, class_indices
from untrained.archives.splits import files_ending, shards_by_split
from untrained.archives.tar import DAMAGED, ForeignError, check_size, damaged, is_tar, members

PICTURES = frozenset(("bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"))
KEYS = ("label", "cls", "class")
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
    pictures: dict[str, Place] = {}
    labels: dict[str, str | int] = {}
    with file.open("rb") as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r:") as archive:
                for key, kind, place in _places(archive, file):
                    if kind in PICTURES:
                        pictures[key] = place
                    elif kind in ("cls", "json"):
                        content = _content(raw, place, f"{key}.{kind} of {file}")
                        label = _label(content, kind)
                        labels |= {} if label is None else {key: label}
        except ForeignError:
            raise
        except DAMAGED as error:
            raise damaged(file, error) from error
    bare = [key for key in pictures if key not in labels]
    if bare or not pictures:
        got = f"{bare[0][:100]!r} without one" if bare else "no picture"
        raise ValueError(
            f"expected pictures with a label each in {file}, such as 0001.jpg and 0001.cls or "
            f'0001.json with "label", got {got}; add labels, or give a folder of pictures'
        )
    return [Sample(key, place, labels[key]) for key, place in pictures.items()]


def _places(archive: tarfile.TarFile, file: Path) -> Iterator[tuple[str, str, Place]]:
    """Key, ending and place of each file; a key ends at the first dot of the file's own name."""
    for member in members(archive, file):
        path = PurePosixPath(member.name)
        stem, _, kind = path.name.partition(".")
        check_size(member.size, f"{member.name[:100]} of {file}")
        yield (
            str(path.with_name(stem or "_")),
            kind.lower(),
            Place(member.offset_data, member.size),
        )


def _content(raw: IO[bytes], place: Place, where: str) -> bytes:
    if place.size > MOST_LABEL_BYTES:
        raise ForeignError(
            f"expected at most {MOST_LABEL_BYTES:,} bytes in {where}, got {place.size:,}; leave "
            f"all but the label out"
        )
    return _read(raw, place)


def _label(content: bytes, kind: str) -> str | int | None:
    """What a file says of the label; None where it says nothing."""
    text: object = content.decode("utf-8", "replace").strip()
    if kind == "json":
        found = json.loads(content)
        keys = [key for key in KEYS if isinstance(found, dict) and key in found]
        text = found[keys[0]] if keys else None
    if isinstance(text, str):
        return int(text) if text.isdecimal() and text.isascii() else text or None
    return text if type(text) is int and text >= 0 else None


def _pictures(file: Path, samples: list[Sample], start: int, stop: int) -> list[bytes | None]:
    """The encoded pictures of some samples."""
    with file.open("rb") as raw:
        return [_read(raw, sample.picture) for sample in samples[start:stop]]


def _read(raw: IO[bytes], place: Place) -> bytes:
    raw.seek(place.start)
    return raw.read(place.size)
