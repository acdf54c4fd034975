"""Eigenvalues of a kernel in float64, and how far they can be trusted."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a symmetric positive semi-definite kernel."""

    eigenvalues: Float64[Tensor, " n"]
    "Ascending; empty if the kernel holds NaN or infinity."
    resolution: float
    "Eigenvalues below this share of the largest are rounding noise."

    @property
    def unresolved(self) -> str:
        """Why the condition number is not resolved; empty if it is."""
        if not len(self.eigenvalues):
            return "the kernel holds NaN or infinity: a pass through the network overflowed"
        smallest, largest = self.eigenvalues[0].item(), self.eigenvalues[-1].item()
        if largest <= 0:
            return "the kernel is zero: the output does not depend on the parameters"
        if smallest < self.resolution * largest:
            return (
                f"smallest / largest eigenvalue {smallest / largest:.1e} is below the resolution "
                f"{self.resolution:.1e}: equal inputs, or a kernel of lower rank"
            )
        return ""

    @property
    def condition_number(self) -> float | None:
        """kappa = lambda_max / lambda_min; None where `unresolved` says why."""
        if self.unresolved:
            return None
        return (self.eigenvalues[-1] / self.eigenvalues[0]).item()


def spectrum(kernel: Float[Tensor, "n n"], precision: torch.dtype = torch.float32) -> Spectrum:
    """The spectrum of a kernel.

    Args:
        kernel: symmetric.
        precision: in which the J of Theta = J J^T was computed, summed in float64. A relative
            error n eps of the singular values of J is (n eps)^2 of their squares, and the sum has
            one of n eps itself: below the larger share of the largest, eigenvalues are noise.

    Raises:
        ValueError: the kernel is not square.

    Example:
        >>> spectrum(torch.diag(torch.tensor([1.0, 4.0]))).condition_number
        4.0
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"expected a square kernel, got shape {tuple(kernel.shape)}")
    eps_j, eps_theta = (torch.finfo(dtype).eps for dtype in (precision, torch.float64))
    resolution = max((len(kernel) * eps_j) ** 2, len(kernel) * eps_theta)
    theta = kernel.double()
    if not torch.isfinite(theta).all():
        return Spectrum(theta.new_empty(0), resolution)
    return Spectrum(torch.linalg.eigvalsh((theta + theta.T) / 2), resolution)
