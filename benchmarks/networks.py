"""The networks that the kernel benchmarks measure, in plain torch.

Weights are as torch draws them; a benchmark draws its own with `untrained.draw_weights`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformer_networks import (
    ClassAttentionTransformer,
    Encoder,
    LanguageModel,
    VisionTransformer,
    WindowTransformer,
)

from untrained.networks.readout import Output
from untrained.spaces import Architecture, CellScale, Scale, get_space, prunable

SPACE = prunable(get_space("nasbench201"))
BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)


class Row(NamedTuple):
    """One line of a benchmark's table."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    "Of one input."
    batch: int
    "Examples."
    output: Output = "sum"
    "Which output of the network the kernel is of."
    words: int = 0
    "In the vocabulary, where inputs are words."

    def inputs(self) -> Tensor:
        """Random ones."""
        if self.words:
            return torch.randint(1, self.words, (self.batch, *self.shape))
        return torch.randn(self.batch, *self.shape)


def networks() -> dict[str, Row]:
    """Every row by its name."""
    best = SPACE.parse(BEST)
    supernet = SPACE.supernet()
    image, large = (3, 32, 32), (3, 96, 96)
    return {
        "best cell C=16 N=1, B=64": Row(partial(cells, best, CellScale(16, 1)), image, 64),
        "best cell C=16 N=5, B=32": Row(partial(cells, best, CellScale(16, 5)), image, 32),
        "TE-NAS supernet C=3 N=1, B=72": Row(
            partial(cells, supernet, SPACE.scales["small"]), image, 72
        ),
        "ResNet-18, B=32": Row(resnet18, image, 32),
        "MobileNetV2-like 96 px, B=16": Row(mobilenet, large, 16),
        "ViT, B=32": Row(VisionTransformer, image, 32),
        "DeiT, B=32": Row(partial(VisionTransformer, distilled=True), image, 32),
        "CaiT, B=16": Row(ClassAttentionTransformer, image, 16),
        "Swin, B=16": Row(WindowTransformer, image, 16),
        "GPT-2, B=16": Row(LanguageModel, (64,), 16, words=500),
        "BERT, B=16": Row(Encoder, (64,), 16, words=500),
        "MLP, n=2,000": Row(mlp, (784,), 2000),
        "best cell C=16 N=1, B=16, full": Row(
            partial(cells, best, CellScale(16, 1)), image, 16, "full"
        ),
    }


def cells(architecture: Architecture, scale: Scale) -> nn.Module:
    """A NAS-Bench-201 network with ten classes."""
    return SPACE.build(architecture, scale, inputs=(3, 32, 32), classes=10)


def mlp(sizes: Sequence[int] = (784, 512, 512, 10)) -> nn.Module:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias, and BatchNorm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Residual(nn.Module):
    """relu(body(x) + x), x taken through a 1x1 convolution where shapes differ."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = body
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.extend(convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def basic(inputs: int, channels: int, stride: int) -> Residual:
    """Two 3x3 convolutions."""
    body = nn.Sequential(
        *convolution(inputs, channels, 3, stride), nn.ReLU(), *convolution(channels, channels, 3)
    )
    return Residual(body, inputs, channels, stride)


def bottleneck(inputs: int, channels: int, stride: int) -> Residual:
    """1x1 to a quarter of the channels, 3x3, 1x1 back."""
    narrow = channels // 4
    body = nn.Sequential(
        *convolution(inputs, narrow, 1),
        nn.ReLU(),
        *convolution(narrow, narrow, 3, stride),
        nn.ReLU(),
        *convolution(narrow, channels, 1),
    )
    return Residual(body, inputs, channels, stride)


def resnet(
    block: Callable[[int, int, int], Residual],
    depths: Sequence[int],
    stem: int,
    first: int,
    outputs: int = 10,
) -> nn.Module:
    """A residual network for CIFAR: a 3x3 stem, no pooling after it.

    Args:
        block: of inputs, channels and stride.
        depths: blocks in each stage; each stage after the first halves the resolution and
            doubles the channels.
        stem: channels of the stem.
        first: channels of the first stage.
        outputs: classes.
    """
    layers = [*convolution(3, stem, 3), nn.ReLU()]
    inputs, channels = stem, first
    for stage, depth in enumerate(depths):
        for position in range(depth):
            stride = 2 if stage and not position else 1
            layers.append(block(inputs, channels, stride))
            inputs = channels
        channels *= 2
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs)
    )


def resnet18() -> nn.Module:
    """He et al. 2015, 11.2e6 parameters."""
    return resnet(basic, (2, 2, 2, 2), 64, 64)


def resnet50(width: int = 64, outputs: int = 10) -> nn.Module:
    """Its stages at 32 px. Widths 13, 42 and 132 have 1.0e6, 1.0e7 and 1.0e8 parameters."""
    return resnet(bottleneck, (3, 4, 6, 3), width, 4 * width, outputs)


class InvertedResidual(nn.Module):
    """1x1 to more channels, 3x3 depthwise, 1x1 back; added to x where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        expand = [*convolution(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        self.added = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *expand,
            *convolution(wide, wide, 3, stride, groups=wide),
            nn.ReLU6(),
            *convolution(wide, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.added else self.body(x)


# Sandler et al. 2018, table 2: expansion, channels, blocks, stride of the first.
MOBILENET_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet() -> nn.Module:
    """MobileNetV2 with ten classes, 2.2e6 parameters."""
    layers, inputs = [*convolution(3, 32, 3, 2), nn.ReLU6()], 32
    for expansion, channels, blocks, stride in MOBILENET_STAGES:
        for position in range(blocks):
            layers.append(InvertedResidual(inputs, channels, 1 if position else stride, expansion))
            inputs = channels
    layers += [*convolution(inputs, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1280, 10))
