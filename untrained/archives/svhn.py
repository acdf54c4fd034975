"""SVHN's cropped digits: `train_32x32.mat` and `test_32x32.mat`, files of MATLAB.

`X` is (height, width, 3, n), uint8; `y` is (n, 1), from 1 to 10, of which 10 is the digit 0.

Source: Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning,
http://ufldl.stanford.edu/housenumbers/.
"""

from pathlib import Path

import numpy as np

from untrained.archives.contents import Arrays

DIGITS = np.array([str(digit) for digit in range(10)])


def is_svhn(path: Path) -> bool:
    """Tell by names whether a file, or a folder, is of SVHN."""
    if path.is_dir():
        return (path / "train_32x32.mat").is_file()
    return path.suffix.lower() == ".mat" and path.is_file()


def read_svhn(path: Path) -> Arrays:
    """Read training and test images of a folder; a file alone is for training.

    Raises:
        ValueError: If a file is something else.
        OSError: If it cannot be read.
    """
    if not path.is_dir():
        pixels, labels = read_mat(path)
        return Arrays(None, {"x_train": pixels, "y_train": labels, "class_names": DIGITS})
    arrays = {"class_names": DIGITS}
    for split in ("train", "test"):
        if (file := path / f"{split}_32x32.mat").is_file():
            arrays[f"x_{split}"], arrays[f"y_{split}"] = read_mat(file)
    extra = (path / "extra_32x32.mat").is_file()
    return Arrays("svhn", arrays, ("left out extra_32x32.mat, easier images",) if extra else ())


def read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, height, width, 3) and digits of one file."""
    from scipy.io import loadmat  # here, because importing it takes a while

    with path.open("rb") as file:
        try:
            found = loadmat(file, variable_names=("X", "y"))
        except Exception as error:  # damaged files raise a dozen kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"expected a .mat file of SVHN's cropped digits in {path}, got something else or "
                f"a part of one ({reason}); fetch train_32x32.mat or test_32x32.mat again"
            ) from error
    pixels, labels = found.get("X"), found.get("y")
    if not _fit(pixels, labels):
        shapes = ", ".join(f"{k} {np.shape(found[k])}" for k in ("X", "y") if k in found)
        raise ValueError(
            f"expected uint8 X (height, width, 3, n) and y (n, 1) from 1 to 10 in {path}, got "
            f"{shapes or 'neither'}; fetch train_32x32.mat or test_32x32.mat again"
        )
    assert isinstance(pixels, np.ndarray) and isinstance(labels, np.ndarray)  # noqa: PT018
    return pixels.transpose(3, 0, 1, 2), labels[:, 0].astype(np.int64) % 10


def _fit(pixels: object, labels: object) -> bool:
    """Tell whether they are as SVHN has them."""
    return (
        isinstance(pixels, np.ndarray)
        and isinstance(labels, np.ndarray)
        and (pixels.dtype, pixels.ndim) == (np.uint8, 4)
        and pixels.shape[2] == 3
        and labels.shape == (pixels.shape[3], 1)
        and labels.dtype.kind in "iuf"
        and bool(np.isin(labels, np.arange(1, 11)).all())
    )
