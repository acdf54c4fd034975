"""The networks of DARTS, and the supernets of its partial architectures.

This file needs torch alone, so that an exported network can carry a copy of it and run without
the library.

Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
https://arxiv.org/abs/1806.09055; pooling and reductions as in its networks for evaluation.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Edge (i, j) carries node i to node j; nodes 0 and 1 are the cell's inputs, 2 to 5 are summed.
# An architecture lists a cell's operations in this order.
EDGES = tuple((i, j) for j in range(2, 6) for i in range(j))


class ReLUConvBN(nn.Sequential):
    """ReLU, 1x1 convolution without bias, BatchNorm."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)


class FactorizedReduce(nn.Module):
    """Halves the resolution: half of the channels from even pixels, half from odd ones.

    On an odd side the row after the last one is zero, so that any side h gives ceil(h / 2).
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        shifted = F.pad(x, (-1, 1, -1, 1))
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))


def _separable(channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """ReLU, a convolution within each channel, one between them, BatchNorm."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


class Zero(nn.Module):
    """Zeros of the shape that an operation of this stride puts out."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x[..., :: self.stride, :: self.stride]


def _twice(channels: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_separable(channels, kernel, stride), _separable(channels, kernel))


# From channels and stride; the order is that of the published index form.
OPERATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "max_pool_3x3": lambda c, stride: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda c, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "skip_connect": lambda c, stride: nn.Identity() if stride == 1 else FactorizedReduce(c, c),
    "sep_conv_3x3": lambda c, stride: _twice(c, 3, stride),
    "sep_conv_5x5": lambda c, stride: _twice(c, 5, stride),
    "dil_conv_3x3": lambda c, stride: _separable(c, 3, stride, dilation=2),
    "dil_conv_5x5": lambda c, stride: _separable(c, 5, stride, dilation=2),
}
POOLING = ("max_pool_3x3", "avg_pool_3x3")


def _operations(names: Sequence[str], channels: int, stride: int) -> nn.ModuleDict:
    """Those of one edge, by their names; the second of two equal ones ends in `_again`."""
    operations = nn.ModuleDict()
    for name in names:
        operation = Zero(stride) if name == "none" else OPERATIONS[name](channels, stride)
        operations[f"{name}_again" if name in operations else name] = operation
    return operations


def _dropped(x: Tensor, probability: float) -> Tensor:
    """Each example's map is zero with this probability, or else scaled to keep the mean."""
    kept = x.new_empty((len(x), 1, 1, 1)).bernoulli_(1 - probability)
    return x * (kept / (1 - probability))


class Cell(nn.Module):
    """Two inputs, and four nodes whose concatenation is the output.

    Node j is the sum over edges (i, j) of the mean of the edge's operations; an edge without
    operations is absent. On a discrete architecture each edge has one operation and the mean is
    that operation. Where only one edge reaches a node, with two operations, both are inputs of
    it, and summed. In a reduction cell the edges from the inputs have stride 2.

    Args:
        edges: the operations kept on each edge, in the order of `EDGES`.
        before_last: channels of the cell before the last one.
        last: channels of the last cell.
        channels: channels of each node.
        reduction: whether this cell halves the resolution.
        after_reduction: whether the last cell did.
    """

    def __init__(
        self,
        edges: Sequence[Sequence[str]],
        before_last: int,
        last: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
    ):
        super().__init__()
        preprocess = FactorizedReduce if after_reduction else ReLUConvBN
        self.before_last = preprocess(before_last, channels)
        self.last = ReLUConvBN(last, channels)
        self.edges = nn.ModuleDict()
        for (i, j), names in zip(EDGES, edges, strict=True):
            if names:
                stride = 2 if reduction and i < 2 else 1
                self.edges[f"{i}_{j}"] = _operations(names, channels, stride)
        reached = [j for (_, j), names in zip(EDGES, edges, strict=True) if names]
        self.from_one = [j for j in range(2, 6) if reached.count(j) == 1]

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float) -> Tensor:
        nodes = [self.before_last(before_last), self.last(last)]
        pooled: dict[tuple[int, str], Tensor] = {}  # the same on every edge from a node
        for j in range(2, 6):
            terms = [
                self._edge(i, j, nodes[i], pooled, drop_path)
                for i in range(j)
                if f"{i}_{j}" in self.edges
            ]
            nodes.append(sum(terms[1:], terms[0]))
        return torch.cat(nodes[2:], 1)

    def _edge(
        self, i: int, j: int, x: Tensor, pooled: dict[tuple[int, str], Tensor], drop_path: float
    ) -> Tensor:
        terms = []
        for name, operation in self.edges[f"{i}_{j}"].items():  # type: ignore[operator]
            if name not in POOLING:
                term = operation(x)
            elif (i, name) in pooled:
                term = pooled[i, name]
            else:
                term = pooled[i, name] = operation(x)
            if drop_path and not isinstance(operation, nn.Identity):
                term = _dropped(term, drop_path)
            terms.append(term)
        total = sum(terms[1:], terms[0])
        return total if len(terms) == 1 or j in self.from_one else total / len(terms)


class AuxiliaryHead(nn.Module):
    """A second classifier, on maps that pooling brings to 2 x 2."""

    def __init__(self, channels: int, classes: int, stride: int):
        super().__init__()
        self.sides = range(5 + stride, 5 + 2 * stride)
        self.usual = "32 x 32 images" if stride == 3 else "224 x 224 images at scale imagenet"
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height not in self.sides or width not in self.sides:
            raise ValueError(
                f"the auxiliary head reads maps of {self.sides[0]} to {self.sides[-1]} pixels a "
                f"side, those of {self.usual}; got {height} x {width}: set "
                f"auxiliary=False or show images of another size"
            )
        return self.classifier(self.features(x).flatten(1))


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class DARTSNetwork(nn.Module):
    """Stem, normal cells with a reduction cell between two stages, and a linear classifier.

    With an auxiliary head the output is a pair in training mode: logits, auxiliary logits.

    Args:
        normal: the operations kept on each edge of the normal cell, in the order of `EDGES`.
        reduction: those of the reduction cell.
        inputs: channels of the images.
        classes: number of logits.
        channels: channels of a node of the first stage; doubled in each reduction cell.
        cells: cells of the whole network.
        stages: stages; reduction cell k = 1, 2, ... is cell k * cells // stages, from 0.
        stem: whether convolutions come first; without them, `channels` must equal `inputs`.
        stem_multiplier: channels of the stem for each of `channels`, unless downsampling > 1.
        downsampling: stride-2 convolutions in the stem. From two on, the cells' inputs are the
            last and the one before it, as on ImageNet, where there are three.
        auxiliary: whether the last reduction cell carries an auxiliary head.

    Attributes:
        drop_path: probability with which, in training mode, an operation that is not the
            identity is dropped for an example.
    """

    def __init__(
        self,
        normal: Sequence[Sequence[str]],
        reduction: Sequence[Sequence[str]],
        inputs: int = 3,
        classes: int = 10,
        channels: int = 36,
        cells: int = 20,
        stages: int = 3,
        stem: bool = True,
        stem_multiplier: int = 3,
        downsampling: int = 0,
        auxiliary: bool = False,
    ):
        super().__init__()
        _check(inputs, channels, cells, stages, stem, downsampling, auxiliary)
        self.drop_path = 0.0
        self.stem, self.second_stem = nn.Sequential(), nn.Sequential()
        before_last = last = inputs
        if stem and downsampling > 1:  # C/2, C and C channels where downsampling is 3
            widths = [
                max(1, channels >> max(0, downsampling - 1 - k)) for k in range(1, downsampling)
            ]
            for k, width in enumerate(widths):
                self.stem.extend([nn.ReLU()] * (k > 0) + _convolution(last, width, 2))
                last = width
            self.second_stem.extend([nn.ReLU(), *_convolution(channels, channels, 2)])
            before_last = last = channels
        elif stem:
            before_last = last = stem_multiplier * channels
            self.stem.extend(_convolution(inputs, last, 1 + downsampling))
        reductions = [k * cells // stages for k in range(1, stages)]
        self.cells = nn.ModuleList()
        after_reduction = downsampling > 1
        for k in range(cells):
            reduces = k in reductions
            channels *= 2 if reduces else 1
            edges = reduction if reduces else normal
            self.cells.append(Cell(edges, before_last, last, channels, reduces, after_reduction))
            before_last, last, after_reduction = last, 4 * channels, reduces
        self.auxiliary: AuxiliaryHead | None = None
        if auxiliary:
            self.auxiliary = AuxiliaryHead(4 * channels, classes, 2 if downsampling > 1 else 3)
        self.auxiliary_at = reductions[-1] if auxiliary else None
        self.classifier = nn.Linear(4 * channels, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        before_last = self.stem(x)
        last = self.second_stem(before_last)
        drop_path = self.drop_path if self.training else 0.0
        auxiliary_logits = None
        for k, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, drop_path)
            if self.auxiliary is not None and self.training and k == self.auxiliary_at:
                auxiliary_logits = self.auxiliary(last)
        logits = self.classifier(last.mean((2, 3)))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


def _check(
    inputs: int,
    channels: int,
    cells: int,
    stages: int,
    stem: bool,
    downsampling: int,
    auxiliary: bool,
) -> None:
    if not stem and channels != inputs:
        raise ValueError(
            f"without a stem the network needs as many channels as the images have: "
            f"expected channels={inputs}, got {channels!r}; set channels, or stem=True"
        )
    if not stem and downsampling:
        raise ValueError(
            f"the stem downsamples: expected downsampling=0 without one, got {downsampling!r}"
        )
    if cells < stages:
        raise ValueError(
            f"each stage after the first begins with a reduction cell: expected at least "
            f"cells={stages} for {stages} stages, got {cells!r}; set cells or stages"
        )
    if auxiliary and stages < 2:
        raise ValueError(
            "the auxiliary head sits on the last reduction cell: expected stages of at least 2, "
            f"got {stages!r}; set stages, or auxiliary=False"
        )
    if downsampling > 1 and channels % 2:
        raise ValueError(
            f"a stem that downsamples more than once halves the channels: expected an even "
            f"number of channels, got {channels!r}"
        )
