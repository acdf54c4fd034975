"""Eigenvalues of a kernel in float64, and how far they can be trusted."""

from dataclasses import dataclass
from math import exp

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from untrained.kernels.power_law import PowerLaw, power_law


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a symmetric positive semi-definite kernel, and what is read from them."""

    eigenvalues: Float64[Tensor, " n"]
    "Ascending; empty if the kernel holds NaN or infinity."
    resolution: float
    "Eigenvalues below this share of the largest are rounding noise."
    mean: float | None
    "Of all entries of the kernel; None if it holds NaN or infinity."

    @property
    def degenerate(self) -> str:
        """Why no eigenvalue can be compared with another; empty if they can."""
        if not len(self.eigenvalues):
            return "the kernel holds NaN or infinity: a pass through the network overflowed"
        smallest, largest = self.eigenvalues[0].item(), self.eigenvalues[-1].item()
        if smallest < -self.resolution * abs(largest):
            return (
                f"the smallest eigenvalue is {smallest:.1e} and the largest {largest:.1e}: a "
                f"kernel has none below zero, but for rounding"
            )
        if largest <= 0:
            return "the kernel is zero: the output does not depend on the parameters"
        return ""

    @property
    def unresolved(self) -> str:
        """Why the condition number is not resolved; empty if it is."""
        if self.degenerate:
            return self.degenerate
        share = (self.eigenvalues[0] / self.eigenvalues[-1]).item()
        if share < self.resolution:
            return (
                f"smallest / largest eigenvalue {share:.1e} is below the resolution "
                f"{self.resolution:.1e}: equal inputs, or a kernel of lower rank"
            )
        return ""

    @property
    def condition_number(self) -> float | None:
        """kappa = lambda_max / lambda_min; None where `unresolved` says why."""
        if self.unresolved:
            return None
        return (self.eigenvalues[-1] / self.eigenvalues[0]).item()

    @property
    def resolved(self) -> Float64[Tensor, " r"]:
        """lambda_1 >= ... >= lambda_r, those above the resolution; none if `degenerate`."""
        if self.degenerate:
            return self.eigenvalues[:0]
        floor = self.resolution * self.eigenvalues[-1]
        return self.eigenvalues[self.eigenvalues >= floor].flip(0)

    @property
    def trace(self) -> float | None:
        """tr Theta = sum_i lambda_i; None if the kernel holds NaN or infinity."""
        return self.eigenvalues.sum().item() if len(self.eigenvalues) else None

    @property
    def norm(self) -> float | None:
        """||Theta||_F = sqrt(sum_i lambda_i^2); None if the kernel holds NaN or infinity."""
        return self.eigenvalues.norm().item() if len(self.eigenvalues) else None

    @property
    def effective_rank(self) -> float | None:
        """(tr Theta)^2 / ||Theta||_F^2, the participation ratio; None if `degenerate`."""
        if self.degenerate:
            return None
        return (self.eigenvalues.sum() ** 2 / self.eigenvalues.square().sum()).item()

    @property
    def entropy_rank(self) -> float | None:
        """exp(-sum_i p_i log p_i), p = lambda / sum lambda of the resolved; None if `degenerate`.

        Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007.
        """
        if self.degenerate:
            return None
        p = self.resolved / self.resolved.sum()
        return exp(-(p * p.log()).sum().item())

    @property
    def decay(self) -> PowerLaw:
        """The exponent a of lambda_i ~ i^-a over the resolved eigenvalues, from i = 1."""
        i = torch.arange(1, len(self.resolved) + 1).to(self.eigenvalues)
        return power_law(1 / i, self.resolved)


def spectrum(kernel: Float[Tensor, "n n"], precision: torch.dtype | None = None) -> Spectrum:
    """The spectrum of a kernel.

    Args:
        kernel: symmetric. If it has an attribute `resolution`, and no `precision` is given, that
            is the share of the largest eigenvalue below which eigenvalues are noise.
        precision: in which the J of Theta = J J^T was computed, summed in float64; None for
            float32. A relative error n eps of the singular values of J is (n eps)^2 of their
            squares, and the sum has one of n eps of its own type: below the larger share of the
            largest, eigenvalues are noise.

    Raises:
        ValueError: the kernel is not square.

    Example:
        >>> spectrum(torch.diag(torch.tensor([1.0, 4.0]))).condition_number
        4.0
    """
    resolution = resolution_of(kernel, precision)
    theta = kernel.detach().as_subclass(Tensor).double()
    if not torch.isfinite(theta).all():
        return Spectrum(theta.new_empty(0), resolution, None)
    values = torch.linalg.eigvalsh((theta + theta.T) / 2)
    return Spectrum(values, resolution, theta.mean().item() if len(theta) else None)


def resolution_of(kernel: Float[Tensor, "n n"], precision: torch.dtype | None) -> float:
    """The share of the largest eigenvalue below which eigenvalues are noise; see `spectrum`."""
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"expected a square kernel, got shape {tuple(kernel.shape)}")
    known: float | None = getattr(kernel, "resolution", None)
    if precision is None and known is not None:
        return known
    eps_j = torch.finfo(precision or torch.float32).eps
    return max((len(kernel) * eps_j) ** 2, len(kernel) * torch.finfo(kernel.dtype).eps)
