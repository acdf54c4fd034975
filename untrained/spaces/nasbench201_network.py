"""The networks of NAS-Bench-201, and the supernets of its partial architectures.

This file needs torch alone, so that an exported network can carry a copy of it and run without
the library.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020, https://arxiv.org/abs/2001.00326.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# Edge (i, j) carries node i to node j; an architecture lists its operations in this order.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)


def stem_of(inputs: int, channels: int, halvings: int) -> nn.Sequential:
    """A 3x3 convolution with BatchNorm; or one of stride 2 for each halving, ReLU between them."""
    stem = nn.Sequential(
        nn.Conv2d(inputs, channels, 3, 2 if halvings else 1, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    return stem.extend(ReLUConvBN(channels, channels, 3, stride=2) for _ in range(halvings - 1))


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: ReLUConvBN(channels, channels, 1),
    "nor_conv_3x3": lambda channels: ReLUConvBN(channels, channels, 3),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
}


class Cell(nn.Module):
    """Four nodes; node j is the sum over edges (i, j) of the mean of the edge's operations.

    On a discrete architecture each edge has one operation and the mean is that operation. On a
    partial one, operation o has the weight softmax(alpha)_o = 1 / (number of operations kept).
    """

    def __init__(self, edges: Sequence[Sequence[str]], channels: int):
        super().__init__()
        self.kept = [len(operations) for operations in edges]
        self.edges = nn.ModuleDict(
            {
                f"{i}_{j}": nn.ModuleDict(
                    {name: OPERATIONS[name](channels) for name in operations if name != "none"}
                )
                for (i, j), operations in zip(EDGES, edges, strict=True)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        pooled: dict[int, Tensor] = {}  # without weights, so the same on every edge from a node
        for (i, j), kept in zip(EDGES, self.kept, strict=True):
            source, edge = nodes[i], nodes[j]
            if source is None:
                continue
            terms = []
            for name, operation in self.edges[f"{i}_{j}"].items():  # type: ignore[operator]
                if name != "avg_pool_3x3":
                    terms.append(operation(source))
                    continue
                if i not in pooled:
                    pooled[i] = operation(source)
                terms.append(pooled[i])
            if terms:
                term = sum(terms[1:], terms[0])
                term = term if kept == 1 else term / kept
                nodes[j] = term if edge is None else edge + term
        output = nodes[-1]
        return torch.zeros_like(x) if output is None else output

    def unreached_operations(self) -> list[nn.Module]:
        """The operations on edges to which no path leads, which `forward` skips.

        Their input would have the shape of the cell's, as every node has.
        """
        reached = {0}
        for i, j in EDGES:  # in topological order of their targets
            if i in reached and self.edges[f"{i}_{j}"]:
                reached.add(j)
        return [
            operation
            for i, j in EDGES
            if i not in reached
            for operation in self.edges[f"{i}_{j}"].values()  # type: ignore[operator]
        ]


class ResidualReduction(nn.Module):
    """Halves the resolution and doubles the channels between two stages."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.second = ReLUConvBN(outputs, outputs, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + self.shortcut(x)


class CellNetwork(nn.Module):
    """Stem, stages of equal cells separated by reductions, and a linear classifier.

    Args:
        edges: the operations kept on each of the six edges, in the order of `EDGES`.
        inputs: channels of the images.
        classes: number of logits.
        channels: channels of the first stage; doubled at each reduction.
        cells: cells a stage.
        stages: number of stages.
        stem: whether a 3x3 convolution with BatchNorm comes first; without it, `channels` must
            equal `inputs`.
        halvings: how often the stem halves the resolution.
    """

    def __init__(
        self,
        edges: Sequence[Sequence[str]],
        inputs: int = 3,
        classes: int = 10,
        channels: int = 16,
        cells: int = 5,
        stages: int = 3,
        stem: bool = True,
        halvings: int = 0,
    ):
        super().__init__()
        if not stem and channels != inputs:
            raise ValueError(
                f"without a stem the network needs as many channels as the images have: "
                f"expected channels={inputs}, got {channels!r}; set channels, or stem=True"
            )
        self.stem = stem_of(inputs, channels, halvings) if stem else nn.Sequential()
        self.body = nn.Sequential()
        for stage in range(stages):
            if stage:
                self.body.append(ResidualReduction(channels, 2 * channels))
                channels *= 2
            for _ in range(cells):
                self.body.append(Cell(edges, channels))
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))
        return self.classifier(self.relu(self.norm(x)).mean((2, 3)))
