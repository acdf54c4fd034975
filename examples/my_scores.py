"""A score of one's own: a frozen dataclass, called on a network, a probe and a generator."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained import Probe, Reading, Score


@dataclass(frozen=True)
class OutputSpread(Score):
    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    meaning: ClassVar = "How far the outputs for different images lie apart."

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        with torch.no_grad():
            outputs = network(probe.inputs)
        return Reading(float(torch.pdist(outputs).mean() / outputs.norm(dim=1).mean()))
