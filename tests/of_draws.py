"""Scores that say of what draws they are; in a file of their own, whose imports count as code."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images import Probe, ProbeSpec
from untrained.scores import Reading, Score


@dataclass(frozen=True)
class OfWeights(Score):
    """The sum of all parameters: equal for equal weights."""

    higher_is_better: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=4, patch=3, one_channel=True)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(sum(float(p.detach().double().sum()) for p in network.parameters()))


@dataclass(frozen=True)
class OfInputs(OfWeights):
    """The sum of all inputs: equal for equal images."""

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(probe.inputs.double().sum()))
