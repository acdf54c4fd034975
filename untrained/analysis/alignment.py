"""How alike two kernels are, or a kernel and the labels: all in float64.

    <A, B> = sum_ij A_ij B_ij,    ||A|| = sqrt(<A, A>),    mean A = average of all entries,
    H A H: A less the means of its rows and columns, H = I - 1 1^T / n

    cosine               <A, B> / (||A|| ||B||)
    correlation          the cosine of A - mean A and B - mean B
    centred alignment    the cosine of H A H and H B H
    label alignment      the correlation of Theta and L, L_ij = 1 where y_i = y_j, -1 elsewhere

All lie in [-1, 1] and stay for c A, c > 0, and for one permutation of the examples in both;
correlation stays also for A + c, centred alignment for A + a 1^T + 1 a^T.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import is_finite
from untrained.estimate import Quantity

Matrix = Float64[Tensor, "n m"]


def label_alignment(kernel: Float[Tensor, "n n"], labels: Int[Tensor, " n"]) -> Quantity:
    """LGA, the correlation of a kernel's n^2 entries with those of the label kernel.

        LGA = <Theta - mean Theta, L - mean L> / (||Theta - mean Theta|| ||L - mean L||)

    Args:
        kernel: the NTK of the batch.
        labels: classes, any integers.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> labels = torch.tensor([0, 0, 1])
        >>> label_alignment(5 + 2 * label_kernel(labels), labels).value
        1.0

    Source: Mok et al., "Demystifying the Neural Tangent Kernel from a Practical Perspective",
    CVPR 2022, https://arxiv.org/abs/2203.14577. Where their code puts 1e-4 for NaN, this gives
    the reason.
    """
    check_labels(kernel, labels)
    if len(labels.unique()) < 2:
        return Quantity(None, "the labels are of one class: their kernel is constant")
    return correlation(kernel, label_kernel(labels).to(kernel.device))


def label_kernel(labels: Int[Tensor, " n"]) -> Float64[Tensor, "n n"]:
    """L_ij = 1 where y_i = y_j, -1 elsewhere.

    Example:
        >>> label_kernel(torch.tensor([3, 3, 8])).tolist()
        [[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    return 2 * (labels[:, None] == labels).double() - 1


def normalised(kernel: Float[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    """Theta_ij / sqrt(Theta_ii Theta_jj): 1 on the diagonal; 0 for an example whose entry is 0.

    Example:
        >>> normalised(torch.tensor([[4.0, 1.0], [1.0, 1.0]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    theta = kernel.detach().double()
    scale = theta.diagonal().clamp(min=0).rsqrt().nan_to_num(posinf=0.0)
    return theta * scale[:, None] * scale


def cosine(a: Float[Tensor, "n m"], b: Float[Tensor, "n m"]) -> Quantity:
    """<A, B> / (||A|| ||B||); not resolved for a kernel of zeros.

    Example:
        >>> cosine(torch.eye(2), torch.ones(2, 2)).value
        0.7071067811865475
    """
    return _cosine(a, b, lambda x: x, "zero")


def correlation(a: Float[Tensor, "n m"], b: Float[Tensor, "n m"]) -> Quantity:
    """Pearson's correlation of the entries; not resolved for a constant kernel.

    Example:
        >>> correlation(torch.eye(3), 7 - torch.eye(3)).value
        -1.0
    """
    return _cosine(a, b, lambda x: x - x.mean(), "constant")


def centred_alignment(a: Float[Tensor, "n n"], b: Float[Tensor, "n n"]) -> Quantity:
    """<H A H, H B H> / (||H A H|| ||H B H||), the CKA of two kernels.

    Example:
        >>> centred_alignment(torch.eye(3), torch.eye(3) + torch.ones(3, 3)).value
        1.0

    Source: Cortes, Mohri & Rostamizadeh, JMLR 2012; Kornblith et al., ICML 2019,
    https://arxiv.org/abs/1905.00414.
    """
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"expected square kernels, got shape {tuple(a.shape)}")

    def centred(x: Matrix) -> Matrix:
        return x - x.mean(0) - x.mean(1, keepdim=True) + x.mean()

    return _cosine(a, b, centred, "zero once rows and columns are centred")


def relative_change(before: Float[Tensor, "n m"], after: Float[Tensor, "n m"]) -> Quantity:
    """||after - before|| / ||before||; not resolved where `before` is zero.

    Example:
        >>> relative_change(torch.eye(2), 3 * torch.eye(2)).value
        2.0
    """
    a, b = _pair(before, after)
    if reason := _overflow(a, b):
        return Quantity(None, reason)
    if not a.any():
        return Quantity(None, "the kernel before is zero: its change has no scale")
    return Quantity(((b - a).norm() / a.norm()).item())


def entrywise_change(
    before: Float[Tensor, "n m"], after: Float[Tensor, "n m"], offset: float = 1e-4
) -> Quantity:
    """|| |after - before| / (|before| + offset) ||, entry by entry, as in the code of LGA.

    Small entries weigh as much as large ones, and the number grows with n: see `relative_change`.

    Example:
        >>> round(entrywise_change(torch.ones(2, 2), 3 * torch.ones(2, 2)).value, 3)
        4.0

    Source: Mok et al., CVPR 2022, https://arxiv.org/abs/2203.14577.
    """
    a, b = _pair(before, after)
    if reason := _overflow(a, b):
        return Quantity(None, reason)
    return Quantity(((b - a).abs() / (a.abs() + offset)).norm().item())


def check_labels(kernel: Float[Tensor, "n n"], labels: Int[Tensor, " n"]) -> None:
    """Refuse a kernel that is not square, and labels that are not one for each example."""
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"expected a square kernel, got shape {tuple(kernel.shape)}")
    if labels.shape != kernel.shape[:1]:
        raise ValueError(f"expected {len(kernel)} labels, got shape {tuple(labels.shape)}")


def _cosine(a: Tensor, b: Tensor, centred: Callable[[Matrix], Matrix], when: str) -> Quantity:
    a, b = _pair(a, b)
    if reason := _overflow(a, b):
        return Quantity(None, reason)
    a, b = _unit(a), _unit(b)
    for kernel in (a, b):
        # What centring leaves of a constant is its rounding error.
        if not centred(kernel).norm() > kernel.numel() * torch.finfo(torch.float64).eps:
            return Quantity(None, f"a kernel is {when}: nothing can be aligned with it")
    x, y = _unit(centred(a)), _unit(centred(b))
    return Quantity(min(1.0, max(-1.0, (x * y).sum().item())))


def _pair(a: Tensor, b: Tensor) -> tuple[Matrix, Matrix]:
    if a.shape != b.shape or not a.numel():
        raise ValueError(
            f"expected two kernels of one shape, of one entry or more, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
    return a.detach().as_subclass(Tensor).double(), b.detach().as_subclass(Tensor).double()


def _overflow(*kernels: Matrix) -> str:
    if all(is_finite(kernel) for kernel in kernels):
        return ""
    return "the kernel holds NaN or infinity: a pass through the network overflowed"


def _unit(x: Matrix) -> Matrix:
    """x / ||x||, or zero; divided twice so that no square overflows."""
    x = x / x.abs().max().clamp_min(torch.finfo(x.dtype).tiny)
    return x / x.norm().clamp_min(1)
