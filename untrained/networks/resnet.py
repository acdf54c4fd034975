"""An ordinary residual network of any size, to compare others with."""

from bisect import bisect_left
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

STAGES = 3
DEEPEST = 3
"Blocks a stage, of the published ResNet-20; a larger network is a wider one."
WIDEST = 2**12
"Channels of the first stage that are tried; more than a billion parameters."
USUAL_WIDTH = 16
"Channels of the first stage, as published for CIFAR-10."


class ResNetSize(NamedTuple):
    """What fixes such a network, but for images and classes."""

    blocks: int
    "A stage; n of them give the published ResNet-(6n + 2)."
    width: int
    "Channels of the first stage."


class ResNet(nn.Module):
    """Three stages of residual blocks, each after the first at half the resolution and twice the
    channels, and a linear classifier of their mean over the image.

    Args:
        size: blocks a stage, and channels of the first one.
        inputs: channels of the images.
        classes: logits.

    Source:
        He, Zhang, Ren and Sun 2016, Deep Residual Learning for Image Recognition, section 4.2,
        https://arxiv.org/abs/1512.03385. Where shapes change, its shortcut pads with zeros; this
        one is a convolution, as in its networks for ImageNet.
    """

    def __init__(self, size: ResNetSize, *, inputs: int, classes: int) -> None:
        super().__init__()
        self.stem = normalised(inputs, size.width, 3)
        widths = [size.width * 2**stage for stage in range(STAGES)]
        self.blocks = nn.Sequential(
            *(
                Residual(widths[max(stage - 1, 0)] if first else width, width, stage > 0 and first)
                for stage, width in enumerate(widths)
                for first in [True] + [False] * (size.blocks - 1)
            )
        )
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        x = self.blocks(self.stem(x).relu())
        return self.classifier(x.mean((2, 3)))


class Residual(nn.Module):
    """relu(f(x) + shortcut(x)), where f is two 3 x 3 convolutions, each normalised."""

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        stride = 2 if halves else 1
        self.first = normalised(inputs, outputs, 3, stride)
        self.second = normalised(outputs, outputs, 3)
        same = inputs == outputs and not halves
        self.shortcut = nn.Identity() if same else normalised(inputs, outputs, 1, stride)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d _h _w"]:
        f = self.second(self.first(x).relu())
        return (f + self.shortcut(x)).relu()


def normalised(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, and BatchNorm."""
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def resnet_of_size(parameters: int, *, inputs: int, classes: int) -> ResNetSize:
    """The ResNet whose number of parameters is nearest.

    It has the most blocks, up to three a stage, with which it is as wide as published or wider;
    where one block is too much for that width, it is narrower.

    Example:
        >>> resnet_of_size(270_000, inputs=3, classes=10)
        ResNetSize(blocks=3, width=16)
    """

    def count(blocks: int, width: int) -> int:
        with torch.device("meta"):  # no memory for weights, and none drawn
            network = ResNet(ResNetSize(blocks, width), inputs=inputs, classes=classes)
        return sum(p.numel() for p in network.parameters())

    def nearest(blocks: int) -> ResNetSize:
        counted = partial(count, blocks)
        above = 1 + bisect_left(range(1, WIDEST), parameters, key=counted)
        width = min((max(above - 1, 1), above), key=lambda w: abs(counted(w) - parameters))
        return ResNetSize(blocks, width)

    sizes = [nearest(blocks) for blocks in range(DEEPEST, 0, -1)]
    return next((size for size in sizes if size.width >= USUAL_WIDTH), sizes[-1])
