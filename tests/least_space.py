"""The least that a space of one's own must have."""

import random
from dataclasses import dataclass

from torch import nn

from untrained.spaces import Architecture, Scale, Shape, Space


@dataclass(frozen=True, order=True)
class Width(Architecture):
    width: int

    def __str__(self) -> str:
        return str(self.width)


class Widths(Space[Width]):
    """One hidden layer of one to eight units."""

    name = "widths"

    def parse(self, text: str) -> Width:
        return Width(int(text))

    def sample(self, rng: random.Random) -> Width:
        return Width(rng.randint(1, 8))

    def neighbours(self, architecture: Width) -> tuple[Width, ...]:
        near = architecture.width - 1, architecture.width + 1
        return tuple(Width(width) for width in near if 1 <= width <= 8)

    def build(
        self, architecture: Width, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        c, h, w = inputs
        layers = nn.Linear(c * h * w, architecture.width), nn.ReLU()
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(architecture.width, classes))


WIDTHS = Widths()
