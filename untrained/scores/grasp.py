"""GraSP: what the removal of weights does to the flow of gradients."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import policy_mode
from untrained.networks.choices import Policy
from untrained.networks.unwrapping import differentiable
from untrained.scores.loss_gradient import derivatives, differentiating, loss_of, trainable_weights
from untrained.scores.score import Reading, Score, finite


@dataclass(frozen=True)
class GraSP(Score):
    """-sum_w w [H g], with g and H the gradient and the Hessian of the loss of a batch.

        H g = d/dw (g* . g),    g* = g held constant

    Weights and loss are those of `loss_gradient`. To first order, ||g||^2 changes by -2 w [H g]
    without the weight w. The paper divides logits by a temperature of 200 and removes the weights
    of largest -w [H g]; this is the sum of the code of Abdelfattah et al., whose temperature is 1.

    Source: Wang, Zhang & Grosse, "Picking Winning Tickets Before Training by Preserving Gradient
    Flow", ICLR 2020, https://arxiv.org/abs/2002.07376; Abdelfattah et al., ICLR 2021,
    https://arxiv.org/abs/2101.08134.
    """

    meaning: ClassVar = (
        "Minus the sum over weights of weight times the Hessian's product with the gradient of "
        "the loss (GraSP): how the removal of weights would change the flow of gradients."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(64)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        network = differentiable(network, self.batchnorm)
        w = list(trainable_weights(network).values())
        with differentiating(network, policy_mode(self.batchnorm, network)):
            loss = loss_of(network, probe.inputs, probe.labels)
            g = derivatives(loss, w, create_graph=True)
            product = torch.stack([(each.detach() * each).sum() for each in g]).sum()
            hg = derivatives(product, w)
        products = zip(w, hg, strict=True)
        return finite(-sum((p.detach().double() * h.double()).sum().item() for p, h in products))
