"""The evidence for a network by Laplace's approximation, from its NTK."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import nn

from untrained.analysis.evidence import softmax_curvature
from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.ntk import ntk
from untrained.networks.arguments import chosen_parameters
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.choices import Named, Policy
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import differentiable
from untrained.scores.score import Reading, Score, finite

PRECISIONS = tuple(10 ** (k / 4) for k in range(-24, 33))
"Of the prior, from 1e-6 to 1e8."


@dataclass(frozen=True)
class LaplaceEvidence(Score):
    """log p(Y | f) - delta/2 ||theta||^2 - 1/2 log det(I + T / delta), per image.

        T = L^T Theta L,    L L^T = diag(p_i) - p_i p_i^T for each image,    p = softmax(f)

    with Theta the NTK of all K outputs (n K square), and a prior N(0, 1 / delta) of the weights,
    at the delta for which it is largest. The expansion is around the weights at hand, whether or
    not they are a maximum. It costs K backward passes and an eigenvalue problem of n K.

    Source: Immer et al., "Stochastic Marginal Likelihood Gradients using Neural Tangent Kernels",
    ICML 2023, https://arxiv.org/abs/2306.03968.
    """

    meaning: ClassVar = (
        "Log marginal likelihood of the images' labels, per image, by Laplace's approximation "
        "around the current weights."
    )
    parameters: Named = "all"
    "Whose prior and kernel it is; see `untrained.kernels.ntk`."
    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    unit: ClassVar = "nats"
    higher_is_better: ClassVar = True
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(24)
    weights: ClassVar = "kaiming_fan_out"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        network = differentiable(network, self.batchnorm)
        with evaluating(network), policy_mode(self.batchnorm, network), torch.no_grad():
            f = flattened(network(probe.inputs.clone()), len(probe.inputs)).double()
        theta = ntk(
            network,
            probe.inputs,
            output="full",
            parameters=self.parameters,
            batchnorm=self.batchnorm,
        )
        weights = chosen_parameters(network, self.parameters).values()
        squares = sum(p.detach().double().square().sum().item() for p in weights)
        log_p = f.log_softmax(1)
        fit = log_p.gather(1, probe.labels[:, None]).sum().item()
        if not isfinite(fit + squares) or not theta.isfinite().all():
            return Reading(None, "outputs, weights or kernel hold NaN or infinity")
        values = torch.linalg.eigvalsh(softmax_curvature(theta, log_p.exp())).clamp(min=0)
        evidence = [
            fit - delta / 2 * squares - (values / delta).log1p().sum().item() / 2
            for delta in PRECISIONS
        ]
        return finite(max(evidence) / len(f))
