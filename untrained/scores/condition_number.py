"""The condition number of the neural tangent kernel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from untrained.analysis.spectrum import spectrum
from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Named, Policy
from untrained.scores.kernel import NTKView
from untrained.scores.score import Reading, ViewScore


@dataclass(frozen=True)
class ConditionNumber(ViewScore):
    """kappa = lambda_max / lambda_min of Theta on one mini-batch; lower is more trainable.

    Source: Chen, Gong & Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR
    2021, https://arxiv.org/abs/2102.11535, equation 3. As in the authors' code, Theta is that of
    the summed logits over all parameters called weight. Their code differentiates through the
    batch's statistics (`batchnorm="batch"`); here they are constants by default, which makes
    examples independent and the kernel an order of magnitude cheaper.
    """

    meaning: ClassVar = (
        "Largest eigenvalue of the neural tangent kernel (NTK) divided by the smallest. "
        "Where it is low, gradient descent learns all directions at a similar pace."
    )
    parameters: Named = "weights"
    "Whose kernel it is; see `untrained.kernels.ntk`."
    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."
    eigenvalues: Literal["float64", "released"] = "float64"
    """`released` repeats the authors' code, to explain its numbers: eigenvalues in float32, their
    ratio taken as it comes, even negative, and 1e5 in place of NaN."""

    higher_is_better: ClassVar = False
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(count=72, augment=True)
    weights: ClassVar = "kaiming_fan_out"

    @property
    def view(self) -> NTKView:
        return NTKView(self.parameters, self.batchnorm)

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        if self.eigenvalues == "released":
            return Reading(released_ratio(seen.as_subclass(torch.Tensor)))
        found = spectrum(seen)
        return Reading(found.condition_number, found.reason)


@dataclass(frozen=True)
class ReleasedConditionNumber(ConditionNumber):
    """kappa as the authors' code computes it, to explain its numbers.

    Through the statistics of the batch, with eigenvalues in float32 and their ratio as it comes:
    where rounding makes the smallest negative, so is kappa, and ranks best. For NaN it is 1e5.
    """

    meaning: ClassVar = (
        "Condition number of the NTK as the code of TE-NAS computes it, in float32 and through "
        "the statistics of the batch."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."
    eigenvalues: Literal["float64", "released"] = "released"
    "See `condition_number`."


def released_ratio(theta: torch.Tensor) -> float:
    """lambda_max / lambda_min as the authors' code takes it."""
    values = torch.linalg.eigvalsh(theta.float())
    return float((values[-1] / values[0]).nan_to_num(1e5, posinf=torch.inf, neginf=-torch.inf))
