"""Nystrom's preconditioner: what a few columns of a kernel tell of its largest eigenvalues.

    K ~ C W^-1 C^T = U S U^T,    C = K[:, L],  W = K[L, L],  L: l landmarks

    P^-1 = (s_l + mu) U (S + mu)^-1 U^T + I - U U^T

brings the eigenvalues of K + mu I that U has found down to s_l + mu, the smallest of them, so
that conjugate gradients need few steps where the rest of the spectrum lies below that.

Source: Frangella, Tropp & Udell, "Randomized Nystrom Preconditioning", SIAM Journal on Matrix
Analysis 2023, https://arxiv.org/abs/2110.02820. They multiply K with l random vectors; columns
cost l rows of J instead of l products with K.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular, svd
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from untrained.analysis.kernel import plain


def nystrom_preconditioner(
    columns: Float[Tensor, "n l"], landmarks: Sequence[int], ridge: float
) -> LinearOperator:
    """P^-1 v as a linear operator, for `conjugate_gradients`.

    Holds n l numbers; making it takes n l^2 multiply-adds.

    Args:
        columns: K[:, landmarks], as of a stored kernel, or `ntk(net, x, x[landmarks])`.
        landmarks: the examples that they are of, each once, such as a random choice.
        ridge: mu, above 0, in units of K.

    Raises:
        ValueError: a ridge that is not positive, columns that do not fit landmarks, or landmarks
            whose kernel is not positive.

    Example:
        >>> import torch
        >>> k = torch.diag(torch.tensor([100.0, 1.0, 1.0]))
        >>> p = nystrom_preconditioner(k[:, :2], [0, 1], ridge=1.0)
        >>> (p @ np.ones(3)).round(2)  # 2 / 101, 2 / 2, and 1 where nothing is known
        array([0.02, 1.  , 1.  ])
    """
    if not ridge > 0:
        raise ValueError(f"expected a ridge above 0, got {ridge!r}")
    where = list(landmarks)
    if columns.ndim != 2 or columns.shape[1] != len(where) or len(set(where)) != len(where):
        raise ValueError(
            f"expected a column for each landmark, each once, got shape {tuple(columns.shape)} "
            f"and {len(where)} landmarks, {len(set(where))} of them different"
        )
    c = plain(columns).cpu().numpy()
    w = c[where]
    shift = np.finfo(np.float32).eps * np.trace(w)  # W may be singular, as of equal examples
    try:
        root = cholesky((w + w.T) / 2 + shift * np.eye(len(w)), lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "expected landmarks whose kernel is positive, got one with a negative eigenvalue"
        ) from error
    u, s, _ = svd(solve_triangular(root, c.T, lower=True).T, full_matrices=False)  # C W^-1/2
    s = np.maximum(s**2 - shift, 0)
    shrunk = (s[-1] + ridge) / (s + ridge) - 1

    def product(v: NDArray[np.float64]) -> NDArray[np.float64]:
        # P^-1 v = v + U ((s_l + mu) / (S + mu) - 1) U^T v
        return v + u @ (shrunk[:, None] * (u.T @ v))

    return LinearOperator(
        (len(c), len(c)),
        matvec=lambda v: product(v.reshape(-1, 1)).ravel(),
        matmat=product,
        dtype=np.float64,
    )
