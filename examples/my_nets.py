"""Networks that somebody has: `untrained rank --models my_nets:NETS`."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.layers(x)
        return x + change


def layer(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU())


def network(
    block: Callable[..., nn.Module], width: int, depth: int, inputs: int, classes: int
) -> nn.Module:
    """Two stages of `depth` blocks, the second twice as wide; `inputs` channels."""
    layers: list[nn.Module] = [layer(inputs, width, 2)]
    for c in (width, 2 * width):
        layers += [block(layer(c, c), layer(c, c)) for _ in range(depth)]
        layers += [layer(c, 2 * c, 2)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes)
    )


NETS = {
    "residual": partial(network, Residual, 8, 2),
    "wide": partial(network, Residual, 16, 1),
    "plain": partial(network, nn.Sequential, 8, 2),
    "deep_plain": partial(network, nn.Sequential, 8, 8),
}
