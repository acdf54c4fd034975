"""Kernels in a file, for those that are larger than memory.

    K v = sum_b K[:, b] v[b]

by blocks of rows that are read as they are needed, in float64 whatever the file holds. Of a
symmetric kernel the lower triangle alone is read: K[b, :b] serves rows b and, transposed, columns.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from untrained.analysis.kernel import Kernel, rounded
from untrained.analysis.rounding import Rounding

BLOCK = 2**26
"Bytes of the rows that are held at a time, in float64."


class StoredKernel(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """A kernel in a .npy file, as SciPy's linear operator; its parts, as kernels in memory.

    `theta @ v` is what `largest_eigenvalues`, `spectral_density`, `descent_weights`,
    `conjugate_gradients` and SciPy ask of a kernel. `theta[i, j]` reads the rows i and columns j:
    slices, or numbers in a list, of which rows and columns make a matrix.

    Args:
        path: of the file, (n, m), float32 or float64.
        symmetric: of one set of examples with itself.
        factors: the type that rows of J were computed in; the entries' rounding is the file's.
        leading: rows and columns to take, the first, of a symmetric kernel; None takes all.

    Raises:
        ValueError: a file that holds no matrix, or one that cannot be symmetric.
        OSError: no such file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "k.npy"
        >>> np.save(path, np.array([[2.0, 1.0], [1.0, 3.0]]))
        >>> k = StoredKernel(path, symmetric=True)
        >>> k @ np.ones(2), k[[1], :]
        (array([3., 4.]), Kernel([[1., 3.]], dtype=torch.float64))
    """

    shape: tuple[int, int]
    __matmul__: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __init__(
        self,
        path: Path | str,
        *,
        symmetric: bool,
        factors: torch.dtype = torch.float32,
        leading: int | None = None,
    ):
        self.path = Path(path)
        self.array: NDArray[Any] = np.load(self.path, mmap_mode="r")
        "Mapped from the file: what is touched is read."
        self.symmetric = symmetric
        self.factors = factors
        shape = self.array.shape
        if len(shape) != 2 or self.array.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"{path}: expected a matrix in float32 or float64, got shape {shape} in "
                f"{self.array.dtype}"
            )
        if symmetric and shape[0] != shape[1]:
            raise ValueError(f"{path}: expected a square matrix as symmetric, got shape {shape}")
        if leading is not None:
            if not symmetric or not 0 < leading <= len(self.array):
                raise ValueError(
                    f"{path}: expected 1 to {len(self.array)} leading rows of a symmetric kernel, "
                    f"got {leading}"
                )
            self.array = self.array[:leading, :leading]
        super().__init__(np.float64, self.array.shape)

    def __getitem__(self, where: tuple[slice | list[int], slice | list[int]]) -> Kernel:
        """Rows and columns, in memory."""
        rows, columns = where
        if self.symmetric and isinstance(columns, list):  # rows lie together in the file
            part = self.array[columns][:, rows].T
        else:
            part = self.array[rows][:, columns]
        return rounded(torch.from_numpy(part.astype(np.float64)), self.factors, self.entries)

    @property
    def entries(self) -> float:
        """The share of the largest that an entry may be off by, for its type in the file."""
        return float(np.finfo(self.array.dtype).eps) / 2

    @property
    def resolution(self) -> float:
        """As of a `Kernel`: the share of the largest eigenvalue below which others may be noise.

        At worst: errors of either sign move eigenvalues far less.
        """
        return Rounding(float(torch.finfo(self.factors).eps), self.entries, 0.0).share(
            len(self.array)
        )

    def diagonal(self) -> Float64[torch.Tensor, " n"]:
        """K[i, i]."""
        return torch.from_numpy(self.array.diagonal().astype(np.float64))

    def _matmat(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.zeros((self.shape[0], v.shape[1]))
        for rows in self._blocks():
            if not self.symmetric:
                found[rows] = self._read(rows, slice(None)) @ v
                continue
            below = self._read(rows, slice(0, rows.start))
            found[rows] += below @ v[: rows.start] + self._read(rows, rows) @ v[rows]
            found[: rows.start] += below.T @ v[rows]
        return found

    def _rmatmat(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.symmetric:
            return self._matmat(u)
        found = np.zeros((self.shape[1], u.shape[1]))
        for rows in self._blocks():
            found += self._read(rows, slice(None)).T @ u[rows]
        return found

    def _blocks(self) -> list[slice]:
        n, m = self.shape
        step = max(1, BLOCK // (8 * m))
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def _read(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        return self.array[rows, columns].astype(np.float64)
