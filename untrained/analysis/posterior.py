"""The Gaussian process behind a kernel regression, conditioned on what was seen.

    f | Y  ~  N(K_vt A^-1 Y,  sigma^2 (K_vv - K_vt A^-1 K_tv)),    A = K_tt + e I
    y      =  f + noise,      noise ~ N(0, sigma^2 e),             e = eps tr(K_tt) / n

with t the n training and v the other examples, the same covariance for each column of Y, and
sigma^2 fitted by maximum likelihood, as in `regression`.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 2.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import plain
from untrained.analysis.regression import RIDGES, Regression, RidgeChoice, regression


@dataclass(frozen=True)
class Posterior:
    """What a Gaussian process says of m examples."""

    mean: Float64[Tensor, "m k"]
    "Of f."
    covariance: Float64[Tensor, "m m"]
    "Of each column of f."
    noise: float
    "Variance that targets have beside it."
    ridge: float
    "eps."

    @property
    def deviation(self) -> Float64[Tensor, " m"]:
        """Standard deviation of f."""
        return self.covariance.diagonal().clamp(min=0).sqrt()

    def sample(self, count: int, generator: torch.Generator) -> Float64[Tensor, "count m k"]:
        """So many draws of f."""
        s, u = torch.linalg.eigh(self.covariance)
        root = u * s.clamp(min=0).sqrt()
        shape = count, *self.mean.shape
        z = torch.randn(shape, generator=generator, dtype=root.dtype)
        return self.mean + root @ z

    def negative_log_likelihood(self, targets: Float[Tensor, "m k"]) -> float:
        """-log p(y), each example by itself: the mean over examples and columns, in nats."""
        variance = (self.deviation.square() + self.noise)[:, None]
        squares = (targets.double() - self.mean).square() / variance
        return ((2 * pi * variance).log() + squares).mean().item() / 2

    def coverage(
        self, targets: Float[Tensor, "m k"], levels: Sequence[float] = (0.5, 0.8, 0.95)
    ) -> dict[float, float]:
        """For each level, the share of targets inside the central interval of that probability.

        Where the process fits, shares are near their levels; smaller ones say that it is too sure.
        """
        deviation = (self.deviation.square() + self.noise).sqrt()[:, None]
        away = ((targets.double() - self.mean) / deviation).abs()
        return {
            level: (away <= sqrt(2) * torch.erfinv(torch.tensor(level))).double().mean().item()
            for level in levels
        }


def posterior(
    kernel: Float[Tensor, "t t"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    classes: int | None = None,
    ridges: Sequence[float] = RIDGES,
    by: RidgeChoice = "log_marginal_likelihood",
) -> Posterior:
    """The process conditioned on the first n examples of a kernel, of all others.

    Args:
        kernel: K of the n training examples, then the m others; an NNGP, or an NTK.
        labels: class numbers of the first, whose targets are one-hot minus 1 / K; or the targets.
        classes: K; None means one more than the largest label.
        ridges: eps to choose from, in units of tr(K_tt) / n.
        by: what chooses, of the training examples alone.

    Raises:
        ValueError: shapes that do not fit, or as `regression`; no ridge is resolved.

    Example:
        >>> x = torch.linspace(-3, 3, 40, dtype=torch.float64)[:, None]
        >>> k = torch.exp(-torch.cdist(x, x) ** 2 / 2)
        >>> found = posterior(k, x[:20].sin(), ridges=[1e-8])
        >>> near, far = found.deviation[0], found.deviation[-1]  # of what was seen
        >>> bool(near < 0.01 * far)
        True
    """
    return conditioned(*fitted(kernel, labels, classes, ridges, by), kernel)


def fitted(
    kernel: Tensor,
    labels: Tensor,
    classes: int | None,
    ridges: Sequence[float],
    by: RidgeChoice,
) -> tuple[Regression, int]:
    """The regression on the first n examples of a kernel, and which of its ridges is chosen."""
    n = len(labels)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) <= n:
        raise ValueError(
            f"expected a square kernel of {n} training examples and then others, got shape "
            f"{tuple(kernel.shape)}"
        )
    fit = regression(kernel[:n, :n], labels, classes=classes, ridges=ridges)
    return fit, fit.best(by)


def conditioned(fit: Regression, r: int, kernel: Float[Tensor, "t t"]) -> Posterior:
    """The process behind a regression on the first examples of a kernel, at its ridge number r."""
    n, k = len(fit.targets), plain(kernel)
    projected = k[n:, :n] @ fit.eigenvectors
    mean = projected @ (fit.inverse[r][:, None] * fit.rotated)
    explained = (projected * fit.inverse[r]) @ projected.T
    scale = fit.scale[r].item()
    covariance = scale * (k[n:, n:] - explained)
    return Posterior(
        mean, (covariance + covariance.T) / 2, scale * fit.noise[r].item(), fit.ridges[r].item()
    )
