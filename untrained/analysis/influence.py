"""What one example does to what a Gaussian process predicts: leave-one-out distinguishability.

Of the process without example i, let C be the covariance, and mu_i and v_i = C(i, i) + noise the
mean and variance of the target y_i. With it, at queries q,

    mean          m(q) + g_i(q) (y_i - mu_i),    g_i(q) = C(q, i) / v_i
    covariance    C(q, q') - g_i(q) v_i g_i(q')

That is how an example is added. For one that is there, the same numbers follow from the process
with it, by the inverse of A = K_tt + e I and the scale sigma^2 of `posterior`:

    g_i(q) = [K_vt A^-1]_qi,    v_i = sigma^2 / [A^-1]_ii,    y_i - mu_i = [A^-1 Y]_i / [A^-1]_ii

How far apart the two processes are: the distance of their means, and their divergence,

    KL(with || without) = K/2 (-s - log(1 - s)) + |y_i - mu_i|^2 s / (2 v_i)

for K outputs, with s = v_i g_i(q)^2 / C(q, q) at one query and v_i g_i^T C^-1 g_i at all jointly.
Ridge and scale are those of the examples at the start: neither is fitted again.

Source: Ye, Borovykh, Hayou & Shokri, "Leave-one-out Distinguishability in Machine Learning", ICLR
2024, https://arxiv.org/abs/2309.17310; Rasmussen & Williams, "Gaussian Processes for Machine
Learning", 2006, section 5.4.2 (the inverse with an example left out).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import is_finite, plain
from untrained.analysis.posterior import conditioned, fitted
from untrained.analysis.regression import RIDGES, RidgeChoice, entries_of, targets_of


@dataclass(frozen=True)
class Influence:
    """What each of n examples does to the process at m queries."""

    gain: Float64[Tensor, "n m"]
    "g: by how much the mean at a query follows the target of an example."
    residual: Float64[Tensor, "n k"]
    "y_i - mu_i, what the others do not say of an example."
    variance: Float64[Tensor, " n"]
    "v_i, of each target given the others."
    share: Float64[Tensor, "n m"]
    "s in [0, 1]: of the variance at a query, what the example explains; NaN if not resolved."
    joint_share: Float64[Tensor, " n"]
    "s of all queries jointly; NaN if not resolved."
    reason: str
    "Why some shares are not resolved; empty if all are."

    @property
    def mean_distance(self) -> Float64[Tensor, "n m"]:
        """|m_with(q) - m_without(q)|, over the K outputs."""
        return self.gain.abs() * self.residual.norm(dim=1)[:, None]

    @property
    def divergence(self) -> Float64[Tensor, "n m"]:
        """KL(with || without) at each query by itself, in nats; the largest leaks most."""
        return self._divergence(self.share)

    @property
    def joint_divergence(self) -> Float64[Tensor, " n"]:
        """KL(with || without) of all queries jointly, in nats."""
        return self._divergence(self.joint_share[:, None])[:, 0]

    def _divergence(self, s: Float64[Tensor, "n m"]) -> Float64[Tensor, "n m"]:
        k = self.residual.shape[1]
        misfit = self.residual.square().sum(1) / self.variance
        return k / 2 * (-s - torch.log1p(-s)).clamp(min=0) + misfit[:, None] * s / 2


def influence_of_removing(
    kernel: Float[Tensor, "t t"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    classes: int | None = None,
    ridges: Sequence[float] = RIDGES,
    by: RidgeChoice = "log_marginal_likelihood",
) -> Influence:
    """What each of n training examples does to the predictions at m queries, in closed form.

    Args:
        kernel: K of the n training examples, then the m queries; an NNGP, or an NTK.
        labels: class numbers of the first, whose targets are one-hot minus 1 / K; or the targets.
        classes: K; None means one more than the largest label.
        ridges: eps to choose from, in units of tr(K_tt) / n.
        by: what chooses, with all n examples.

    Raises:
        ValueError: as `posterior`; NaN or infinity at the queries.

    Example:
        >>> x = torch.tensor([0.0, 0.1, 3.0, 3.05], dtype=torch.float64)[:, None]
        >>> k = torch.exp(-torch.cdist(x, x) ** 2 / 2)
        >>> found = influence_of_removing(k, x[:3].sin(), ridges=[0.01])
        >>> int(found.divergence[:, 0].argmax())  # what the query at 3.05 leaks most of
        2
    """
    fit, r = fitted(kernel, labels, classes, ridges, by)
    with_all = conditioned(fit, r, kernel)
    n, u, inverse = len(labels), fit.eigenvectors, fit.inverse[r]
    diagonal = u.square() @ inverse  # [A^-1]_ii
    v = fit.scale[r] / diagonal
    gain = u @ (inverse[:, None] * (u.T @ plain(kernel)[:n, n:]))
    residual = u @ (inverse[:, None] * fit.rotated) / diagonal[:, None]
    # C = C_with + g v g^T, so that s = left / (1 + left), left = v g^T C_with^-1 g
    left, joint, reason = _shares(gain, v, with_all.covariance, _floor(kernel, fit.scale[r]))
    return Influence(gain, residual, v, left / (1 + left), joint / (1 + joint), reason)


def influence_of_adding(
    kernel: Float[Tensor, "t t"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    added: Int[Tensor, " c"] | Float[Tensor, "c k"],
    *,
    classes: int | None = None,
    ridges: Sequence[float] = RIDGES,
    by: RidgeChoice = "log_marginal_likelihood",
) -> Influence:
    """What each of c further examples, added by itself, would do to the predictions.

    Args:
        kernel: K of the n training examples, then the c others, then the m queries.
        labels: as of `influence_of_removing`.
        added: those of the c others.
        classes: as of `influence_of_removing`.
        ridges: as of `influence_of_removing`.
        by: as of `influence_of_removing`, with the n training examples.

    Raises:
        ValueError: as `influence_of_removing`; no query.
    """
    fit, r = fitted(kernel, labels, classes, ridges, by)
    without = conditioned(fit, r, kernel)
    c, covariance = len(added), without.covariance
    if len(covariance) <= c:
        raise ValueError(
            f"expected a kernel of {len(labels)} training examples, {c} others and then queries, "
            f"got {len(kernel)} rows"
        )
    v = covariance.diagonal()[:c] + without.noise
    gain = covariance[:c, c:] / v[:, None]
    residual = targets_of(added, fit.targets.shape[1]) - without.mean[:c]
    floor = _floor(kernel, fit.scale[r])
    share, joint, reason = _shares(gain, v, covariance[c:, c:], floor)
    return Influence(gain, residual, v, share, joint, reason)


def _floor(kernel: Tensor, scale: Tensor) -> float:
    """The variance below which what the examples leave of a prior variance is rounding noise."""
    largest = kernel.diagonal().max().item()
    return entries_of(kernel).resolution(len(kernel), largest) * largest * scale.item()


def _shares(
    gain: Float64[Tensor, "n m"],
    v: Float64[Tensor, " n"],
    covariance: Float64[Tensor, "m m"],
    floor: float,
) -> tuple[Float64[Tensor, "n m"], Float64[Tensor, " n"], str]:
    """v g^2 / C(q, q), v g^T C^-1 g, and why some are not resolved."""
    if not is_finite(covariance):
        raise ValueError("expected a kernel of finite numbers, got NaN or infinity at the queries")
    variance = covariance.diagonal()
    share = v[:, None] * gain.square() / variance.where(variance > floor, torch.nan)
    s, u = torch.linalg.eigh(covariance)
    joint = v * ((gain @ u).square() / s.where(s[0] > floor, torch.nan)).sum(1)
    unresolved = int((variance <= floor).sum())
    if unresolved:
        reason = f"the variance of {unresolved} of {len(s)} queries is rounding noise"
    elif s[0] <= floor:
        reason = "the joint covariance of the queries is singular up to rounding noise"
    else:
        return share, joint, ""
    return share, joint, f"{reason}: try a larger ridge, or other queries"
