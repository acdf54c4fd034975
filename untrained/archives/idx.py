"""IDX files: MNIST, Fashion-MNIST and their kin, each file compressed by gzip or not.

A file starts with two bytes 0, a byte for the type, of which 8 is uint8, and one for the number of
axes; then the length of each axis in four bytes, the most significant first; then the values.

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import io
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from untrained.archives.contents import Arrays
from untrained.archives.splits import SPLITS

NAME = re.compile(
    r"(?P<before>.*?)(?P<split>train|t10k|test)[-_.](?P<what>images|labels)[-_.]idx(?P<axes>[13])"
    r"-ubyte(\.gz)?"
)
"Of a file, such as `train-images-idx3-ubyte.gz`."
AXES = {"images": 3, "labels": 1}
GZIP = b"\x1f\x8b"
MOST_BYTES = 2**33
"Of one file; a header that claims more is not believed."
CHUNK = 2**20


def idx_files(path: Path) -> Mapping[str, Path]:
    """`x_train`, `y_train` and so on -> its file, of a folder or of the folder `raw` in it."""
    for folder in (path, path / "raw"):
        found = {}
        for file in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ():
            if (match := NAME.fullmatch(file.name)) and file.is_file():  # unpacked ones come last
                split = SPLITS.get(match["split"], "test")
                found[f"{'x' if match['what'] == 'images' else 'y'}_{split}"] = file
        if found:
            return found
    return {}


def is_idx(path: Path) -> bool:
    """Tell by names whether a folder holds such files."""
    return bool(idx_files(path))


def read_idx_folder(path: Path) -> Arrays:
    """Read the four files; those of the test split may be absent.

    Raises:
        ValueError: If one is missing, or is something else.
        OSError: If one cannot be read.
    """
    files = idx_files(path)
    needed = {"x_train", "y_train"} | ({"x_test", "y_test"} if len(files) > 2 else set())
    if missing := needed - files.keys():
        raise ValueError(
            f"expected train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k in "
            f"{path}, each with or without .gz, got no file of {' and '.join(sorted(missing))}; "
            f"fetch all four"
        )
    axes = {"x": AXES["images"], "y": AXES["labels"]}
    return Arrays(None, {key: read_idx(file, axes[key[0]]) for key, file in files.items()})


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The values of one file.

    Args:
        path: The file.
        axes: How many there must be: 3 of images, 1 of labels.

    Raises:
        ValueError: If it holds something else, or more or less than it claims.
        OSError: If it cannot be read.
    """
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == GZIP
        try:
            return _read(gzip.open(raw) if packed else raw, path, axes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"expected a file compressed by gzip in {path}, got a damaged one or a part of "
                f"one ({error}); fetch it again"
            ) from error


def _read(file: io.BufferedIOBase, path: Path, axes: int) -> np.ndarray:
    start = file.read(4)
    if start != bytes((0, 0, 8, axes)):
        raise ValueError(
            f"expected an IDX file of uint8 with {axes} axes in {path}, which starts with the "
            f"bytes {bytes((0, 0, 8, axes)).hex(' ')}, got {start.hex(' ') or 'an empty file'}; "
            f"fetch it again"
        )
    lengths = file.read(4 * axes)
    shape = tuple(np.frombuffer(lengths, ">u4").tolist()) if len(lengths) == 4 * axes else (0,)
    claimed = math.prod(shape)
    if not 0 < claimed <= MOST_BYTES:
        raise ValueError(
            f"expected values in {path}, at most {MOST_BYTES:,}, got a header that claims "
            f"{' x '.join(map(str, shape))}; fetch it again"
        )
    content = bytearray()
    while len(content) <= claimed and (part := file.read(CHUNK)):
        content += part
    if len(content) != claimed:
        found = "more" if len(content) > claimed else f"{len(content):,}"
        raise ValueError(
            f"expected {claimed:,} values in {path}, as its header claims, got {found}; fetch it "
            f"again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
