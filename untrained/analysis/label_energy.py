"""How much of the labels lies along which eigenvectors of a kernel.

    E_i = sum_c (u_i . y_c)^2 / sum_c ||y_c||^2,    Theta u_i = lambda_i u_i,  lambda_1 largest

with y_c the one-hot labels of class c less their mean; of one class alone, without the sums over
c. Training by gradient flow learns what lies along u_i at the rate lambda_i: energy at the top is
learnt first. Within equal eigenvalues, eigenvectors are arbitrary, and so is how they share their
energy.

    C(k) = sum_{i > k} E_i ~ lambda_k^b,    lambda_i ~ i^-a,    so C(k) ~ k^(-a b)

with b the source exponent: the larger, the easier the task is for the kernel.

Source: Bordelon, Atanasov & Pehlevan, "How Feature Learning Can Improve Neural Scaling Laws",
ICLR 2025, https://arxiv.org/abs/2409.17858 (the exponents).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.alignment import check_labels
from untrained.analysis.kernel import is_finite, symmetric
from untrained.analysis.power_law import PowerLaw, power_law
from untrained.analysis.spectrum import Spectrum, spectrum_of


@dataclass(frozen=True)
class LabelEnergy:
    """Shares of the labels' energy, eigenvector by eigenvector."""

    shares: Float64[Tensor, " n"]
    "E_i, the largest eigenvalue first; empty where `reason` says why."
    by_class: Float64[Tensor, "n k"]
    "(u_i . y_c)^2 / ||y_c||^2 of each class among the labels, in their order; empty likewise."
    spectrum: Spectrum
    reason: str = ""
    "Why there are no shares; empty if there are."

    @property
    def cumulative(self) -> Float64[Tensor, " n"]:
        """The share in the top 1, 2, ... n eigenvectors."""
        return self.shares.cumsum(0)

    def top(self, m: int) -> float | None:
        """The share in the top `m` eigenvectors; None where there is none."""
        if self.reason:
            return None
        if not 0 <= m <= len(self.shares):
            raise ValueError(f"expected from 0 to {len(self.shares)} eigenvectors, got {m!r}")
        return self.shares[:m].sum().item()

    @property
    def source(self) -> PowerLaw:
        """The exponent b of C(k) ~ lambda_k^b, where lambda_k and C(k) are resolved."""
        if self.reason:
            return PowerLaw(None, None, 0, self.reason)
        resolved = self.spectrum.resolved
        beyond = self.shares[1:].flip(0).cumsum(0).flip(0)[: len(resolved)]
        resolved = resolved[: len(beyond)]
        kept = beyond > len(self.shares) * torch.finfo(torch.float64).eps
        return power_law(resolved[kept], beyond[kept])


def label_energy(
    kernel: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"],
    precision: torch.dtype | None = None,
) -> LabelEnergy:
    """The energy of centred one-hot labels along the eigenvectors of a kernel.

    Args:
        kernel: symmetric.
        labels: classes, any integers.
        precision: as for `spectrum`.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> theta = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> label_energy(theta, torch.tensor([5, 5, 7])).cumulative
        tensor([0.3333, 1.0000, 1.0000], dtype=torch.float64)
    """
    check_labels(kernel, labels)
    theta = symmetric(kernel)
    values = u = theta.new_empty(0)
    if is_finite(theta):
        values, u = torch.linalg.eigh(theta)
    found = spectrum_of(kernel, values, precision)
    classes, place = labels.to(kernel.device).unique(return_inverse=True)
    reason = found.degenerate
    if not reason and len(classes) < 2:
        reason = "the labels are of one class: once centred, they are zero"
    if reason:
        return LabelEnergy(values[:0], values.new_empty(0, len(classes)), found, reason)
    y = F.one_hot(place).double()
    y = y - y.mean(0)
    along = (u.T @ y).square().flip(0)
    return LabelEnergy(along.sum(1) / y.square().sum(), along / y.square().sum(0), found)
