"""Images from a folder of pictures, one subfolder per class."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from untrained.images.collection import Collection
from untrained.images.decoding import Decoded, Open, Part, Source, decode
from untrained.images.layout import (
    ADVICE,
    Layout,
    files_below,
    find_layout,
    is_picture,
    note_links,
    readable,
)
from untrained.images.pictures import SIDE, collection_of, digest, pictures_of
from untrained.images.splits import shorten


def read_folder(path: Path, size: int | None) -> Collection:
    """Read a folder with one subfolder per class, or with such folders below train, val, test.

    If every subfolder with pictures is named as a split (train, training, val, valid, validation,
    dev, test, testing, in any case, also with an ending such as `_set`), these are splits, and
    classes come from train. Pictures may lie deeper below their class folder; a folder that holds
    nothing but one folder of folders stands for that one. Hidden files and folders left by
    archives and file servers (`__MACOSX`, `@eaDir`) are ignored, files that are no pictures
    skipped and noted, broken pictures and class folders without pictures left out with a warning
    and a note. Links to files and to class folders are followed, other links to folders are not.
    Each picture is read as `read_picture` says. If all pictures are grey the data set has one
    channel, otherwise three.

    Pictures are decoded once and kept in the user's cache folder; as long as names, sizes and
    times of change of all files stay, later calls map the pixels from there.

    Args:
        path: The folder; its name names the data set.
        size: Side in pixels of the squares made of the pictures; None means 32.

    Returns:
        Pictures sorted by class, then path.

    Raises:
        ValueError: If there are no class folders, splits lie beside other folders, or a split
            shows a class that train lacks.
    """
    side = SIDE if size is None else size
    layout = find_layout(path)
    made_of = digest(side, files_told(layout, path))
    pictures = pictures_of(path, side, made_of, partial(decode_folder, layout, path, side))
    names = tuple(group.name for group in pictures.decoded.groups if group.split == "train")
    return collection_of(pictures, path, names, (*layout.notes, *note_links(path, layout)))


def decode_folder(layout: Layout, path: Path, side: int, file: Open) -> Decoded:
    """Write the pixels of all pictures to a file; see `decode`.

    Raises:
        ValueError: If train shows no picture, or another split a class that train lacks.
    """
    decoded = decode(partial(parts_of, layout, path), side, file)
    known = [group.name for group in decoded.groups if group.split == "train"]
    if not known:
        raise ValueError(
            f"expected pictures in the class folders of {readable(path)}, got none; {ADVICE}"
        )
    check_known([(group.split, group.name) for group in decoded.groups], known, path)
    return decoded


def parts_of(layout: Layout, path: Path) -> Iterator[Part]:
    """The pictures at any depth below the folders of each class, in order of their paths."""
    for split, classes in layout.splits.items():
        for name, folders in classes.items():
            files = [found for folder in folders for found in sorted(files_below(folder))]
            yield Part(
                split,
                name,
                [Source(readable(f.relative_to(path)), f) for f in files if is_picture(f)],
                " and ".join(map(readable, folders)),
                [readable(f.name) for f in files if not is_picture(f)],
            )


def check_known(found: list[tuple[str, str]], known: list[str], path: Path) -> None:
    """Refuse classes of a split that train does not show."""
    strange = [(split, name) for split, name in found if name not in known]
    if strange:
        split = strange[0][0]
        names = [name for where, name in strange if where == split]
        raise ValueError(
            f"expected the class folders of {split} in {readable(path)} to be among those of "
            f"train, got {shorten(names)}; add training pictures or rename"
        )


def files_told(layout: Layout, path: Path) -> Iterator[object]:
    """Name, size, time of change and access of every file, class by class."""
    for split, classes in layout.splits.items():
        for name, folders in classes.items():
            yield split, name
            for file in (file for folder in folders for file in files_below(folder)):
                state = file.stat() if file.exists() else file.lstat()  # of a link to nowhere
                below = str(file).removeprefix(str(path))
                yield below, state.st_size, state.st_mtime_ns, os.access(file, os.R_OK)
