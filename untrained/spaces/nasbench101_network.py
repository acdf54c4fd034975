"""The networks of NAS-Bench-101.

This file needs torch alone, so that an exported network can carry a copy of it and run without
the library.

Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019,
https://arxiv.org/abs/1902.09635.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Matrix = Sequence[Sequence[int]]


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "conv3x3-bn-relu": lambda channels: ConvBNReLU(channels, channels, 3),
    "conv1x1-bn-relu": lambda channels: ConvBNReLU(channels, channels, 1),
    "maxpool3x3": lambda channels: nn.MaxPool2d(3, 1, padding=1),
}


def vertex_channels(matrix: Matrix, inputs: int, outputs: int) -> list[int]:
    """The channels of each vertex of a cell, from the channels that enter and leave it.

    The output's predecessors share its channels, the first ones taking one more where they do not
    divide evenly; any other vertex has as many as the widest vertex that it leads to.
    """
    last = len(matrix) - 1
    joined = [v for v in range(1, last) if matrix[v][last]]
    channels = [inputs, *([0] * (last - 1)), outputs]
    for place, v in enumerate(joined):
        channels[v] = outputs // len(joined) + (place < outputs % len(joined))
    for v in reversed(range(1, last)):
        if not matrix[v][last]:
            channels[v] = max(channels[w] for w in range(v + 1, last) if matrix[v][w])
    return channels


class Cell(nn.Module):
    """A graph of operations. Vertex 0 is the input, the last vertex the output.

    A vertex applies its operation to the sum of what enters it: tensors of other vertices, the
    last channel cut where there is one too many, and the cell's input through a 1x1 convolution.
    What enters the output is concatenated; the cell's input, if it does, is projected and added.
    """

    def __init__(self, matrix: Matrix, operations: Sequence[str], inputs: int, outputs: int):
        super().__init__()
        self.matrix = [list(row) for row in matrix]
        self.channels = vertex_channels(matrix, inputs, outputs)
        if not all(self.channels):
            raise ValueError(
                f"expected a channel or more for each vertex, got {self.channels} for a cell of "
                f"{outputs} channels; set channels to 5 or more"
            )
        last = len(matrix) - 1
        self.projections = nn.ModuleDict(
            {
                str(v): ConvBNReLU(inputs, self.channels[v], 1)
                for v in range(1, last + 1)
                if matrix[0][v]
            }
        )
        self.vertices = nn.ModuleDict(
            {str(v): OPERATIONS[operations[v]](self.channels[v]) for v in range(1, last)}
        )

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.matrix) - 1
        tensors: dict[int, Tensor] = {}
        for v in range(1, last):
            terms = [tensors[u][:, : self.channels[v]] for u in range(1, v) if self.matrix[u][v]]
            if self.matrix[0][v]:
                terms.append(self.projections[str(v)](x))
            tensors[v] = self.vertices[str(v)](sum(terms[1:], terms[0]))
        joined = [tensors[v] for v in range(1, last) if self.matrix[v][last]]
        projected = self.projections[str(last)](x) if self.matrix[0][last] else None
        if not joined:
            assert projected is not None
            return projected
        output = torch.cat(joined, 1) if len(joined) > 1 else joined[0]
        return output if projected is None else output + projected


class GraphNetwork(nn.Module):
    """Stem, stages of equal cells separated by max pooling, and a linear classifier.

    Args:
        matrix: rows of 0 and 1, upper triangular: whether vertex i leads to vertex j. Every vertex
            lies on a path from the first to the last.
        operations: of each vertex; the first and the last one's are not looked at.
        inputs: channels of the images.
        classes: number of logits.
        channels: of the stem and the first stage; doubled after each pooling.
        cells: cells a stage.
        stages: number of stages.
        stem: whether a 3x3 convolution with BatchNorm and ReLU comes first.
        halvings: how often the stem halves the resolution.
    """

    def __init__(
        self,
        matrix: Matrix,
        operations: Sequence[str],
        inputs: int = 3,
        classes: int = 10,
        channels: int = 128,
        cells: int = 3,
        stages: int = 3,
        stem: bool = True,
        halvings: int = 0,
    ):
        super().__init__()
        self.stem = nn.Sequential()
        width = inputs
        if stem:
            for _ in range(max(1, halvings)):
                self.stem.append(ConvBNReLU(width, channels, 3, 2 if halvings else 1))
                width = channels
        self.body = nn.Sequential()
        for stage in range(stages):
            if stage:
                self.body.append(nn.MaxPool2d(2, 2, ceil_mode=True))
                channels *= 2
            for _ in range(cells):
                self.body.append(Cell(matrix, operations, width, channels))
                width = channels
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(self.stem(x)).mean((2, 3)))
