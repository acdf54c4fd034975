"""Where images come from: a name, a file, a folder."""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from untrained.archives import PUBLISHED, Shards, read_archive
from untrained.data import data_folder
from untrained.images.arrays import read_given
from untrained.images.collection import Collection, assemble, short_name
from untrained.images.dataset import Images
from untrained.images.digits import read_digits
from untrained.images.folder import read_folder
from untrained.images.held import HERE, held
from untrained.images.npz import collected, read_npz
from untrained.images.shapes import read_shapes
from untrained.images.shards import collect_shards

BUILT_IN: Mapping[str, Callable[[int | None], Collection]] = {
    "digits": read_digits,
    "shapes": read_shapes,
}
"By name: a size -> images that need no file."
OWN = (
    "bring your own: a folder with one subfolder of pictures per class, a .npz with x_train (n, "
    "height, width, channels) uint8 and y_train (optional x_test, y_test, class_names), or "
    "official files of CIFAR, MNIST or SVHN, Parquet or tar shards"
)


def load_images(source: Any = "digits", *, size: int | None = None, seed: int = 0) -> Images:
    """Load labelled images, and draw the splits that they do not bring.

    `source` is looked up in this order: the texts `digits` and `shapes`, which are built in; a
    file or a folder; a name such as `cifar10`, which stands for `images/cifar10.npz` in the data
    folder, where `untrained data add cifar10` puts it. The data folder is named by the environment
    variable UNTRAINED_DATA; without it, it is the user's data folder, as `untrained data` shows.

    A file is a `.npz`; a folder has one subfolder of pictures per class. Both may also be what
    others publish, see `untrained.archives`: CIFAR's archives, MNIST's IDX files, SVHN's `.mat`,
    Parquet shards of Hugging Face, tar shards of WebDataset.

    In place of a name, the data may be given: arrays or tensors by the names that they have in a
    `.npz` file, `{"x_train": pixels, "y_train": labels}`; a pair `(pixels, labels)`; a data set of
    torch or of Hugging Face; or these by splits, `{"train": ..., "test": ...}`.

    Missing splits are drawn by class: test a fifth, validation a fifth of the rest but at most
    5,000 images. Mean and standard deviation are those of the training split; a standard
    deviation is at least 1/255, so that constant channels can be normalised.

    Args:
        source: Name, file or folder, or the data. A `Path` is never taken as a name; of a tensor,
            unlike of an array, channels come before height and width.
        size: Side in pixels; the centre square is cut and resized to it, antialiased. None
            keeps the size, or means 32 for a folder of pictures, and for shards unless their first
            picture is a square of at most 96 pixels.
        seed: Decides which images go to which split; 0 or more.

    Returns:
        The images; `notes` says what was converted or left out.

    Raises:
        FileNotFoundError: If there is nothing of this name; says where it was looked for.
        ValueError: If what is there cannot be used; says what was expected and what came.

    Example:
        >>> images = load_images("digits")
        >>> images.shape, len(images.train), len(images.validation), len(images.test)
        ((1, 8, 8), 1157, 285, 355)
    """
    if size is not None and size < 1:
        raise ValueError(f"expected a size of 1 pixel or more, or None, got {size!r}")
    if seed < 0:
        raise ValueError(f"expected a seed of 0 or more, got {seed!r}")
    if not isinstance(source, str | Path):
        return assemble(read_given(source, size), seed)
    if isinstance(source, str) and source.startswith(HERE):
        return held(source)
    if source in BUILT_IN:
        return assemble(BUILT_IN[str(source)](size), seed)
    return assemble(read_path(find(source), size), seed)


def find(source: str | Path) -> Path:
    """Turn a name or a path into the path of something that exists."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if isinstance(source, Path) or path.suffix or len(path.parts) != 1:
        raise FileNotFoundError(
            f"expected a .npz file or a folder, got nothing at {path}; check the path, use the "
            f"built-in `digits`, or {OWN}"
        )
    named = data_folder() / "images" / f"{source}.npz"
    if named.exists():
        return named
    fetch = f"fetch it by untrained data add {source}, " if source in PUBLISHED else ""
    raise FileNotFoundError(
        f"expected images named {source!r}, got nothing at {named}; {suggest(source)}; {fetch}"
        f"set UNTRAINED_DATA to a folder that holds images/{source}.npz, or {OWN}"
    )


def suggest(name: str) -> str:
    """Say which names resemble `name`, and which are built in."""
    known = [path.stem for path in (data_folder() / "images").glob("*.npz")]
    near = difflib.get_close_matches(name, [*BUILT_IN, *sorted(known)])
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}`digits` and `shapes` are built in"


def read_path(path: Path, size: int | None) -> Collection:
    """Read a folder or a file that exists."""
    found = read_archive(path)
    if isinstance(found, Shards):
        return collect_shards(found, path, size)
    if found is not None:
        name = found.name or short_name(path)
        return collected(found.arrays, path, name, size, found.notes)
    if path.is_dir():
        return read_folder(path, size)
    if path.suffix.lower() == ".npz":
        return read_npz(path, size)
    raise ValueError(
        f"expected a folder, a .npz file or an archive of images, got {path} with ending "
        f"{path.suffix!r}; {OWN}"
    )
