"""Scores to be ranked; in a file of their own, whose imports count as code."""

import random
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


class Four(NASBench201):
    """A space of somebody's own, without a table: four edges of NAS-Bench-201 are fixed."""

    name = "four"

    def sample(self, rng: random.Random) -> NB201Architecture:
        first, last = (rng.choice(("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")) for _ in "ab")
        return self.parse(f"|{first}~0|+|none~0|{last}~1|+|none~0|none~1|skip_connect~2|")


FOUR = Four()


@dataclass(frozen=True)
class Few(Picky):
    """Fewer convolutions are better, and at least two are needed for a number."""
