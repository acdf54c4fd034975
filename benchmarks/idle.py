"""A task that takes as long as it is asked to, for `engines.py`: workers import it by name."""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images import Probe, ProbeSpec
from untrained.scores import Reading, Score
from untrained.spaces.choose import Choose


def network(choose: Choose, inputs: int, classes: int) -> nn.Module:
    """The least network: what an engine adds to a task should not drown in its building."""
    width = choose.integer("width", 1, 1_000_000)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, width % 7 + 1))


@dataclass(frozen=True)
class Idle(Score):
    """Waits, and computes nothing."""

    higher_is_better: ClassVar = True
    network: ClassVar = "full"
    probe: ClassVar = ProbeSpec(count=1)
    pause: float = 0.0
    "Seconds."

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        """Nothing, after a while."""
        time.sleep(self.pause)
        return Reading(0.0)
