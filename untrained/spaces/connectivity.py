"""Effective depth and width of a cell: how many weights its paths carry, and how many paths do."""

from typing import NamedTuple

from untrained.spaces.graph import CellGraph, Edge


class Connectivity(NamedTuple):
    """What the paths from a cell's inputs to its output come to."""

    depth: float
    "d, the mean over paths of how many operations with weights they pass; 0 without a path."
    width: float
    "m, the number of paths that pass any, over d; 0 where none does."


class _Paths(NamedTuple):
    """The paths from the inputs to one node."""

    number: int = 0
    weights: int = 0
    "Operations with weights on all of them together."
    bare: int = 0
    "How many pass none."

    def past(self, weighted: bool) -> "_Paths":
        """The same paths, one operation on."""
        if not weighted:
            return self
        return _Paths(self.number, self.weights + self.number, 0)

    def beside(self, others: "_Paths") -> "_Paths":
        """These and others, which arrive at the same node."""
        return _Paths(*(own + other for own, other in zip(self, others, strict=True)))


def connectivity(graph: CellGraph) -> Connectivity:
    """The effective depth and width of a cell.

        d = mean over paths p of sum of e in p,    m = #{p: sum of e in p > 0} / d

    with e = 1 for an operation with weights, and 0 for a skip connection or pooling. Operations
    that stand on nodes count on every edge into them. The source finds that networks of moderate
    d and m converge best. Operations of a partial architecture that share an edge make a path
    each.

    Example:
        >>> edges = (Edge(0, 1, "nor_conv_3x3"), Edge(1, 2, "nor_conv_1x1"))
        >>> graph = CellGraph("cell", ("input", "1", "output"), edges)
        >>> connectivity(graph), connectivity(graph._replace(edges=(*edges, Edge(0, 2, "skip"))))
        (Connectivity(depth=2.0, width=0.5), Connectivity(depth=1.0, width=1.0))

    Source: Chen, Huang, Gong, Hanin & Wang, "Deep Architecture Connectivity Matters for Its
    Convergence: A Fine-Grained Analysis", NeurIPS 2022, https://arxiv.org/abs/2205.05662.
    """
    paths = [_Paths(1, 0, 1) if n < graph.inputs else _Paths() for n in range(len(graph.nodes))]
    for edge in sorted(graph.edges, key=lambda edge: edge.source):  # a topological order
        arriving = paths[edge.source].past(_weighted(edge, graph.nodes))
        paths[edge.target] = paths[edge.target].beside(arriving)
    number, weights, bare = paths[-1]
    if not weights:
        return Connectivity(0.0, 0.0)
    depth = weights / number
    return Connectivity(depth, (number - bare) / depth)


def _weighted(edge: Edge, nodes: tuple[str, ...]) -> bool:
    """Whether the operation on an edge or, where edges carry none, on its target has weights."""
    if not edge.operation:
        return "conv" in nodes[edge.target]
    return not any(word in edge.operation for word in ("skip", "pool"))
