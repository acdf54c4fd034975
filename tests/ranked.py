"""Scores to be ranked; in a file of their own, whose imports count as code."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from untrained.images import Probe, ProbeSpec
from untrained.scores import Reading, Score
from untrained.spaces.nasbench201 import NASBench201, NB201Architecture


@dataclass(frozen=True)
class Noisy(Score):
    """The number of convolutions and a number by chance for each count; fewer are better."""

    higher_is_better: ClassVar = False
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=2, patch=3, one_channel=True)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        count = sum(isinstance(m, nn.Conv2d) for m in network.modules())
        return Reading(count + 4 * float(torch.rand(200, generator=generator)[count]))


@dataclass(frozen=True)
class Failing(Noisy):
    """Never a number."""

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        raise ArithmeticError("no such thing")


@dataclass(frozen=True)
class Picky(Noisy):
    """No number, or an infinite one, for small networks."""

    limit: int = 1

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        count = sum(isinstance(m, nn.Conv2d) for m in network.modules())
        return Reading(float(count) if count > self.limit else -float("inf"))


class SlowToBuild(NASBench201):
    """NAS-Bench-201 whose networks take a while to be built."""

    name = "slow"

    def build(self, architecture: NB201Architecture, *args: Any, **kwargs: Any) -> nn.Module:
        time.sleep(SLOW)
        return super().build(architecture, *args, **kwargs)


SLOW = 0.02
SPACE = SlowToBuild()
