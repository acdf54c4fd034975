"""A space with the architectures that it is judged by, and their networks."""

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from untrained.networks import draw_weights
from untrained.runs.streams import stream
from untrained.runs.surroundings import surroundings
from untrained.spaces import Architecture, Scale, Space

SAMPLES = 30
CLASSES = 5
SIDE = 32
"Pixels of the images that networks are shown."


@dataclass(frozen=True)
class Sampled:
    """A space, and architectures sampled from it."""

    space: Space[Any]

    @cached_property
    def architectures(self) -> list[Any]:
        """By one seed."""
        rng = random.Random(0)
        return [self.space.sample(rng) for _ in range(SAMPLES)]

    @property
    def small(self) -> str:
        """The scale of networks that are built in numbers."""
        return "small" if "small" in self.space.scales else next(iter(self.space.scales))

    def build(self, architecture: Architecture, scale: str | None = None) -> nn.Module:
        """The network at a named scale."""
        name = scale or self.small
        with surroundings(0):
            return self.space.build(
                architecture,
                self.scale(name),
                inputs=(inputs_of(name), SIDE, SIDE),
                classes=CLASSES,
            )

    def scale(self, name: str) -> Scale:
        """The scale of this name."""
        return self.space.scales[name]

    def drawn(self, architecture: Architecture, scale: str | None = None) -> nn.Module:
        """The network with random weights, in evaluation mode."""
        name = scale or self.small
        network, x = self.build(architecture, name), torch.zeros(2, inputs_of(name), SIDE, SIDE)
        draw_weights(network, "kaiming_fan_out", stream(0, "weights"), x=x)
        return network.eval()


def inputs_of(scale: str) -> int:
    """Channels of the images; thin networks are shown one."""
    return 1 if scale == "thin" else 3


def noise(scale: str) -> Tensor:
    """Two images of noise."""
    return torch.randn(2, inputs_of(scale), SIDE, SIDE, generator=stream("noise"))


@torch.no_grad()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    """What it gives; that of its last head alone, if it gives several."""
    found = network(images)
    return found[0] if isinstance(found, tuple) else found


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
