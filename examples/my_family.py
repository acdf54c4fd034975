"""A search space: a function that makes a network, and chooses as it goes.

The exported network takes this file along, so that it imports nothing of yours.
"""

from torch import Tensor, nn

from untrained import Choose


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.layers(x)
        return x + change


def layer(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU())


def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
    c = choose.channels(choose("width", (8, 12, 16, 24)))
    layers: list[nn.Module] = [layer(inputs, c, 2)]
    for stage in range(choose.integer("stages", 1, 3)):
        if stage:
            layers += [layer(c, 2 * c, 2)]
            c = 2 * c
        for _ in range(choose.integer(f"blocks{stage}", 1, 2)):
            layers += [Residual(layer(c, c), layer(c, c))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))
