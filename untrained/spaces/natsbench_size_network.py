"""The networks of NATS-Bench's size space.

This file needs torch and the blocks of NAS-Bench-201 alone, so that an exported network can carry
a copy of both and run without the library.

Source: Dong, Liu, Musial & Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture
Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from untrained.spaces.nasbench201_network import ReLUConvBN, ResidualReduction, stem_of

WIDEST = 64
"Channels of the widest layer as published."


class SizeCell(nn.Module):
    """The cell of NAS-Bench-201 that is best on CIFAR-100, from `inputs` channels to `outputs`.

        h_1 = f_01(x),    h_2 = f_02(x) + f_12(h_1),    y = s(x) + f_13(h_1) + f_23(h_2)

    with f a 3x3 convolution between ReLU and BatchNorm, and s the identity or, where the numbers
    of channels differ, a 1x1 convolution and BatchNorm without a ReLU.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3)
        self.second = ReLUConvBN(inputs, outputs, 3)
        self.first_to_second = ReLUConvBN(outputs, outputs, 3)
        self.first_to_output = ReLUConvBN(outputs, outputs, 3)
        self.second_to_output = ReLUConvBN(outputs, outputs, 3)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(x) + self.first_to_second(first)
        return self.skip(x) + self.first_to_output(first) + self.second_to_output(second)


class SizeNetwork(nn.Module):
    """Stem, a cell, twice a residual reduction and a cell, and a linear classifier.

    Args:
        widths: channels as published of the five layers after the stem, which has the first's.
        inputs: channels of the images.
        classes: number of logits.
        channels: of the widest layer. One of w channels as published has
            max(1, round(w * channels / 64)).
        halvings: how often the stem halves the resolution.

    Raises:
        ValueError: not five widths, or a size out of its range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        inputs: int = 3,
        classes: int = 10,
        channels: int = WIDEST,
        halvings: int = 0,
    ):
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"expected five widths, one a layer, got {len(widths)}")
        if channels < 1:
            raise ValueError(
                f"expected a widest layer of 1 channel or more, got channels={channels!r}; "
                f"{WIDEST} as published"
            )
        last, *others = scaled = [max(1, round(width * channels / WIDEST)) for width in widths]
        self.stem = stem_of(inputs, last, halvings)
        self.layers = nn.Sequential(SizeCell(last, last))
        for k, width in enumerate(others):
            self.layers.append((SizeCell if k % 2 else ResidualReduction)(last, width))
            last = width
        self.norm = nn.BatchNorm2d(scaled[-1])
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(scaled[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.stem(x))
        return self.classifier(self.relu(self.norm(x)).mean((2, 3)))
