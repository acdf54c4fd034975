"""A search space: a function that makes a network, and chooses as it goes."""

from my_nets import Residual, layer
from torch import nn

from untrained import Choose


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
