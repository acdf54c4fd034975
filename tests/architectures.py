"""Architectures at random and their networks, for the tests of each space."""

import random
from typing import TypeVar

from torch import nn

from untrained.spaces import Architecture, Scale, Space

A = TypeVar("A", bound=Architecture)
N = TypeVar("N", bound=nn.Module)


def sampled(space: Space[A], count: int, seed: int = 0) -> list[A]:
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def network_of(
    space: Space[A],
    kind: type[N],
    architecture: A,
    scale: Scale,
    *,
    inputs: int = 3,
    classes: int = 10,
) -> N:
    """Built, and of this kind."""
    network = space.build(architecture, scale, inputs=(inputs, 32, 32), classes=classes)
    assert isinstance(network, kind)
    return network


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in network.parameters())
