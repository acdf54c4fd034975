"""Images from a folder of pictures, one subfolder a class."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from untrained.images.collection import Collection, short_name
from untrained.images.dataset import Labelled
from untrained.images.picture import read_picture
from untrained.images.splits import shorten

SIZE = 32
"Side in pixels when none is asked for."
SPLITS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"Folder names that mean splits."
ADVICE = "give a folder with one subfolder of pictures for each class"

logger = logging.getLogger(__name__)


def read_folder(path: Path, size: int | None) -> Collection:
    """Read a folder with one subfolder a class, or with such folders below train, val, test.

    If every subfolder is named train, val, valid, validation or test, these are splits, and
    classes come from train. Pictures may lie deeper below their class folder. Hidden files are
    ignored, files that are no pictures skipped and noted, broken pictures and class folders
    without pictures left out with a warning and a note. Each picture is read as
    `read_picture` says. If all pictures are grey the data set has one channel, otherwise three.

    Args:
        path: The folder; its name names the data set.
        size: Side in pixels of the squares made of the pictures; None means 32.

    Returns:
        Pictures sorted by class, then path.

    Raises:
        ValueError: If there are no class folders, or a split shows a class that train lacks.
    """
    side = SIZE if size is None else size
    notes = [f"centre square of each picture resized to {side} x {side}, transparency over white"]
    pictures = {}
    for split, root in find_splits(path).items():
        pictures[split], more = read_split(root, side)
        notes += more
    classes = tuple(pictures["train"])
    if not classes:
        raise ValueError(f"expected pictures in the class folders of {path}, got none; {ADVICE}")
    check_known(pictures, classes, path)
    if all(is_grey(x) for found in pictures.values() for x in found.values()):
        pictures = {s: {c: x[..., :1] for c, x in p.items()} for s, p in pictures.items()}
        notes.append("all pictures are grey: one channel")
    data = {split: label(found, classes) for split, found in pictures.items() if found}
    return Collection(short_name(path), classes, **data, notes=tuple(notes))


def find_splits(path: Path) -> dict[str, Path]:
    """Map each split that the folder brings to its folder; without splits, all is train."""
    names = [folder.name for folder in visible_folders(path)]
    if not names or not set(names) <= SPLITS.keys():
        return {"train": path}
    found = [SPLITS[name] for name in names]
    if "train" not in found or len(set(found)) < len(found):
        raise ValueError(
            f"expected folders train and at most one each of validation and test in {path}, "
            f"got {', '.join(names)}; rename or merge them"
        )
    return {SPLITS[name]: path / name for name in sorted(names, key=list(SPLITS).index)}


def visible_folders(path: Path) -> list[Path]:
    """List subfolders that are not hidden, by name."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def read_split(path: Path, side: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the pictures of every class folder; return them by class name, and notes."""
    folders, loose = visible_folders(path), loose_pictures(path)
    if not folders:
        got = "pictures lying in it" if loose else "none"
        raise ValueError(f"expected class folders in {path}, got {got}; {ADVICE}")
    notes = [f"skipped pictures outside class folders: {shorten(loose)}"] if loose else []
    pictures = {}
    for folder in folders:
        pictures[folder.name], more = read_class(folder, side)
        notes += more
    return {name: squares for name, squares in pictures.items() if len(squares)}, notes


def loose_pictures(path: Path) -> list[str]:
    """Name the pictures that lie in `path` itself."""
    return sorted(p.name for p in path.iterdir() if is_picture(p) and p.name[0] != ".")


def read_class(folder: Path, side: int) -> tuple[UInt8[np.ndarray, "n side side 3"], list[str]]:
    """Read the pictures at any depth below one class folder, in order of their paths."""
    files = visible_files(folder)
    pictures = [file for file in files if is_picture(file)]
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        results = list(pool.map(partial(read_or_explain, side=side), pictures))
    squares = [result for result in results if not isinstance(result, str)]
    warnings = [result for result in results if isinstance(result, str)]
    if not squares:
        warnings.append(f"left out class {folder.name!r}: no readable picture in {folder}")
    for warning in warnings:
        logger.warning(warning)
    others = [file.name for file in files if not is_picture(file)]
    skipped = [f"skipped files of {folder.name!r} that are no pictures: {shorten(others)}"]
    notes = warnings + (skipped if others else [])
    return np.array(squares, dtype=np.uint8).reshape(-1, side, side, 3), notes


def visible_files(folder: Path) -> list[Path]:
    """List files below `folder` that are not hidden nor in a hidden folder, by path."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def is_picture(path: Path) -> bool:
    """Tell by its ending whether Pillow opens a file."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    return kind in Image.OPEN and path.is_file()


def read_or_explain(path: Path, side: int) -> UInt8[np.ndarray, "side side 3"] | str:
    """Read a picture; if it is broken, return the line that says so."""
    try:
        return read_picture(path, side)
    except Exception as error:  # decoders raise nearly anything on broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"left out {path}: {reason}"


def check_known(
    pictures: dict[str, dict[str, np.ndarray]], classes: tuple[str, ...], path: Path
) -> None:
    """Refuse classes that train does not show."""
    for split, found in pictures.items():
        strange = [name for name in found if name not in classes]
        if strange:
            raise ValueError(
                f"expected the class folders of {split} in {path} to be among those of train, "
                f"got {shorten(strange)}; add training pictures or rename"
            )


def is_grey(pixels: UInt8[np.ndarray, "n h w 3"]) -> bool:
    """Tell whether red, green and blue agree everywhere."""
    return bool((pixels == pixels[..., :1]).all())


def label(pictures: dict[str, np.ndarray], classes: tuple[str, ...]) -> Labelled:
    """Join the pictures of all classes, channels first."""
    pixels = np.concatenate(list(pictures.values())).transpose(0, 3, 1, 2)
    labels = np.repeat(
        [classes.index(name) for name in pictures], [len(x) for x in pictures.values()]
    )
    return Labelled(
        torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels.astype(np.int64))
    )
