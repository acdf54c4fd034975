"""The size of the weights, without images and without a pass."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.unwrapping import unwrapped
from untrained.scores.loss_gradient import trainable_weights
from untrained.scores.score import Reading, Score, finite


@dataclass(frozen=True)
class WeightNorm(Score):
    """sum_l ||w_l||_2 over the weights of layers, those that no path leads to among them.

    Weights are the trainable parameters of two dimensions or more. On a random network this is a
    function of its sizes, but for noise.

    Source: `l2_norm` of Krishnakumar et al., "NAS-Bench-Suite-Zero", NeurIPS 2022,
    https://arxiv.org/abs/2210.03230, which takes whole networks.
    """

    meaning: ClassVar = "Sum over layers of the Euclidean norm of the weights."
    higher_is_better: ClassVar = True
    of_function: ClassVar = False  # weights that no path leads to count
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        weights = trainable_weights(unwrapped(network)).values()
        return finite(sum(p.detach().double().norm().item() for p in weights))
