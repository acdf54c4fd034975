"""The networks of the MNAS space.

This file needs torch alone, so that an exported network can carry a copy of it and run without
the library.

Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019,
https://arxiv.org/abs/1807.11626.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

# Channels at `channels` = 32: of the stem, of what each stage puts out, of the head.
STEM, WIDTHS, HEAD = 32, (16, 24, 40, 80, 112, 192, 320), 1280
# Strides of the stem and of the first layer of each stage.
STRIDES = (2, 1, 2, 2, 2, 1, 2, 1)


class Block(NamedTuple):
    """What the layers of one stage are; all its layers are alike."""

    expansion: int
    "Channels inside a layer for each of its input channels."
    kernel: int
    "Side of the depthwise convolution."
    layers: int
    "Layers of the stage, the first of which changes resolution and channels."
    squeeze_excite: bool
    "Whether a layer weighs its channels by their means."


class ConvBN(nn.Sequential):
    """Convolution without bias, BatchNorm, and swish unless the layer is linear."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ):
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        if not linear:
            self.swish = nn.SiLU()


class SqueezeExcite(nn.Module):
    """Each channel times a weight in (0, 1) that depends on the means of all of them."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.weights = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x.mean((2, 3), keepdim=True))


class MBConv(nn.Module):
    """Expansion, depthwise convolution, squeeze-excite and linear projection.

    The expansion is absent where it would widen nothing. The input is added where the output has
    its shape: at stride 1 and with as many channels.
    """

    def __init__(self, block: Block, inputs: int, outputs: int, stride: int):
        super().__init__()
        inside = block.expansion * inputs
        self.residual = stride == 1 and inputs == outputs
        self.expand = ConvBN(inputs, inside) if block.expansion > 1 else nn.Sequential()
        self.depthwise = ConvBN(inside, inside, block.kernel, stride, groups=inside)
        self.weigh = nn.Sequential()
        if block.squeeze_excite:
            self.weigh.append(SqueezeExcite(inside, max(1, inputs // 4)))
        self.project = ConvBN(inside, outputs, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.weigh(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class MNASNetwork(nn.Module):
    """Stem, seven stages of inverted bottlenecks, head and a linear classifier.

    Takes images of shape (n, inputs, height, width), of any height and width, to logits of shape
    (n, classes).

    Args:
        blocks: the seven stages, in order.
        inputs: channels of the images.
        classes: number of logits.
        channels: channels of the stem. The width multiplier is `channels` / 32: a stage or a head
            of w channels as published has max(1, round(w * channels / 32)).
        depth: multiplier of the layers of each stage, rounded up.
        strides: how many of the five convolutions of stride 2 (stem, then stages 2, 3, 4 and 6)
            keep it. The last ones do; the first ones get stride 1.

    Raises:
        ValueError: not seven blocks, or a size out of its range.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        inputs: int = 3,
        classes: int = 1000,
        channels: int = 32,
        depth: float = 1.0,
        strides: int = 5,
    ):
        super().__init__()
        if len(blocks) != len(WIDTHS):
            raise ValueError(f"expected seven blocks, one a stage, got {len(blocks)}")
        _check(channels, depth, strides)
        first, *others = _strides(strides)
        self.stem = ConvBN(inputs, channels, 3, first)
        self.stages = nn.Sequential()
        last = channels
        for block, width, stride in zip(blocks, WIDTHS, others, strict=True):
            stage, outputs = nn.Sequential(), _scaled(width, channels)
            for layer in range(math.ceil(block.layers * depth)):
                stage.append(MBConv(block, last, outputs, 1 if layer else stride))
                last = outputs
            self.stages.append(stage)
        self.head = ConvBN(last, _scaled(HEAD, channels))
        self.classifier = nn.Linear(_scaled(HEAD, channels), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.stem(x)))
        return self.classifier(x.mean((2, 3)))


def _scaled(width: int, channels: int) -> int:
    return max(1, round(width * channels / STEM))


def _strides(keep: int) -> list[int]:
    """The strides as published, all but the last `keep` of those that are 2 turned into 1."""
    twos = [k for k, stride in enumerate(STRIDES) if stride == 2]
    turned = twos[: len(twos) - keep]
    return [1 if k in turned else stride for k, stride in enumerate(STRIDES)]


def _check(channels: int, depth: float, strides: int) -> None:
    if channels < 1:
        raise ValueError(
            f"expected a stem of 1 channel or more, got channels={channels!r}; 32 as published"
        )
    if not 0 < depth < math.inf:
        raise ValueError(f"expected a depth above 0, got depth={depth!r}; 1.0 as published")
    if strides not in range(6):
        raise ValueError(
            f"expected 0 to 5 convolutions of stride 2, got strides={strides!r}; 5 as published, "
            f"fewer for small images"
        )
