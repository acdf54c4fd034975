"""Image sets of others, written as `.npz` files of the data folder, where names find them."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from untrained.archives import PUBLISHED, ImageSet
from untrained.data import data_folder
from untrained.downloads import Bars, download, unseen
from untrained.files import content_of, write_whole
from untrained.images.collection import Collection
from untrained.images.dataset import Labelled
from untrained.images.sources import BUILT_IN, read_path


def add_images(
    name: str, path: Path | None = None, *, replace: bool = False, bars: Bars = unseen
) -> Path:
    """Write an image set to the data folder; `load_images(name)` reads it from there.

    Args:
        name: One of `PUBLISHED`, whose number of classes and size of images are checked; with a
            path, any that suits a file.
        path: File or folder, of any kind that `load_images` reads; None fetches it from where its
            authors publish it, and checks the checksum.
        replace: Whether an image set of this name, if there is one, gives way.
        bars: How the download is shown.

    Returns:
        The file that was written, whole or not at all.

    Raises:
        ValueError: Nothing is published by this name, something else lies at the path, or there is
            an image set of this name.
        OSError: If a file cannot be fetched, read or written.
    """
    check_name(name)
    target = data_folder() / "images" / f"{name}.npz"
    if target.exists() and not replace:
        raise ValueError(
            f"expected no images at {target} yet, got some; move them away, or replace them with "
            f"--replace"
        )
    known = PUBLISHED.get(name)
    if path is not None:
        write_set(target, path, known)
        return target
    if known is None or not known.files:
        fetched = ", ".join(name for name, each in PUBLISHED.items() if each.files)
        raise ValueError(
            f"expected the name of images that can be fetched, {fetched}, got {name!r}; or name "
            f"your files as well: untrained data add {name} PATH"
        )
    folder = data_folder() / "downloads" / name
    files = download(known.files, folder, bars)
    write_set(target, folder if len(files) > 1 else files[0], known)
    shutil.rmtree(folder)
    return target


def check_name(name: str) -> None:
    """Refuse names that are taken, or suit no file.

    Raises:
        ValueError: If it is one.
    """
    if name in BUILT_IN:
        raise ValueError(f"expected a name of your own, got {name!r}, which is built in")
    if not re.fullmatch(r"[\w-]+", name):
        like = re.sub(r"\W+", "-", name.removesuffix(".npz")).strip("-")
        raise ValueError(
            f"expected a name of letters, digits and hyphens, got {name!r}; try {like or 'mine'}"
        )


def write_set(target: Path, path: Path, known: ImageSet | None) -> None:
    """Read an image set, check that it is the known one, and write it."""
    if not path.exists():
        raise FileNotFoundError(f"expected images at {path}, got nothing there")
    found = read_path(path, None)
    names = found.classes
    if known is not None:
        check_known(found, path, known)
        names = known.names or names
    splits = {"train": found.train, "validation": found.validation, "test": found.test}
    arrays: dict[str, Any] = {"class_names": np.array(names, dtype=str)}
    for split, each in splits.items():
        if each is not None:
            arrays[f"x_{split}"] = each.pixels.permute(0, 2, 3, 1).numpy()
            arrays[f"y_{split}"] = each.labels.numpy()
    content = content_of(lambda file: np.savez(file, **arrays))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)


def check_known(found: Collection, path: Path, known: ImageSet) -> None:
    """Refuse another image set than the one of that name.

    Raises:
        ValueError: If classes or sizes differ.
    """
    shape = shape_of(found.train)
    if (len(found.classes), shape) != (known.classes, known.shape):
        sizes = [" x ".join(map(str, each)) for each in (known.shape, shape)]
        raise ValueError(
            f"expected {known.holds}, {known.classes} classes of images of {sizes[0]}, in {path}, "
            f"got {len(found.classes)} classes of {sizes[1]}; see {known.source}, or give these "
            f"another name"
        )


def shape_of(images: Labelled) -> tuple[int, int, int]:
    """Height, width and channels of an image."""
    _, channels, height, width = images.source.shape
    return height, width, channels
