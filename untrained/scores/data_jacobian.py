"""Scores of the data Jacobian: how the outputs change with the images' pixels.

    J_i = d (sum_k f_k(x_i)) / d x_i

One forward and backward pass serves all scores that are shown the same probe.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from untrained.analysis.pearson import row_correlations
from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.interception import gradients
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import unwrapped
from untrained.scores.loss_gradient import differentiating
from untrained.scores.score import Reading, View, ViewScore

FLOOR = 1e-5
"What the published codes add to an eigenvalue or correlation, of which a logarithm is taken."


@dataclass(frozen=True)
class DataJacobianView(View):
    """J of the probe, a row for each image."""

    batchnorm: Policy

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> Float[Tensor, "n d"]:
        model = unwrapped(network)
        with foreign(probe.inputs), differentiating(model, policy_mode(self.batchnorm, model)):
            x = probe.inputs.clone().requires_grad_()
            f = flattened(model(x.clone()), len(x))  # a network may change its input in place
            if not f.requires_grad:
                raise ValueError("the output does not depend on the image: it has no Jacobian")
            (j,) = gradients(f.sum(), [x], materialize_grads=True)
        return j.flatten(1)


@dataclass(frozen=True)
class DataJacobianScore(ViewScore):
    """A number that J gives."""

    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=256, at_most=True)
    weights: ClassVar = "kaiming_fan_in"

    @property
    def view(self) -> DataJacobianView:
        return DataJacobianView(self.batchnorm)


@dataclass(frozen=True)
class JacobianCovariance(DataJacobianScore):
    """-sum_i [log(l_i + k) + 1 / (l_i + k)], k = 1e-5; higher tells images apart.

    l_i are the eigenvalues of the Pearson correlation matrix of the rows of J. Known as
    jacob_cov, jacov and NASWOT's first version. Published codes solve for eigenvalues as of any
    square matrix, where rounding can make pairs of them complex; here the matrix is symmetric.
    With more images than numbers in one, some l_i are zero whatever the network, and add 1e5 each.

    Source: Mellor, Turner, Storkey & Crowley, "Neural Architecture Search without Training",
    first version, 2020, https://arxiv.org/abs/2006.04647v1, which takes 256 images and
    whole networks.
    """

    meaning: ClassVar = (
        "How little the gradients of the outputs with respect to the pixels resemble each other "
        "between images (jacob_cov). Where they differ, the network tells images apart."
    )

    def of(self, seen: Float[Tensor, "n d"], probe: Probe) -> Reading:
        correlations, reason = correlations_of(seen)
        if correlations is None:
            return Reading(None, reason)
        values = torch.linalg.eigvalsh(correlations).clamp(min=0) + FLOOR
        return Reading(-(values.log() + 1 / values).sum().item())


@dataclass(frozen=True)
class EPENAS(DataJacobianScore):
    """sum_c |s_c|, s_c = sum_ij log(|C^c_ij| + k), k = 1e-5; higher tells images apart.

    C^c is the correlation matrix of those rows of J whose image is of class c. With more than 100
    classes, as the authors do, s_c is divided by the number of images of its class, and the score
    is sum_{c, d} |s_c - s_d| / (number of classes present).

    Source: Lopes, Alirezazadeh & Alexandre, "EPE-NAS: Efficient Performance Estimation Without
    Training for Neural Architecture Search", ICANN 2021, https://arxiv.org/abs/2102.08099, which
    takes whole networks.
    """

    meaning: ClassVar = (
        "How little the gradients of the outputs with respect to the pixels resemble each other "
        "between images of one class (EPE-NAS)."
    )

    def of(self, seen: Float[Tensor, "n d"], probe: Probe) -> Reading:
        sums = []
        for c in probe.labels.unique():
            rows = seen[probe.labels == c]
            correlations, reason = correlations_of(rows)
            if correlations is None:
                return Reading(None, reason)
            total = (correlations.abs() + FLOOR).log().sum()
            sums.append(total / len(rows) if probe.classes > 100 else total)
        s = torch.stack(sums)
        if probe.classes <= 100:
            return Reading(s.abs().sum().item())
        return Reading(((s[:, None] - s).abs().sum() / len(s)).item())


def correlations_of(
    j: Float[Tensor, "n d"],
) -> tuple[Float64[Tensor, "n n"] | None, str]:
    """C_ij, Pearson's correlation of rows i and j of J; or None and the reason."""
    if not j.isfinite().all():
        return None, "the Jacobian is NaN or infinite: a pass through the network overflowed"
    found = row_correlations(j)
    if not found.diagonal().all():
        return None, "for some image, the output depends on all pixels alike, or on none"
    return found, ""
