"""NAS-Bench-101: cells of at most seven vertices and nine edges, operations on the vertices.

423,624 cells that differ by the benchmark's own hash, on which vertices off every path from
input to output, and the order of the others, have no bearing.

Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019,
https://arxiv.org/abs/1902.09635.
"""

import hashlib
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import ClassVar

from torch import nn

from untrained.spaces import nasbench101_network
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.nasbench101_network import GraphNetwork
from untrained.spaces.space import Architecture, CellScale, Scale, Shape, Space, halvings

VERTICES, EDGES = 7, 9
"The most that a cell has."
SHORT = {"i": "input", "c3": "conv3x3-bn-relu", "c1": "conv1x1-bn-relu", "mp": "maxpool3x3",
         "o": "output"}  # fmt: skip
"Operations as the text form names them, and as the benchmark does."
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"In the order in which the benchmark numbers them."
NASLIB_OPERATIONS = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
"In the order in which NASLib does, https://github.com/automl/NASLib."

Matrix = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, order=True)
class NB101Architecture(Architecture):
    """A cell: operations on the vertices of an acyclic graph, vertices in topological order."""

    operations: tuple[str, ...]
    "`input` first and `output` last."
    matrix: Matrix
    "matrix[i][j] is 1 where vertex i leads to vertex j > i, and 0 elsewhere."

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) where vertex i leads to vertex j, in order."""
        return tuple(
            (i, j) for i, row in enumerate(self.matrix) for j, there in enumerate(row) if there
        )

    def __str__(self) -> str:
        short = {name: code for code, name in SHORT.items()}
        codes = "-".join(short[name] for name in self.operations)
        return f"{codes}:{','.join(f'{i}-{j}' for i, j in self.edges)}"


class NASBench101(Space[NB101Architecture]):
    """The space; a stateless value."""

    name = "nasbench101"
    cells_are_graphs: ClassVar = True
    scales: ClassVar = {
        "full": CellScale(channels=128, cells=3),
        "narrow": CellScale(channels=16, cells=1),
        "small": CellScale(channels=8, cells=1),
        "thin": CellScale(channels=6, cells=1, stages=1),
    }

    def parse(self, text: str) -> NB101Architecture:
        """From `i-c3-mp-o:0-1,1-2,1-3,2-3`: operations, then edges.

        In place of edges, the matrix row by row is read too: `i-c3-o:010001000`; and NASLib's
        tuple of the matrix, row by row, and the numbers of operations.

        Example:
            >>> text = "i-c3-mp-o:0-1,1-2,1-3,2-3"
            >>> str(NASBench101().parse(text)) == text
            True
            >>> str(NASBench101().parse("i-c3-o:010001000"))
            'i-c3-o:0-1,1-2'
        """
        if text.strip().startswith(("(", "[")):
            return _from_naslib(text)
        codes, colon, rest = text.strip().partition(":")
        form = re.fullmatch(r"(\d+-\d+)(,\d+-\d+)*|[01]+", rest)
        if not colon or not form:
            raise ValueError(
                f"not a NAS-Bench-101 cell: expected operations and edges such as "
                f"i-c3-mp-o:0-1,1-2,1-3,2-3, or the matrix after the colon, got {text!r}"
            )
        operations = [_operation(code) for code in codes.split("-")]
        n = len(operations)
        if "-" not in rest:
            if len(rest) != n * n:
                raise ValueError(
                    f"expected a matrix of {n} x {n} digits for {n} operations in {text!r}, got "
                    f"{len(rest)} digits"
                )
            return cell(
                [[int(d) for d in rest[n * v : n * (v + 1)]] for v in range(n)], operations
            )
        matrix = [[0] * n for _ in range(n)]
        for i, j in (map(int, edge.split("-")) for edge in rest.split(",")):
            if not i < j < n:
                raise ValueError(
                    f"expected edges from a vertex to a later one of 0 to {n - 1}, got {i}-{j} in "
                    f"{text!r}; number the vertices so that no edge leads back"
                )
            matrix[i][j] = 1
        return cell(matrix, operations)

    def sample(self, rng: random.Random) -> NB101Architecture:
        """As in the benchmark's examples: every edge of seven vertices with probability 1/2 and
        operations uniformly, drawn again until the cell is a valid one. So not uniform over the
        different cells; the rows of the benchmark's table are."""
        while True:
            operations = ["input", *rng.choices(OPERATIONS, k=VERTICES - 2), "output"]
            bits = {
                pair: rng.getrandbits(1) for pair in itertools.combinations(range(VERTICES), 2)
            }
            matrix = [[bits.get((i, j), 0) for j in range(VERTICES)] for i in range(VERTICES)]
            found = _pruned(matrix, operations)
            if found is not None and len(found.edges) <= EDGES:
                return found

    def neighbours(self, architecture: NB101Architecture) -> tuple[NB101Architecture, ...]:
        """One operation exchanged, one edge more or less, or one vertex with two edges more.

        What an absent edge leaves off every path goes too. No two compute the same.
        """
        pruned = prune(architecture)
        found = {graph_hash(pruned): pruned}
        for matrix, operations in _changed(pruned):
            other = _pruned(matrix, operations)
            if other is not None and len(other.edges) <= EDGES:
                found.setdefault(graph_hash(other), other)
        return tuple(found.values())[1:]

    def enumerate(self) -> Iterator[NB101Architecture]:
        """Every canonical cell once, in the order in which the benchmark was generated: 1, 6, 84,
        2,441, 62,010 and 359,082 of two to seven vertices. Cells of up to five take seconds, all
        take hours."""
        for n in range(2, VERTICES + 1):
            pairs = _pairs(n)
            for bits in range(1 << len(pairs)):
                matrix = _matrix(n, (pair for k, pair in enumerate(pairs) if bits >> k & 1))
                if bits.bit_count() > EDGES or len(_on_a_path(matrix)) < n:
                    continue
                for inner in itertools.product(OPERATIONS, repeat=n - 2):
                    found = NB101Architecture(("input", *inner, "output"), matrix)
                    if self.canonical(found) == found:
                        yield found

    def canonical(self, architecture: NB101Architecture) -> NB101Architecture:
        """The first of its isomorphic cells in the order in which the benchmark was generated,
        without vertices that lie on no path from input to output.

        That is the one the benchmark trained. Where channels do not divide evenly, its order
        decides which vertex takes one more.
        """
        return _canonical(architecture)

    def build(
        self, architecture: NB101Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The network of the canonical cell, as trained for the benchmark's table."""
        trained = self.canonical(architecture)
        return GraphNetwork(
            trained.matrix,
            trained.operations,
            inputs=inputs[0],
            classes=classes,
            halvings=halvings(inputs),
            **arguments(scale, CellScale),
        )

    def export(
        self, architecture: NB101Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        trained = self.canonical(architecture)
        sizes = {"inputs": inputs[0], "classes": classes, "halvings": halvings(inputs)}
        sizes |= arguments(scale, CellScale)
        values = (trained.matrix, trained.operations)
        return source_of(nasbench101_network), call("GraphNetwork", values, sizes)

    def graphs(self, architecture: NB101Architecture) -> tuple[CellGraph, ...]:
        """Operations stand on the vertices, so edges carry none."""
        names = [
            name if name in ("input", "output") else f"{v}: {name.removesuffix('-bn-relu')}"
            for v, name in enumerate(architecture.operations)
        ]
        edges = tuple(Edge(i, j, "") for i, j in architecture.edges)
        return (CellGraph("cell", tuple(names), edges),)


def _from_naslib(text: str) -> NB101Architecture:
    """n^2 digits of the matrix, then n numbers of operations."""
    numbers = [int(digit) for digit in re.findall(r"\d", text)]
    n = (math.isqrt(1 + 4 * len(numbers)) - 1) // 2
    listed = r"[(\[](?: *[0-4] *,)* *[0-4] *,? *[)\]]"
    if not re.fullmatch(listed, text.strip()) or len(numbers) != n * n + n:
        raise ValueError(
            f"not a NAS-Bench-101 cell: expected NASLib's tuple of n x n digits and n numbers of "
            f"operations from 0 to {len(NASLIB_OPERATIONS) - 1}, got {text!r}; or write "
            f"i-c3-mp-o:0-1,1-2,1-3,2-3"
        )
    matrix = [numbers[n * v : n * (v + 1)] for v in range(n)]
    return cell(matrix, [NASLIB_OPERATIONS[number] for number in numbers[n * n :]])


def cell(matrix: Sequence[Sequence[int]], operations: Sequence[str]) -> NB101Architecture:
    """The architecture of a matrix and operations as the benchmark has them.

    Args:
        matrix: n rows of n, upper triangular, of 0 and 1; n is at most 7.
        operations: `input`, names out of `OPERATIONS`, `output`.

    Raises:
        ValueError: no such cell, or one that the benchmark does not hold.

    Example:
        >>> str(cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"]))
        'i-mp-o:0-1,1-2'
    """
    n = len(operations)
    rows = tuple(tuple(int(there) for there in row) for row in matrix)
    if len(rows) != n or any(len(row) != n for row in rows):
        raise ValueError(
            f"expected a matrix of {n} x {n} for {n} operations, got {len(rows)} rows of "
            f"{sorted({len(row) for row in rows})}"
        )
    if not 2 <= n <= VERTICES:
        raise ValueError(f"expected a cell of 2 to {VERTICES} vertices, got {n}")
    if operations[0] != "input" or operations[-1] != "output":
        raise ValueError(
            f"expected a cell from input (i) to output (o), got one from {operations[0]} to "
            f"{operations[-1]}"
        )
    for name in operations[1:-1]:
        if name not in OPERATIONS:
            raise ValueError(
                f"expected operations out of {', '.join(OPERATIONS)} between input and output, "
                f"got {name!r}"
            )
    for i, j in itertools.product(range(n), repeat=2):
        if rows[i][j] not in (0, 1) or (rows[i][j] and i >= j):
            raise ValueError(
                f"expected 0 or 1 above the diagonal of the matrix and 0 elsewhere, got "
                f"{rows[i][j]} in row {i}, column {j}; number the vertices so that no edge leads "
                f"back"
            )
    found = NB101Architecture(tuple(operations), rows)
    pruned = _pruned(rows, operations)
    if pruned is None:
        raise ValueError(f"expected a path from input to output, got none in {found}")
    if len(pruned.edges) > EDGES:
        raise ValueError(
            f"expected at most {EDGES} edges on paths from input to output, got "
            f"{len(pruned.edges)} in {found}"
        )
    return found


def prune(architecture: NB101Architecture) -> NB101Architecture:
    """The cell without vertices that lie on no path from input to output."""
    pruned = _pruned(architecture.matrix, architecture.operations)
    assert pruned is not None
    return pruned


def graph_hash(architecture: NB101Architecture) -> str:
    """The benchmark's hash, by which its table is keyed: equal for isomorphic cells.

    Each vertex begins with the hash of its degrees and its operation; as many times as there are
    vertices it takes up the hashes of those before and after it.
    """
    pruned = prune(architecture)
    n, matrix = len(pruned.operations), pruned.matrix
    labels = [-1, *map(OPERATIONS.index, pruned.operations[1:-1]), -2]
    before = [[i for i in range(n) if matrix[i][v]] for v in range(n)]
    after = [[j for j in range(n) if matrix[v][j]] for v in range(n)]
    hashes = [_md5(str((len(after[v]), len(before[v]), labels[v]))) for v in range(n)]
    for _ in range(n):
        hashes = [
            _md5(
                "|".join(
                    (
                        "".join(sorted(hashes[u] for u in before[v])),
                        "".join(sorted(hashes[u] for u in after[v])),
                        hashes[v],
                    )
                )
            )
            for v in range(n)
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _operation(code: str) -> str:
    if code not in SHORT:
        near = get_close_matches(code, SHORT, n=1, cutoff=0) or list(SHORT)
        raise ValueError(
            f"unknown operation {code!r} in a NAS-Bench-101 cell: expected one of "
            f"{', '.join(SHORT)}; did you mean {near[0]}?"
        )
    return SHORT[code]


def _pairs(n: int) -> list[tuple[int, int]]:
    """The edges that a cell of n vertices may have, as the benchmark numbers them."""
    return [(i, j) for j in range(n) for i in range(j)]


def _matrix(n: int, edges: Iterable[tuple[int, int]]) -> Matrix:
    there = set(edges)
    return tuple(tuple(int((i, j) in there) for j in range(n)) for i in range(n))


def _on_a_path(matrix: Sequence[Sequence[int]]) -> list[int]:
    """The vertices that lie on a path from the first to the last, in order."""
    n = len(matrix)
    reached, reaching = {0}, {n - 1}
    for j in range(n):
        if any(matrix[i][j] for i in reached):
            reached.add(j)
    for i in reversed(range(n)):
        if any(matrix[i][j] for j in reaching):
            reaching.add(i)
    return sorted(reached & reaching)


def _pruned(
    matrix: Sequence[Sequence[int]], operations: Sequence[str]
) -> NB101Architecture | None:
    """The part of a graph that lies on paths from input to output; None if there is none."""
    kept = _on_a_path(matrix)
    if len(kept) < 2:
        return None
    return NB101Architecture(
        tuple(operations[v] for v in kept),
        tuple(tuple(matrix[i][j] for j in kept) for i in kept),
    )


def _changed(architecture: NB101Architecture) -> Iterator[tuple[list[list[int]], list[str]]]:
    """The graphs one change away, valid or not."""
    n = len(architecture.operations)
    operations = list(architecture.operations)
    matrix = [list(row) for row in architecture.matrix]
    for v in range(1, n - 1):
        for name in OPERATIONS:
            yield matrix, [*operations[:v], name, *operations[v + 1 :]]
    for i, j in itertools.combinations(range(n), 2):
        flipped = [list(row) for row in matrix]
        flipped[i][j] = 1 - flipped[i][j]
        yield flipped, operations
    if n == VERTICES:
        return
    for i, j in itertools.combinations(range(n), 2):  # a vertex between i and j, just before j
        wider = [[*row[:j], 0, *row[j:]] for row in (*matrix[:j], [0] * n, *matrix[j:])]
        wider[i][j] = wider[j][j + 1] = 1
        for name in OPERATIONS:
            yield wider, [*operations[:j], name, *operations[j:]]


@lru_cache(maxsize=100_000)
def _canonical(architecture: NB101Architecture) -> NB101Architecture:
    pruned = prune(architecture)
    n, edges = len(pruned.operations), pruned.edges
    number = {pair: k for k, pair in enumerate(_pairs(n))}
    orders = []
    for inner in itertools.permutations(range(1, n - 1)):
        place = dict(zip((0, *inner, n - 1), range(n), strict=True))
        if all(place[i] < place[j] for i, j in edges):
            moved = tuple((place[i], place[j]) for i, j in edges)
            bits = sum(1 << number[pair] for pair in moved)
            labels = tuple(OPERATIONS.index(pruned.operations[v]) for v in inner)
            orders.append((bits, labels, moved))
    _, labels, moved = min(orders)
    return NB101Architecture(
        ("input", *(OPERATIONS[label] for label in labels), "output"), _matrix(n, moved)
    )
