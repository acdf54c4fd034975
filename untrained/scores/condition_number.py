"""The condition number of the neural tangent kernel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.batchnorm import Policy
from untrained.kernels.ntk import ntk
from untrained.kernels.spectrum import spectrum
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class ConditionNumber(Score):
    """kappa = lambda_max / lambda_min of Theta on one mini-batch; lower is more trainable.

    Source: Chen, Gong & Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR
    2021, https://arxiv.org/abs/2102.11535, equation 3. As in the authors' code, Theta is that of
    the summed logits over all parameters called weight. Their code differentiates through the
    batch's statistics (`batchnorm="batch"`); here they are constants by default, which makes
    examples independent and the kernel an order of magnitude cheaper.
    """

    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.kernels.batchnorm`."
    eigenvalues: Literal["float64", "released"] = "float64"
    """`released` repeats the authors' code, to explain its numbers: eigenvalues in float32, their
    ratio taken as it comes, even negative, and 1e5 in place of NaN."""

    higher_is_better: ClassVar = False
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(count=72, augment=True)
    weights: ClassVar = "kaiming_fan_out"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        theta = ntk(
            network,
            probe.inputs,
            parameters="weights",
            batchnorm=self.batchnorm,
            precision="float64",  # the smallest eigenvalue is at stake
        )
        if self.eigenvalues == "released":
            return Reading(released_ratio(theta.as_subclass(torch.Tensor)))
        found = spectrum(theta)
        return Reading(found.condition_number, found.unresolved)


def released_ratio(theta: torch.Tensor) -> float:
    """lambda_max / lambda_min as the authors' code takes it."""
    values = torch.linalg.eigvalsh(theta.float())
    return float((values[-1] / values[0]).nan_to_num(1e5, posinf=torch.inf, neginf=-torch.inf))
