"""How far networks differ on the built-in image sets: digits, on which all do well, and shapes.

    python experiments/shapes.py [--save results/shapes/accuracies.csv]

A linear model, an MLP, a small residual network, and random cells of NAS-Bench-201 (16 channels,
one cell a stage), trained for ten epochs by the default recipe; accuracy on test images.
"""

import csv
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cyclopts
import torch
from torch import nn

from untrained import load_images
from untrained.images import Images
from untrained.spaces import get_space
from untrained.training import Recipe, evaluate, train

Make = Callable[[Images], nn.Module]


def main(
    save: Path = Path("results/shapes/accuracies.csv"),
    seeds: int = 3,
    cells: int = 8,
    epochs: int = 10,
) -> None:
    """Writes a row for each network, when it is known."""
    save.parent.mkdir(parents=True, exist_ok=True)
    with save.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("images", "network", "seed", "test_accuracy"))
        for name in ("digits", "shapes"):
            images = load_images(name)
            for network, seed, make in networks(seeds, cells):
                torch.manual_seed(seed)
                model = make(images)
                train(model, images, Recipe(epochs=epochs), seed=seed)
                rows.writerow((name, network, seed, evaluate(model, images.test, images).accuracy))
                file.flush()


def networks(seeds: int, cells: int) -> Iterator[tuple[str, int, Make]]:
    """Name, seed, and what makes it."""
    for name, make in {"linear": linear, "mlp": mlp, "residual": residual}.items():
        yield from ((name, seed, make) for seed in range(seeds))
    space, rng = get_space("nasbench201"), random.Random(0)
    for architecture in (str(space.sample(rng)) for _ in range(cells)):
        yield architecture, 0, partial(cell, architecture)


def cell(architecture: str, images: Images) -> nn.Module:
    """Of NAS-Bench-201, 16 channels and one cell a stage."""
    space = get_space("nasbench201")
    classes = len(images.classes)
    scale = space.scales["narrow"]
    return space.build(space.parse(architecture), scale, inputs=images.shape, classes=classes)


def linear(images: Images) -> nn.Module:
    """Of all pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(_pixels(images), len(images.classes)))


def mlp(images: Images) -> nn.Module:
    """Two hidden layers of 256."""
    layers = (nn.Linear(_pixels(images), 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, len(images.classes)))


def residual(images: Images) -> nn.Module:
    """A stem of 16 channels and three blocks of 16, 32 and 64, the last two of half the size."""
    blocks = (Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(images.classes)))
    return nn.Sequential(*_convolved(images.shape[0], 16, 1), nn.ReLU(), *blocks, *pooled)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.long = nn.Sequential(
            *_convolved(inputs, outputs, stride), nn.ReLU(), *_convolved(outputs, outputs, 1)
        )
        same = (inputs, stride) == (outputs, 1)
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.long(x) + self.short(x)).relu()


def _convolved(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


def _pixels(images: Images) -> int:
    return torch.Size(images.shape).numel()


if __name__ == "__main__":
    cyclopts.run(main)
