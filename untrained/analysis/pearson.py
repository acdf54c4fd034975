"""Pearson's correlations between the rows of a matrix, in float64."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def row_correlations(rows: Float[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
    """C_ij = <u_i, u_j>, u_i row i less its mean, at unit length; u_i = 0 of a constant row.

    So a constant row correlates with nothing, nor with itself. It is told by its extremes: its
    mean is rounded, and what is left of it would be noise at unit length.

    Raises:
        ValueError: a row that is not finite.

    Example:
        >>> row_correlations(torch.tensor([[1.0, 2.0], [5.0, 3.0], [0.1, 0.1]]))
        tensor([[ 1.0000, -1.0000,  0.0000],
                [-1.0000,  1.0000,  0.0000],
                [ 0.0000,  0.0000,  0.0000]], dtype=torch.float64)
    """
    centred = rows.double()
    centred = centred - centred.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not norms.isfinite().all():
        raise ValueError("expected finite numbers to correlate, got NaN or infinity")
    varies = rows.amax(1, keepdim=True) > rows.amin(1, keepdim=True)
    unit = torch.where(varies, centred / norms, 0.0)
    return unit @ unit.T
