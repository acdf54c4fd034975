"""A cell as a graph to be drawn."""

from typing import NamedTuple


class Edge(NamedTuple):
    """One operation between two nodes, or "" where a node goes unchanged into the output."""

    source: int
    target: int
    operation: str


class CellGraph(NamedTuple):
    """Nodes in topological order and the operations between them; `none` is left out.

    Two edges may join the same nodes where a partial architecture keeps several operations.
    """

    name: str
    "`cell`, or `normal` and `reduction` where a space has two."
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    inputs: int = 1
    "How many of the first nodes are the cell's inputs."
