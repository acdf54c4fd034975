"""How much the NTK varies between random weights."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.ntk import ntk
from untrained.networks.borrowed import borrowed
from untrained.networks.choices import Named, Policy
from untrained.networks.unwrapping import unwrapped
from untrained.networks.weights import Initialisation
from untrained.scores.score import Reading, Score, finite


@dataclass(frozen=True)
class RandomNTKVariance(Score):
    """Z = E[t^2] / E[t]^2, t = tr Theta(x, x) = sum_k ||d f_k(x)||^2, over random weights.

    1 where every draw has the same kernel, as in the limit of infinite width; lower is better.
    The mean over the images of the probe, of which the paper takes one.

    Source: "Fast Neural Architecture Search with Random Neural Tangent Kernel", submitted to
    ICLR 2024.
    """

    meaning: ClassVar = (
        "How much the NTK of an image varies between random weights: its second moment over its "
        "squared mean, which is 1 where every draw gives the same kernel."
    )
    draws: int = 16
    "Draws of the weights that moments are taken over."
    initialisation: str = "kaiming_fan_in"
    "The law of the weights."
    parameters: Named = "all"
    "Whose kernel it is; see `untrained.kernels.ntk`."
    batchnorm: Policy = "running"
    "How BatchNorm is treated; it has no effect on a new draw under `running`."

    higher_is_better: ClassVar = False
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        if self.draws < 2:
            return Reading(None, f"expected two draws or more, got draws={self.draws!r}")
        network, x = unwrapped(network), probe.inputs
        with borrowed(network):
            initialisation = Initialisation.of(network, self.initialisation, x[:1])
            traces = torch.stack([self._trace(network, x, initialisation, generator)
                                  for _ in range(self.draws)])  # fmt: skip
        if not (traces > 0).all():
            return Reading(None, "the kernel of a draw is zero or not finite")
        return finite((traces.square().mean(0) / traces.mean(0).square()).mean().item())

    def _trace(
        self,
        network: nn.Module,
        x: torch.Tensor,
        initialisation: Initialisation,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """tr Theta(x, x) of each image on the next draw."""
        initialisation.draw(generator)
        theta = ntk(
            network, x, output="trace", parameters=self.parameters, batchnorm=self.batchnorm
        )
        return theta.diagonal().as_subclass(torch.Tensor)
