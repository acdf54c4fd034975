"""Kernel regression and the Gaussian process behind it, for a whole grid of ridges at once.

One eigendecomposition serves every ridge and every question:

    K = U S U^T,    A = K + e I = U (S + e) U^T,    e = eps tr(K) / n

    prediction            K_vt A^-1 Y
    variance              sigma^2 (k_vv + e - K_vt A^-1 K_tv)
    leave-one-out         y_i - [A^-1 Y]_i / [A^-1]_ii,    its variance sigma^2 / [A^-1]_ii
    marginal likelihood   Y_k ~ N(0, sigma^2 A),  sigma^2 = sum_k Y_k^T A^-1 Y_k / (n K)

A kernel of p < n features, K = Z Z^T, has n - p further eigenvalues of zero. The singular values
of Z give the others, and what A^-1 does outside their eigenvectors is a division by e:

    A^-1 = U ((S + e)^-1 - e^-1) U^T + e^-1 I

with t for training and v for validation examples, and one scale sigma^2 for all K columns of Y,
fitted by maximum likelihood, so that no answer depends on the kernel's units.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.2, 2.3
and 5.4.2; the grid and the targets are those of Park et al., https://arxiv.org/abs/2011.06006.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log, pi
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import is_finite, plain, symmetric
from untrained.analysis.rounding import Rounding, rounding_of

RIDGES: tuple[float, ...] = tuple(10 ** (-7 + 9 * i / 19) for i in range(20))
"The published grid: 20 values of eps from 1e-7 to 1e2, evenly in the logarithm."

RidgeChoice = Literal["leave_one_out", "log_marginal_likelihood"]


def centred_one_hot(labels: Int[Tensor, " n"], classes: int) -> Float64[Tensor, "n k"]:
    """The published targets: one-hot minus 1 / K.

    Raises:
        ValueError: labels outside 0, ..., classes - 1.

    Example:
        >>> centred_one_hot(torch.tensor([1, 0]), 2)
        tensor([[-0.5000,  0.5000],
                [ 0.5000, -0.5000]], dtype=torch.float64)
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"expected labels from 0 to {classes - 1}, got {int(labels.min())} to "
            f"{int(labels.max())}; set classes"
        )
    return torch.nn.functional.one_hot(labels.long(), classes).double() - 1 / classes


@dataclass(frozen=True)
class Errors:
    """How predictions do, a number for each resolved ridge."""

    accuracy: Float64[Tensor, " r"] | None
    "Share of examples whose largest prediction is at the largest target; None for one column."
    squared_error: Float64[Tensor, " r"]
    "Mean over examples and columns of the targets."
    negative_log_likelihood: Float64[Tensor, " r"] | None
    "Mean over examples and columns, in nats; None without variances."


@dataclass(frozen=True)
class Regression:
    """A kernel regression for each ridge that float64 resolves."""

    ridges: Float64[Tensor, " r"]
    "eps, in units of tr(K) / n."
    skipped: tuple[str, ...]
    "Why each of the other ridges was skipped."
    noise: Float64[Tensor, " r"]
    "e = eps tr(K) / n."
    eigenvalues: Float64[Tensor, " p"]
    "S, ascending; where there are fewer than n, the others are zero."
    eigenvectors: Float64[Tensor, "n p"]
    "U."
    targets: Float64[Tensor, "n k"]
    "Y."

    @cached_property
    def inverse(self) -> Float64[Tensor, "r p"]:
        """(S + e)^-1 of each ridge."""
        return 1 / (self.eigenvalues + self.noise[:, None])

    @cached_property
    def rotated(self) -> Float64[Tensor, "p k"]:
        """U^T Y."""
        return self.eigenvectors.T @ self.targets

    @property
    def missing(self) -> int:
        """n - p, the eigenvalues that are zero and not listed."""
        return len(self.targets) - len(self.eigenvalues)

    @cached_property
    def outside(self) -> Float64[Tensor, "n k"]:
        """Y - U U^T Y, what no eigenvector reaches."""
        if not self.missing:
            return torch.zeros_like(self.targets)
        return self.targets - self.eigenvectors @ self.rotated

    @cached_property
    def scale(self) -> Float64[Tensor, " r"]:
        """sigma^2 = sum_k Y_k^T A^-1 Y_k / (n K)."""
        quadratic = (self.inverse @ self.rotated.square()).sum(1)
        return (quadratic + self.outside.square().sum() / self.noise) / self.targets.numel()

    @cached_property
    def log_determinant(self) -> Float64[Tensor, " r"]:
        """log det A."""
        return self.missing * self.noise.log() - self.inverse.log().sum(1)

    def predict(self, kernel: Float[Tensor, "m n"]) -> Float64[Tensor, "r m k"]:
        """K_vt A^-1 Y for each ridge, from the kernel between validation and training examples."""
        return self._mean(self._project(kernel))

    def errors(
        self,
        kernel: Float[Tensor, "m n"],
        labels: Int[Tensor, " m"] | Float[Tensor, "m k"],
        prior: Float[Tensor, " m"] | None = None,
    ) -> Errors:
        """How the predictions do on validation examples.

        Args:
            kernel: between validation and training examples.
            labels: of the validation examples; or their targets.
            prior: k(x, x) of the validation examples, for the likelihood.
        """
        targets = targets_of(labels, self.targets.shape[1])
        projected = self._project(kernel)
        variance = None
        if prior is not None:
            # k_vv + e - K_vt A^-1 K_tv; the difference without e is never negative but by rounding
            explained = self.inverse @ projected.square().T
            variance = (prior.double() - explained).clamp(min=0) + self.noise[:, None]
        return self._errors(self._mean(projected), targets, variance)

    @cached_property
    def leave_one_out(self) -> Errors:
        """How each training example is predicted from the others, at the same e."""
        solved = self.eigenvectors @ (self.inverse[:, :, None] * self.rotated)  # A^-1 Y
        diagonal = self.inverse @ self.eigenvectors.square().T  # [A^-1]_ii
        if self.missing:
            solved = solved + self.outside / self.noise[:, None, None]
            beyond = (1 - self.eigenvectors.square().sum(1)).clamp(min=0)
            diagonal = diagonal + beyond / self.noise[:, None]
        predicted = self.targets - solved / diagonal[:, :, None]
        return self._errors(predicted, self.targets, 1 / diagonal)

    @cached_property
    def log_marginal_likelihood(self) -> Float64[Tensor, " r"]:
        """log p(Y) in nats for each ridge, at the fitted scale; the sum over the columns of Y.

        -n K / 2 (1 + log(2 pi sigma^2)) - K / 2 log det A
        """
        n, k = self.targets.shape
        return -n * k / 2 * (1 + (2 * pi * self.scale).log()) - k / 2 * self.log_determinant

    def log_marginal_likelihood_at(self, scale: float | int) -> Float64[Tensor, " r"]:
        """log p(Y) in nats for each ridge, at a given sigma^2; 1 takes the kernel as it is.

        -1/2 sum_k Y_k^T A^-1 Y_k / sigma^2 - n K / 2 log(2 pi sigma^2) - K / 2 log det A
        """
        n, k = self.targets.shape
        quadratic = n * k * self.scale / scale
        return -quadratic / 2 - n * k / 2 * log(2 * pi * scale) - k / 2 * self.log_determinant

    def best(self, by: RidgeChoice = "leave_one_out") -> int:
        """Position in `ridges` of the best one by the training examples alone.

        By the least squared error of leaving one out, which has no ties as its accuracy has, or
        by the largest marginal likelihood.

        Raises:
            ValueError: unknown choice, or no ridge is resolved.
        """
        if not len(self.ridges):
            raise ValueError(f"no ridge is resolved: {self.skipped[-1]}")
        if by == "leave_one_out":
            return int(self.leave_one_out.squared_error.argmin())
        if by == "log_marginal_likelihood":
            return int(self.log_marginal_likelihood.argmax())
        raise ValueError(
            f"unknown choice of ridge: expected leave_one_out or log_marginal_likelihood, got "
            f"{by!r}"
        )

    def _project(self, kernel: Tensor) -> Float64[Tensor, "m p"]:
        if kernel.ndim != 2 or kernel.shape[1] != len(self.targets):
            raise ValueError(
                f"expected a kernel of (validation, {len(self.targets)} training) examples, "
                f"got shape {tuple(kernel.shape)}; try its transpose"
            )
        return plain(kernel) @ self.eigenvectors

    def _mean(self, projected: Float64[Tensor, "m p"]) -> Float64[Tensor, "r m k"]:
        return projected @ (self.inverse[:, :, None] * self.rotated)

    def _errors(
        self,
        predicted: Float64[Tensor, "r m k"],
        targets: Float64[Tensor, "m k"],
        variance: Float64[Tensor, "r m"] | None,
    ) -> Errors:
        """Errors of predictions whose variance is given in units of sigma^2."""
        accuracy = nll = None
        if targets.shape[1] > 1:
            accuracy = (predicted.argmax(2) == targets.argmax(1)).double().mean(1)
        squared = (predicted - targets).square()
        if variance is not None:
            variance = (self.scale[:, None] * variance)[:, :, None]
            nll = ((2 * pi * variance).log() + squared / variance).mean((1, 2)) / 2
        return Errors(accuracy, squared.mean((1, 2)), nll)


def regression(
    kernel: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    classes: int | None = None,
    ridges: Sequence[float] = RIDGES,
    features: Float[Tensor, "n p"] | None = None,
) -> Regression:
    """Kernel regression on n training examples, for every ridge of a grid.

    Eigenvalues that are rounding noise count as zero. A ridge is resolved where
    (S_min + e) / (S_max + e) is above that noise; others are skipped, with their reason. A
    `Kernel` knows the noise of its entries, of another matrix it is n machine epsilons of its
    type; an eigenvalue below zero says that it is more.

    Args:
        kernel: K, symmetric and positive semi-definite; of NTKs, NNGPs, or a mixture.
        labels: class numbers, whose targets Y are one-hot minus 1 / K; or Y itself.
        classes: K; None means one more than the largest label.
        ridges: eps, in units of tr(K) / n.
        features: Z with K = Z Z^T, where there are fewer than n: the same answers, faster.

    Raises:
        ValueError: shapes that do not fit, a negative eigenvalue beyond rounding (that of a
            `Kernel`, or n machine epsilons of float32, whichever is more), a ridge that is
            not positive and finite, or targets that are all zero.

    Example:
        >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64)
        >>> fit = regression((x * x[:, None] + 1) ** 2, x[:, None] ** 2)  # parabolas
        >>> mean = fit.predict((x.new_tensor([[0.5]]) * x + 1) ** 2)
        >>> round(mean[0].item(), 4)
        0.25
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) != len(labels):
        raise ValueError(
            f"expected a square kernel and a label for each row, got shape {tuple(kernel.shape)} "
            f"and {len(labels)} labels"
        )
    if not all(0 < ridge < float("inf") for ridge in ridges):
        raise ValueError(f"expected positive and finite ridges, got {tuple(ridges)!r}")
    targets = targets_of(labels, classes)
    if not targets.any():
        raise ValueError("targets are all zero: expected something to predict")
    s, u, resolution = decomposed(kernel) if features is None else _of_features(features)
    unit = s.sum().item() / len(labels)  # tr(K) / n
    reasons = {ridge: _unresolved(ridge * unit, s, len(labels), resolution) for ridge in ridges}
    resolved = s.new_tensor([ridge for ridge, reason in reasons.items() if not reason])
    skipped = [f"ridge {ridge:.1e}: {reason}" for ridge, reason in reasons.items() if reason]
    return Regression(resolved, tuple(skipped), resolved * unit, s, u, targets)


def decomposed(
    kernel: Float[Tensor, "n n"],
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, "n n"], float]:
    """S and U of K = U S U^T, and the share of the largest below which S is rounding noise.

    An eigenvalue below zero says how large the noise is at least. More of it than entries in
    float32 have is no rounding.
    """
    k = symmetric(kernel)
    if not is_finite(k):
        return k.new_full((len(k),), torch.nan), torch.zeros_like(k), 0.0
    s, u = torch.linalg.eigh(k)
    smallest, largest = s[0].item(), s[-1].item()
    known = entries_of(kernel).resolution(len(k), largest)
    below = max(0.0, -smallest / largest) if largest > 0 else 0.0
    allowed = max(known, len(k) * torch.finfo(torch.float32).eps)
    if below > allowed or smallest < 0 >= largest:
        raise ValueError(
            f"expected a positive semi-definite kernel, got eigenvalues from {smallest:.1e} to "
            f"{largest:.1e}"
        )
    resolution = max(known, below)
    return s.where(s > resolution * largest, 0.0), u, resolution


def entries_of(kernel: Tensor) -> Rounding:
    """The rounding of K beside that of J, which gives another Z Z^T, to be solved as it is."""
    own = Rounding(0.0, torch.finfo(kernel.dtype).eps, 0.0)
    return replace(rounding_of(kernel) or own, factors=0.0)


def _of_features(
    z: Float[Tensor, "n p"],
) -> tuple[Float64[Tensor, " p"], Float64[Tensor, "n p"], float]:
    """The same of K = Z Z^T, without the eigenvalues that are zero for want of features."""
    z = z.double()
    if not is_finite(z):
        return z.new_full((z.shape[1],), torch.nan), torch.zeros_like(z), 0.0
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    return s.square().flip(0), u.flip(1), len(z) * torch.finfo(torch.float64).eps


def _unresolved(e: float, s: Float64[Tensor, " p"], n: int, resolution: float) -> str:
    """Why A = K + e I cannot be inverted in float64; empty if it can."""
    smallest, largest = s[0].item() if len(s) == n else 0.0, s[-1].item()
    if largest != largest:
        return "the kernel holds NaN or infinity"
    if largest == 0:
        return "the kernel is zero"
    share = (smallest + e) / (largest + e)
    if share < resolution:
        return f"smallest / largest eigenvalue {share:.1e} is below resolution {resolution:.1e}"
    return ""


def targets_of(labels: Tensor, classes: int | None) -> Float64[Tensor, "n k"]:
    """Y: that of class numbers, one more than the largest unless said, or as it is given.

    Raises:
        ValueError: labels of another shape or type, or that are not finite.
    """
    if not labels.isfinite().all():
        raise ValueError("expected finite targets, got NaN or infinity")
    if labels.ndim == 1 and not labels.is_floating_point():
        return centred_one_hot(labels, int(labels.max()) + 1 if classes is None else classes)
    if labels.ndim != 2 or (classes is not None and labels.shape[1] != classes):
        raise ValueError(
            f"expected class numbers of shape (n,), or targets of shape (n, {classes or 'k'}), "
            f"got {tuple(labels.shape)} of {labels.dtype}"
        )
    return labels.double()
