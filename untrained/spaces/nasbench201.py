"""NAS-Bench-201, the topology space of NATS-Bench.

A cell has four nodes and an operation on each of the six edges between them: 5^6 = 15,625
strings, 9,445 without unreachable operations, 6,466 networks by the benchmark's own notion of
isomorphism.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020, https://arxiv.org/abs/2001.00326.
"""

import ast
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from untrained.spaces import nasbench201_network
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.nasbench201_network import EDGES, CellNetwork
from untrained.spaces.space import (
    Architecture,
    CellScale,
    Choice,
    PrunableSpace,
    Scale,
    Shape,
    crossed,
    halvings,
)

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"How NASLib orders and numbers them, https://github.com/automl/NASLib."


@dataclass(frozen=True, order=True)
class NB201Architecture(Architecture):
    """The operations kept on each edge, edges in the order 0-1, 0-2, 1-2, 0-3, 1-3, 2-3."""

    edges: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        terms = [f"{','.join(kept)}~{i}" for kept, (i, _) in zip(self.edges, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(terms[a:b])}|" for a, b in ((0, 1), (1, 3), (3, 6)))

    @property
    def partial(self) -> bool:
        return any(len(kept) > 1 for kept in self.edges)


class NASBench201(PrunableSpace[NB201Architecture]):
    """The space; a stateless value."""

    name = "nasbench201"
    cells_are_graphs: ClassVar = True
    scales: ClassVar = {
        "full": CellScale(channels=16, cells=5),
        "narrow": CellScale(channels=16, cells=1),
        "small": CellScale(channels=3, cells=1),
        "thin": CellScale(channels=1, cells=1, stages=1, stem=False),
    }

    def parse(self, text: str) -> NB201Architecture:
        """From `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`; a partial edge reads `op,op~0`.

        NASLib's six numbers are read too: `(4, 0, 3, 1, 4, 3)`.

        Example:
            >>> text = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
            >>> str(NASBench201().parse(text)) == text
            True
        """
        if text.strip().startswith(("(", "[")):
            return _from_naslib(text)
        nodes = text.strip().split("+")
        terms = [term for node in nodes for term in node.strip("|").split("|")]
        shape = "+".join("|" + "|".join(f"op~{i}" for i in range(j)) + "|" for j in (1, 2, 3))
        if re.sub(r"[^|~+]*~", "op~", text.strip()) != shape:
            raise ValueError(f"not a NAS-Bench-201 cell: expected {shape}, got {text!r}")
        return NB201Architecture(tuple(self._kept(term) for term in terms))

    def _kept(self, term: str) -> tuple[str, ...]:
        kept = term.rpartition("~")[0].split(",")
        for operation in kept:
            if not operation:
                raise ValueError(
                    f"an edge without an operation in a NAS-Bench-201 cell: expected op~0 or "
                    f"op,op~0, got {term!r}; an edge that carries nothing reads none~0"
                )
            if operation not in OPERATIONS:
                near = get_close_matches(operation, OPERATIONS, n=1, cutoff=0) or OPERATIONS
                raise ValueError(
                    f"unknown operation {operation!r} in a NAS-Bench-201 cell: expected one of "
                    f"{', '.join(OPERATIONS)}; did you mean {near[0]}?"
                )
        return tuple(operation for operation in OPERATIONS if operation in kept)

    def sample(self, rng: random.Random) -> NB201Architecture:
        return _discrete([rng.choice(OPERATIONS) for _ in EDGES])

    def neighbours(self, architecture: NB201Architecture) -> tuple[NB201Architecture, ...]:
        edges = architecture.edges
        return tuple(
            NB201Architecture((*edges[:e], (operation,), *edges[e + 1 :]))
            for e in range(len(EDGES))
            for operation in OPERATIONS
            if (operation,) != edges[e]
        )

    def cross(
        self, first: NB201Architecture, second: NB201Architecture, rng: random.Random
    ) -> NB201Architecture:
        return NB201Architecture(crossed(first.edges, second.edges, rng))

    def enumerate(self) -> Iterator[NB201Architecture]:
        return (_discrete(choice) for choice in itertools.product(OPERATIONS, repeat=len(EDGES)))

    def canonical(self, architecture: NB201Architecture) -> NB201Architecture:
        """The first architecture in the order of `enumerate` with the same expression.

        It carries no unreachable operation, since `none` comes first. A partial architecture is
        its own representative.
        """
        if architecture.partial:
            return architecture
        return self._representatives[expression(architecture)]

    @cached_property
    def _representatives(self) -> dict[str, NB201Architecture]:
        representatives: dict[str, NB201Architecture] = {}
        for architecture in self.enumerate():
            representatives.setdefault(expression(architecture), architecture)
        return representatives

    def supernet(self) -> NB201Architecture:
        return NB201Architecture((OPERATIONS[1:],) * len(EDGES))

    def everything(self) -> NB201Architecture:
        return NB201Architecture((OPERATIONS,) * len(EDGES))

    def kept(self, architecture: NB201Architecture) -> tuple[Choice, ...]:
        return tuple(
            Choice(e, operation) for e, kept in enumerate(architecture.edges) for operation in kept
        )

    def without(self, architecture: NB201Architecture, *removed: Choice) -> NB201Architecture:
        return NB201Architecture(
            tuple(
                tuple(operation for operation in kept if (e, operation) not in removed)
                for e, kept in enumerate(architecture.edges)
            )
        )

    def describe(self, choice: Choice) -> str:
        i, j = EDGES[choice.edge]
        return f"{choice.operation} on {i}-{j}"

    def terms(self, architecture: NB201Architecture) -> dict[NB201Architecture, int]:
        """An operation each, on an edge of a cell that is empty but for it; and what the empty
        one then has too often."""
        empty = ("none",)
        terms = Counter(
            NB201Architecture(
                tuple((operation,) if e == edge else empty for e in range(len(EDGES)))
            )
            for edge, operation in self.kept(architecture)
            if operation != "none"
        )
        terms[NB201Architecture((empty,) * len(EDGES))] = 1 - len(terms)
        return terms

    def build(
        self, architecture: NB201Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        return CellNetwork(architecture.edges, **_sizes(scale, inputs, classes))

    def export(
        self, architecture: NB201Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        sizes = _sizes(scale, inputs, classes)
        return source_of(nasbench201_network), call("CellNetwork", (architecture.edges,), sizes)

    def graphs(self, architecture: NB201Architecture) -> tuple[CellGraph, ...]:
        edges = tuple(
            Edge(i, j, operation)
            for (i, j), kept in zip(EDGES, architecture.edges, strict=True)
            for operation in kept
            if operation != "none"
        )
        return (CellGraph("cell", ("input", "1", "2", "output"), edges),)


def _from_naslib(text: str) -> NB201Architecture:
    """Six numbers of operations, by another order of edges and of operations than ours."""
    try:
        numbers = ast.literal_eval(text.strip())
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        numbers = None
    known = range(len(NASLIB_OPERATIONS))
    if (
        not isinstance(numbers, tuple | list)
        or len(numbers) != len(NASLIB_EDGES)
        or any(type(number) is not int or number not in known for number in numbers)
    ):
        raise ValueError(
            f"not a NAS-Bench-201 cell: expected NASLib's six numbers from 0 to {known[-1]}, such "
            f"as (4, 0, 3, 1, 4, 3), got {text!r}; or write |op~0|+|op~0|op~1|+|...|"
        )
    chosen = dict(zip(NASLIB_EDGES, numbers, strict=True))
    return _discrete([NASLIB_OPERATIONS[chosen[edge]] for edge in EDGES])


def _sizes(scale: Scale, inputs: Shape, classes: int) -> dict[str, Any]:
    """Keyword arguments of the network."""
    sizes = {"inputs": inputs[0], "classes": classes, "halvings": halvings(inputs)}
    return sizes | arguments(scale, CellScale)


def _discrete(operations: Sequence[str]) -> NB201Architecture:
    return NB201Architecture(tuple((operation,) for operation in operations))


def expression(architecture: NB201Architecture) -> str:
    """What the output node computes, as text; equal texts compute equal functions.

    A skip connection is its source, `none` and anything computed from it alone is `#`, a sum is
    the sorted list of its terms. This is the benchmark's notion, which stops short of equality
    of functions: a sum of two zeros is not seen to be zero, and the sum of a sum keeps its
    brackets' place. So it has 6,466 classes, where flattened sums without zeros would have 4,930.
    """
    nodes = ["0", "", "", ""]
    for j in (1, 2, 3):
        terms = []
        for (i, target), (operation,) in zip(EDGES, architecture.edges, strict=True):
            if target != j:
                continue
            if operation == "none" or nodes[i] == "#":
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[i])
            else:
                terms.append(f"({nodes[i]})@{operation}")
        nodes[j] = "+".join(sorted(terms))
    return nodes[3]


def reachable(architecture: NB201Architecture) -> bool:
    """Whether every operation but `none` lies on a path from input to output."""
    connections = [
        edge for edge, kept in zip(EDGES, architecture.edges, strict=True) if kept != ("none",)
    ]
    from_input, to_output = {0}, {3}
    for i, j in connections:  # edges come in topological order of their targets
        if i in from_input:
            from_input.add(j)
    for i, j in reversed(connections):
        if j in to_output:
            to_output.add(i)
    return all(i in from_input and j in to_output for i, j in connections)
