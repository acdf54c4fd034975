"""Small networks of several kinds, each of any width."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from untrained.runs.tasks import connected
from untrained.spaces import SPACES, CellScale

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|"
    "avg_pool_3x3~2|"
)
"A cell of NAS-Bench-201 without idle operations."
BUSY = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
IDLE_OPERATIONS = {
    "one that no path leads to": BUSY.replace("none~2", "nor_conv_3x3~2"),
    "one that leads nowhere": BUSY.replace("none~0", "nor_conv_3x3~0"),
}
"Cells that compute the same function as `BUSY`, by what else they have."

Spare = Literal["", "never called", "computed and dropped", "multiplied by zero"]
SPARES: tuple[Spare, ...] = ("never called", "computed and dropped", "multiplied by zero")


class CNN(nn.Module):
    """Two convolutions with biases, and perhaps one that the output does not depend on."""

    def __init__(self, width: int, inputs: int, classes: int, spare: Spare = ""):
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(width, classes)
        self.role = spare
        if spare:
            self.spare = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        if self.role == "computed and dropped":
            self.spare(x)
        elif self.role == "multiplied by zero":
            x = x + 0 * self.spare(x)
        return self.classifier(self.relu(self.second(x)).mean((2, 3)))


class ResNet(nn.Module):
    """A stem and two residual blocks, with BatchNorm."""

    def __init__(self, width: int, inputs: int, classes: int):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.blocks = nn.ModuleList(_block(width) for _ in range(2))
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        for block in self.blocks:
            x = self.relu(x + block(x))
        return self.classifier(x.mean((2, 3)))


def _block(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
    )


class MLP(nn.Module):
    """Two hidden layers of four times the width, on the pixels of images of one size."""

    def __init__(self, width: int, pixels: int, classes: int):
        super().__init__()
        self.first = nn.Linear(pixels, 4 * width)
        self.second = nn.Linear(4 * width, 4 * width)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x.flatten(1)))
        return self.classifier(self.relu(self.second(x)))


Build = Callable[[int, torch.Size, int], nn.Module]
"From a width, the shape of one image, and the number of classes."


def cell_network(text: str, stages: int) -> Build:
    """Of a cell of NAS-Bench-201, one in each stage."""
    space = SPACES["nasbench201"]
    cell = space.parse(text)

    def build(width: int, shape: torch.Size, classes: int) -> nn.Module:
        scale = replace(CellScale(), channels=width, cells=1, stages=stages)
        network = space.build(cell, scale, inputs=shape, classes=classes)
        return connected(network, space, cell)

    return build


def cnn_with(spare: Spare) -> Build:
    """The CNN with an operation that its output does not depend on."""
    return lambda width, shape, classes: CNN(width, shape[0], classes, spare)


def kinds(stages: int) -> dict[str, Build]:
    """The networks that a score is asked about, by name; a cell's has so many stages."""
    return {
        "cell": cell_network(CELL, stages),
        "ResNet": lambda width, shape, classes: ResNet(width, shape[0], classes),
        "CNN": cnn_with(""),
        "MLP": lambda width, shape, classes: MLP(width, shape.numel(), classes),
    }


@torch.no_grad()
def doubled(network: nn.Module) -> None:
    """Multiplies every weight by two, and leaves biases and scales."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.mul_(2)


@torch.no_grad()
def balanced(network: CNN | MLP) -> None:
    """Twice the first layer and half the second, bit for bit the same function under ReLU.

    W_2 relu(W_1 x + b_1) = (W_2 / 2) relu(2 W_1 x + 2 b_1)
    """
    for parameter in network.first.parameters():
        parameter.mul_(2)
    network.second.weight.div_(2)
