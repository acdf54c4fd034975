"""How far a kernel of projected outputs is from the trace, by the whole one of a few examples.

    Theta_R[i, j] = sum_kl (R R^T)[k, l] A_ij[k, l],    A_ij[k, l] = Theta[(i, k), (j, l)]

For R[k, q] ~ N(0, 1 / q), independent, E[R R^T] = I, and E[Theta_R] = tr A_ij. Since

    q Cov((R R^T)[k, l], (R R^T)[m, n]) = [k = m][l = n] + [k = n][l = m]

    Var Theta_R[i, j] = (||A_ij||_F^2 + tr A_ij^2) / q    <=  2 ||A_ij||_F^2 / q

Where logits have decoupled, A_ii = tr A_ii I / K, and the relative variance is 2 / (q K); where
one direction of them has all gradients, it is 2 / q.
"""

from jaxtyping import Float
from torch import Tensor

from untrained.analysis.kernel import plain


def projection_error(full: Float[Tensor, "nk mk"], outputs: int, columns: int) -> float:
    """The expected relative error of Theta_R, in the Frobenius norm.

        sqrt(sum_ij Var Theta_R[i, j]) / sqrt(sum_ij (tr A_ij)^2)

    Args:
        full: the kernel of a few examples, `output="full"`.
        outputs: K.
        columns: q, of a `random_readout`.

    Raises:
        ValueError: a kernel that is not of so many outputs, no column, or a kernel of zeros.

    Example:
        >>> import torch
        >>> projection_error(torch.eye(8), outputs=4, columns=2)  # sqrt(2 / (2 x 4))
        0.5
    """
    n = full.shape[0] // max(1, outputs)
    if full.ndim != 2 or full.shape != (n * outputs, n * outputs) or not n or columns < 1:
        raise ValueError(
            f"expected a square kernel of {outputs} rows for each example and a column or more, "
            f"got shape {tuple(full.shape)} and {columns} columns"
        )
    a = plain(full).view(n, outputs, n, outputs)
    variance = (a.square().sum() + (a * a.transpose(1, 3)).sum()) / columns
    trace = a.diagonal(dim1=1, dim2=3).sum(-1)
    if not trace.any():
        raise ValueError("expected a kernel with a trace, got one of zeros")
    return float((variance / trace.square().sum()).sqrt())
