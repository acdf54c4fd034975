"""How many channels a network has that say what no others say: our own score."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.analysis.pearson import row_correlations
from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Policy
from untrained.networks.feature_maps import feature_maps
from untrained.scores.score import Reading, Score

RIDGE = 1e-6
"Added to the eigenvalues of correlation matrices, which are of rounding size where they are zero."


@dataclass(frozen=True)
class IndependentChannels(Score):
    """sum_l sum_i (1 - R_li^2), R_li^2 how much the other channels explain of channel i in map l.

    R^2 is that of least squares: the share of the channel's variance over images and positions
    that a linear function of the other channels of its feature map gives. With P the correlation
    matrix of the channels,

        1 - R_i^2 = 1 / (P^-1)_ii

    whose inverse is known as the variance inflation factor. So the score is a number of channels:
    one that correlates with no other counts 1, and one that is constant or that others give by
    a linear function, such as each of two copies, counts nothing. Feature maps are those of
    `untrained.networks.feature_maps`. Of a map with as many channels as it has images times
    positions, or more, none counts: there any channel is a function of the others. A network
    without positions, such as an MLP, is shown the whole probe, and the units of its hidden layers
    are the channels.

    Source: ours; see `docs/scores.md`. `MeCo` takes the smallest eigenvalue of P, which any one
    channel decides, and which falls as channels are added.
    """

    meaning: ClassVar = (
        "Number of channels, over all feature maps, that the other channels of their map do not "
        "explain: the sum of what least squares leaves of each."
    )
    unit: ClassVar = "channels"
    images: int = 8
    "Images of the probe that a network with positions is shown."
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=256, at_most=True)
    weights: ClassVar = "kaiming_fan_in"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        some = probe.inputs[: self.images]
        maps = feature_maps(network, some, batchnorm=self.batchnorm)
        if not maps:
            maps = feature_maps(network, probe.inputs, batchnorm=self.batchnorm, units=True)[:-1]
        if not maps:
            return Reading(None, "the network has neither feature maps nor hidden units")
        return Reading(sum(map(independent_channels, maps)))


def independent_channels(each: Float[Tensor, "n c p"]) -> float:
    """sum_i 1 / (P^-1)_ii, P the correlations of channels over images and positions."""
    p = row_correlations(each.transpose(0, 1).flatten(1))
    values, vectors = torch.linalg.eigh(p)
    inflation = vectors.square() @ (1 / (values.clamp(min=0) + RIDGE))
    return (1 / inflation).sum().item()
