"""Eigenvalues of a kernel in float64, and how far they can be trusted."""

from dataclasses import dataclass
from math import exp

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from untrained.analysis.kernel import is_finite, symmetric
from untrained.analysis.power_law import PowerLaw, power_law
from untrained.analysis.rounding import Rounding, rounding_of


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a symmetric positive semi-definite kernel, and what is read from them."""

    eigenvalues: Float64[Tensor, " n"]
    "Ascending; empty if the kernel holds NaN or infinity."
    resolution: float
    "Eigenvalues below this share of the largest are rounding noise."
    mean: float | None
    "Of all entries of the kernel; None if it holds NaN or infinity."
    assumed: str = ""
    "What `resolution` takes for granted of a kernel that does not say how it was computed."

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
    def reason(self) -> str:
        """Why the condition number is not resolved; empty if it is."""
        if self.degenerate:
            return self.degenerate
        share = (self.eigenvalues[0] / self.eigenvalues[-1]).item()
        if share < self.resolution:
            return (
                f"smallest / largest eigenvalue {share:.1e} is below the resolution "
                f"{self.resolution:.1e}: equal inputs, or a kernel of lower rank"
                + (self.assumed and f"; {self.assumed}")
            )
        return ""

    @property
    def condition_number(self) -> float | None:
        """kappa = lambda_max / lambda_min; None where `reason` says why."""
        if self.reason:
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
        """exp(-sum_i p_i log p_i), p = lambda / sum lambda of the resolved; None without any.

        Source: Roy & Vetterli, "The effective rank", EUSIPCO 2007.
        """
        if not len(self.resolved):
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
        kernel: symmetric. A `Kernel` knows how far rounding moves its eigenvalues, see `rounding`;
            and so may any type with an attribute `resolution`, the share of the largest eigenvalue
            below which eigenvalues are noise.
        precision: in which the J of Theta = J J^T was computed, summed in float64. A relative
            error n eps of the singular values of J is (n eps)^2 of their squares, and the sum has
            one of n eps of its own type: below the larger share of the largest, eigenvalues are
            noise. None believes what the kernel says, and of one that says nothing that its
            entries are good to float32, whatever their type.

    Raises:
        ValueError: the kernel is not square.

    Example:
        >>> spectrum(torch.diag(torch.tensor([1.0, 4.0]))).condition_number
        4.0
    """
    theta = symmetric(kernel)
    values = torch.linalg.eigvalsh(theta) if is_finite(theta) else theta.new_empty(0)
    return spectrum_of(kernel, values, precision)


def spectrum_of(
    kernel: Float[Tensor, "n n"],
    eigenvalues: Float64[Tensor, " r"],
    precision: torch.dtype | None = None,
) -> Spectrum:
    """The same from eigenvalues that are known already; none if the kernel is not finite."""
    n = len(kernel)
    rounding, assumed = _rounding(kernel, precision)
    if not len(eigenvalues):
        return Spectrum(eigenvalues, rounding.share(n), None, assumed)
    resolution = rounding.resolution(n, eigenvalues[-1].item())
    mean = kernel.mean(dtype=torch.float64).item()
    return Spectrum(eigenvalues, resolution, mean, assumed)


def _rounding(kernel: Tensor, precision: torch.dtype | None) -> tuple[Rounding, str]:
    """What is known of the rounding of a kernel, or else assumed; and that it is assumed."""
    own = torch.finfo(kernel.dtype).eps
    if precision is not None:
        return Rounding(torch.finfo(precision).eps, own, 0.0), ""
    if (known := rounding_of(kernel)) is not None:
        return known, ""
    share: float | None = getattr(kernel, "resolution", None)
    if share is not None:
        return Rounding(0.0, share / len(kernel), 0.0), ""
    single = torch.finfo(torch.float32).eps
    return Rounding(0.0, max(single, own), 0.0), ASSUMED if own < single else ""


ASSUMED = (
    "a matrix that does not say how it was computed is taken to be good to float32: if its "
    "entries are exact to float64, say precision=torch.float64"
)
