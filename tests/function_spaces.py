"""Functions that choose as they make a network, as a user writes them."""

import torch
from torch import Tensor, nn

from untrained import Choose


def family(choose: Choose, inputs: int, classes: int) -> nn.Module:
    width = choose.channels(choose("width", (8, 16, 24)))
    layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1)]
    for _ in range(choose.integer("depth", 0, 2)):
        layers += [choose("unit", (nn.ReLU, nn.GELU))(), nn.Conv2d(width, width, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def operations(choose: Choose, inputs: int, classes: int) -> nn.Module:
    def edge(name: str) -> nn.Module:
        choices = {"conv": lambda: nn.Conv2d(inputs, inputs, 1), "skip": nn.Identity, "none": Zero}
        return choose.operation(name, choices)

    return nn.Sequential(
        edge("a"), edge("b"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)
    )


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


def remembering(choose: Choose, inputs: int, classes: int) -> nn.Module:
    """As transformers do whose biases are looked up once in evaluation mode."""
    width = choose("width", (6, 8))
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        Remembering(width), nn.Linear(width, classes),
    )  # fmt: skip


class Remembering(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.bias = nn.Parameter(torch.ones(width))
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x + self.bias.exp()
        if self.kept is None:
            self.kept = self.bias.exp()
        return x + self.kept
