"""DARTS: a normal and a reduction cell of four nodes, two inputs and 14 edges.

Each node keeps two of the edges that reach it, with one of seven operations on each: a cell is one
of (1 * 3 * 6 * 10) * 7^8 = 1.04e9, an architecture one of 1.08e18.

Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
https://arxiv.org/abs/1806.09055.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from torch import nn

from untrained.spaces import darts_network
from untrained.spaces.darts_architecture import (
    CELLS,
    NODES,
    NONE,
    OPERATIONS,
    DARTSArchitecture,
    Edges,
    check_count,
    edges_of,
    genotype,
    inputs_of,
    nasbench301,
    read,
)
from untrained.spaces.darts_network import EDGES, DARTSNetwork
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.space import CellScale, Choice, Crowd, PrunableSpace, Scale, Shape

__all__ = ["DARTS", "DARTSArchitecture", "DARTSScale", "genotype", "nasbench301"]


@dataclass(frozen=True)
class DARTSScale(CellScale):
    """How large a network of cells is built; `cells` are those of the whole network."""

    channels: int = 36
    cells: int = 20
    stem_multiplier: int = 3
    "Channels of the stem for each of `channels`, unless `downsampling` is above 1."
    downsampling: int = 0
    """Convolutions of stride 2 in the stem: 0 on CIFAR, 3 on ImageNet, where the last two feed
    the first cell."""
    auxiliary: bool = False
    """Whether the last reduction cell carries a second classifier in training. Published numbers
    of parameters leave it out."""


class DARTS(PrunableSpace[DARTSArchitecture]):
    """The space; a stateless value.

    Cells in which a node has both inputs from one node, or an input that is `none`, are read and
    built as well, since some were trained and published; they are not sampled or enumerated.
    """

    name = "darts"
    cells_are_graphs: ClassVar = True
    scales: ClassVar[Mapping[str, DARTSScale]] = {
        "full": DARTSScale(),
        "imagenet": DARTSScale(channels=48, cells=14, downsampling=3),
        "nasbench301": DARTSScale(channels=32, cells=8),
        "narrow": DARTSScale(channels=8, cells=5),
        "small": DARTSScale(channels=1, cells=2, stages=2, stem_multiplier=1),
        "thin": DARTSScale(channels=1, cells=2, stages=2, stem=False),
    }
    # Chen, Gong & Wang (TE-NAS, https://arxiv.org/abs/2102.11535), in their code for CIFAR-10:
    # 7, 4, 1 operations an edge.
    removed_at_once: ClassVar[int] = 3

    def parse(self, text: str) -> DARTSArchitecture:
        """From our own text form, a published `Genotype(...)`, or pairs of indices.

        Pairs may be nested by node and end in a weight, and a dictionary stand for `Genotype`, as
        GDAS prints it. Our own has for each node its input edges; a partial edge reads `op,op~0`.

        Example:
            >>> node = "|sep_conv_3x3~0|skip_connect~1|"
            >>> cell = "+".join([node] * 4)
            >>> text = f"normal:{cell}/reduction:{cell}"
            >>> str(DARTS().parse(text)) == text
            True
            >>> pairs = [[0, 3], [1, 2]] * 4
            >>> str(DARTS().parse(f"[{pairs}, {pairs}]")) == text
            True
        """
        return read(text)

    def sample(self, rng: random.Random) -> DARTSArchitecture:
        return DARTSArchitecture(_sampled(rng), _sampled(rng))

    def neighbours(self, architecture: DARTSArchitecture) -> tuple[DARTSArchitecture, ...]:
        """One operation exchanged, or one input of a node for another with its operation: 120."""
        normal, reduction = architecture.normal, architecture.reduction
        return (
            *(DARTSArchitecture(other, reduction) for other in _other_cells(normal)),
            *(DARTSArchitecture(normal, other) for other in _other_cells(reduction)),
        )

    def enumerate(self) -> Iterator[DARTSArchitecture]:
        """Every discrete architecture once, one at a time: there are 1.08e18."""
        nodes = [list(_node_choices(node)) for node in NODES]
        for choice in itertools.product(*nodes, *nodes):
            yield DARTSArchitecture(_joined(choice[:4]), _joined(choice[4:]))

    def canonical(self, architecture: DARTSArchitecture) -> DARTSArchitecture:
        """The first of the architectures whose cells differ in the order of nodes alone.

        Such isomorphic cells compute the same family of functions, up to the order of channels:
        the weights of what follows can be permuted to match. An input that is `none` comes from
        node 0, as it is the same from everywhere. A partial architecture is its own
        representative.
        """
        return _canonical(architecture)

    def supernet(self) -> DARTSArchitecture:
        everything = (OPERATIONS,) * len(EDGES)
        return DARTSArchitecture(everything, everything)

    def kept(self, architecture: DARTSArchitecture) -> tuple[Choice, ...]:
        """Edges are numbered 0 to 27, those of the normal cell first."""
        return tuple(
            Choice(e, operation)
            for e, kept in enumerate((*architecture.normal, *architecture.reduction))
            for operation in kept
        )

    def choices(self, architecture: DARTSArchitecture) -> tuple[Choice, ...]:
        """Every operation on every edge that keeps more than one, unless they are both inputs of
        a node."""
        only = {
            cell * len(EDGES) + e
            for cell, edges in enumerate(_cells(architecture))
            for e, (_, node) in enumerate(EDGES)
            if _count(edges, node) == 1
        }
        return tuple(c for c in super().choices(architecture) if c.edge not in only)

    def crowded(self, architecture: DARTSArchitecture) -> tuple[Crowd, ...]:
        edges = (*architecture.normal, *architecture.reduction)
        crowds = []
        for cell, node in itertools.product(range(len(CELLS)), NODES):
            numbers = [cell * len(EDGES) + e for e, (_, j) in enumerate(EDGES) if j == node]
            if sum(bool(edges[e]) for e in numbers) > 2:
                left = tuple(Choice(e, operation) for e in numbers for operation in edges[e])
                crowds.append(Crowd(left, keep=2))
        return tuple(crowds)

    def without(self, architecture: DARTSArchitecture, *removed: Choice) -> DARTSArchitecture:
        """An edge without operations is absent; ValueError where a node would keep one edge."""
        edges = tuple(
            tuple(operation for operation in kept if (e, operation) not in removed)
            for e, kept in enumerate((*architecture.normal, *architecture.reduction))
        )
        found = DARTSArchitecture(edges[: len(EDGES)], edges[len(EDGES) :])
        for name, before, after in zip(CELLS, _cells(architecture), _cells(found), strict=True):
            for node in NODES:
                if _count(before, node) > 1:  # otherwise both inputs came from one node
                    check_count(_count(after, node), node, name)
        return found

    def describe(self, choice: Choice) -> str:
        cell, e = divmod(choice.edge, len(EDGES))
        i, j = EDGES[e]
        return f"{choice.operation} on {i}-{j} of the {CELLS[cell]} cell"

    def build(
        self, architecture: DARTSArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The network; a pair of logits in training mode where the scale has `auxiliary`."""
        return DARTSNetwork(
            architecture.normal,
            architecture.reduction,
            inputs=inputs[0],
            classes=classes,
            **arguments(scale, DARTSScale),
        )

    def export(
        self, architecture: DARTSArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        sizes = {"inputs": inputs[0], "classes": classes, **arguments(scale, DARTSScale)}
        cells = architecture.normal, architecture.reduction
        return source_of(darts_network), call("DARTSNetwork", cells, sizes)

    def graphs(self, architecture: DARTSArchitecture) -> tuple[CellGraph, ...]:
        names = ("c_{k-2}", "c_{k-1}", *map(str, NODES), "output")
        return tuple(
            CellGraph(
                cell,
                names,
                (
                    *(
                        Edge(i, j, operation)
                        for (i, j), kept in zip(EDGES, edges, strict=True)
                        for operation in kept
                        if operation != NONE
                    ),
                    *(Edge(node, len(names) - 1, "") for node in NODES),
                ),
                inputs=2,
            )
            for cell, edges in zip(
                CELLS, (architecture.normal, architecture.reduction), strict=True
            )
        )


def _cells(architecture: DARTSArchitecture) -> tuple[Edges, Edges]:
    return architecture.normal, architecture.reduction


def _count(edges: Edges, node: int) -> int:
    """How many edges reach a node."""
    return sum(bool(kept) for (_, j), kept in zip(EDGES, edges, strict=True) if j == node)


def _sampled(rng: random.Random) -> Edges:
    nodes = []
    for node in NODES:
        inputs = rng.sample(range(node), 2)
        nodes.append([(rng.choice(OPERATIONS),) if i in inputs else () for i in range(node)])
    return _joined(nodes)


def _node_choices(node: int) -> Iterator[Edges]:
    """What the edges into a node may be."""
    for inputs in itertools.combinations(range(node), 2):
        for operations in itertools.product(OPERATIONS, repeat=2):
            chosen = dict(zip(inputs, operations, strict=True))
            yield tuple((chosen[i],) if i in chosen else () for i in range(node))


def _joined(nodes: Iterable[Sequence[tuple[str, ...]]]) -> Edges:
    return tuple(itertools.chain.from_iterable(nodes))


def _other_cells(edges: Edges) -> Iterator[Edges]:
    for e, (_, j) in enumerate(EDGES):
        for operation in dict.fromkeys(edges[e]):  # two, where both inputs come from one node
            left = list(edges[e])
            left.remove(operation)
            for other in OPERATIONS:
                if other != operation:
                    yield _changed(edges, {e: (*left, other)})
            for other_edge, (_, target) in enumerate(EDGES):
                if target == j and not edges[other_edge]:
                    yield _changed(edges, {e: tuple(left), other_edge: (operation,)})


def _changed(edges: Edges, changes: Mapping[int, tuple[str, ...]]) -> Edges:
    return tuple(
        tuple(sorted(changes.get(e, kept), key=(*OPERATIONS, NONE).index))
        for e, kept in enumerate(edges)
    )


@lru_cache(maxsize=100_000)
def _canonical(architecture: DARTSArchitecture) -> DARTSArchitecture:
    if architecture.partial:
        return architecture
    normal, reduction = map(_with_none_from_0, _cells(architecture))
    return DARTSArchitecture(min(_orders(normal)), min(_orders(reduction)))


def _with_none_from_0(edges: Edges) -> Edges:
    """The cell with every `none` on an edge from node 0."""
    return edges_of(
        [
            [(0 if kept == (NONE,) else i, kept) for i, kept in inputs_of(edges, node)]
            for node in NODES
        ]
    )


def _orders(edges: Edges) -> Iterator[Edges]:
    """The cell under every order of its nodes in which inputs still come first."""
    present = {edge: kept for edge, kept in zip(EDGES, edges, strict=True) if kept}
    for order in itertools.permutations(NODES):
        new = {0: 0, 1: 1, **dict(zip(NODES, order, strict=True))}
        if all(new[i] < new[j] for i, j in present):
            moved = {(new[i], new[j]): kept for (i, j), kept in present.items()}
            yield tuple(moved.get(edge, ()) for edge in EDGES)
