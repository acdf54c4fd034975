"""Shares of the kernel, gathered parameter by parameter while gradients arrive."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import pairwise
from operator import add
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.layerwise import costs
from untrained.layerwise.contraction import FINER, HALVED, SMALL, Factors, Tile
from untrained.layerwise.derivation import Derivation
from untrained.layerwise.outer import EmbeddingOuter, LinearOuter, Outer

Use = tuple[int | str, int]
"The number of a call, or the name of what it made of parameters; and of the parameter in it."
WHOLE = slice(None)
TOGETHER = 2**20
"Bytes of rows of a parameter up to which those of all columns of the readout are made at once."
CHANGED = "the network's program is not that of its survey"
Share = tuple[Callable[[Any], None], Any]
"What adds a share to its tile, and what it takes: rows of J, or the factors of blocks of them."


@dataclass
class Piece:
    """What one use of a parameter gives for the examples of one chunk."""

    outer: Outer | None
    compact: bool = False
    "Whether rows take less memory than the factors they come from."
    gradients: dict[int, Tensor] = field(default_factory=dict)
    "Column q of the readout -> D as `outer` takes it; or the rows (n, ...) themselves."

    def add(self, q: int, d: Tensor, last: bool = False) -> None:
        """Keeps a gradient; or its rows where these are smaller, and the input no longer then."""
        if self.compact and self.outer is not None:
            d = self.outer.rows(d, WHOLE).flatten(1)
            if last:
                self.outer = None
        self.gradients[q] = d

    def rows(self, q: int, part: slice) -> Tensor:
        """J_i of a part of the weight's first dimension; of all of it where rows are kept."""
        d = self.gradients[q]
        return d if self.outer is None or self.compact else self.outer.rows(d, part)

    def stacked(self, columns: Sequence[int]) -> Float[Tensor, "q n ..."]:
        """The gradients of several columns."""
        return torch.stack([self.gradients[q] for q in columns])

    def every(self, columns: Sequence[int]) -> Float[Tensor, "q n p"]:
        """J_i of several columns, of the whole weight."""
        d = self.stacked(columns)
        rows = d if self.outer is None or self.compact else self.outer.every(d, WHOLE)
        return rows.reshape(*d.shape[:2], -1)

    @property
    def factored(self) -> Outer | None:
        """What has factors for one matrix, to be multiplied instead of rows."""
        kept = self.outer is not None and not self.compact and self.outer.groups == 1
        return self.outer if kept else None


class Collector:
    """Makes gradients the shares that parameters have in their tiles.

    A share is due as soon as its gradient is there, if that is of its parameter's only use, chunk
    and column; the rest are due after all passes. Whoever asks for shares adds each at once.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        tiles: Mapping[str, Tile],
        chunks: Sequence[int],
        uses: Mapping[str, int],
        workspace: int,
    ):
        self.names = {id(p): name for name, p in parameters.items()}
        self.derivations: dict[str, Derivation] = {}
        "Of tensors made of parameters, whose rows are the parameters'."
        self.tiles = tiles
        "Where each parameter's share belongs."
        self.chunks = chunks
        "How many examples each chunk has."
        self.expected = uses
        "Uses of each parameter, and of each derived tensor."
        self.workspace = workspace
        "Bytes for what is held of one parameter at a time."
        self.columns: Sequence[int] = ()
        self.uses: dict[str, dict[Use, dict[int, Piece]]] = defaultdict(dict)
        "name -> use -> chunk -> piece"

    def begin(self, columns: Sequence[int]) -> None:
        """Gradients of these columns of the readout are about to come."""
        self.columns = columns

    def piece(self, name: str, use: Use, chunk: int, outer: Outer | None) -> Piece:
        """Where the gradients of one use go."""
        known = self.uses[name].setdefault(use, {})
        if chunk not in known:
            many = len(self.chunks) > 1
            small = many and outer is not None and _row_bytes(outer) < outer.factor_bytes
            known[chunk] = Piece(outer, small)
        return known[chunk]

    def due(self, name: str) -> Iterator[Share]:
        """The parameter's share, if its gradient that came is all there is of it."""
        if len(self.chunks) == len(self.columns) == self.expected[name] == 1:
            yield from self._shares(name)

    def rest(self) -> Iterator[Share]:
        """The shares that are left: an output that no gradient reached has none."""
        for name in self.derivations:  # in the order of the passes: sums of another one differ
            if name in self.uses:
                yield from self._shares(name)
        for name in list(self.uses):
            yield from self._shares(name)

    def _shares(self, name: str) -> Iterator[Share]:
        """What has come of a parameter, a part of its rows at a time."""
        uses = self._reached(name)
        del self.uses[name]
        if not uses:
            return
        if name in self.derivations:
            yield from self._pulled_back(name, uses)
            return
        tile, outers = self.tiles[name], _factored(uses)
        parts = [WHOLE]
        if outers is not None and self._row_bytes(outers[0], len(self.columns)) > SMALL:
            if self._prefers_grams(outers, tile):
                yield tile.add_grams, self._blocks(uses, outers, tile)
                return
            parts = self._parts(outers[0], tile)
        if self._few(uses):
            every = self._every(uses).transpose(0, 1)
            yield tile.add, every if tile.apart > 1 else every.reshape(len(every), 1, -1)
            return
        for part in parts:
            rows = (_flat(self._rows(uses, q, part))[:, None] for q in self.columns)
            if 1 < tile.apart == len(self.columns):
                yield tile.add, torch.cat([*rows], 1)
            else:
                for each in rows:
                    yield tile.add, each

    def _reached(self, name: str) -> list[list[Piece]]:
        """The pieces of each use, chunk by chunk; a use that no gradient reached adds nothing."""
        uses = [[use[chunk] for chunk in sorted(use)] for use in self.uses[name].values()]
        return [pieces for pieces in uses if pieces[0].gradients]

    def _rows(self, uses: Sequence[Sequence[Piece]], q: int, part: slice) -> Tensor:
        """J of column q for the examples of all chunks, summed over the uses of the weight."""
        if len(uses) == len(uses[0]) == 1:
            return uses[0][0].rows(q, part)
        outers = _factored(uses)
        if outers is not None and all(isinstance(outer, LinearOuter) for outer in outers):
            return torch.cat([_summed(pieces, q, part) for pieces in zip(*uses, strict=True)])
        # Each chunk and use may have its rows in another order in memory.
        whole = (torch.cat([_ordered(p.rows(q, part)) for p in use]) for use in uses)
        return reduce(add, whole)

    def _few(self, uses: Sequence[Sequence[Piece]]) -> bool:
        """Whether rows of several columns are so small that each call takes more than its work."""
        outer, gradients = uses[0][0].outer, uses[0][0].gradients
        if len(self.columns) == 1 or len(self.chunks) > 1:
            return False
        given = sum(d.nbytes for d in gradients.values())
        rows = given if outer is None else self._row_bytes(outer, len(self.columns))
        return rows <= TOGETHER and max(given, rows) <= self.workspace // 4

    def _every(self, uses: Sequence[Sequence[Piece]]) -> Float[Tensor, "q n p"]:
        """The same for all columns and the whole weight, of one chunk."""
        pieces = [use[0] for use in uses]
        if len(pieces) > 1 and all(isinstance(piece.factored, LinearOuter) for piece in pieces):
            d = torch.cat([piece.stacked(self.columns) for piece in pieces], 2)
            return LinearOuter(_inputs(pieces), d.shape[3]).every(d, WHOLE).flatten(2)
        return reduce(add, (piece.every(self.columns) for piece in pieces))

    def _pulled_back(self, name: str, uses: Sequence[Sequence[Piece]]) -> Iterator[Share]:
        """Makes rows of what was derived rows of the parameters."""
        derivation = self.derivations[name]
        for q in self.columns:
            for source, rows in derivation.pulled_back(self._rows(uses, q, WHOLE)).items():
                for chunk, part in enumerate(rows.split(list(self.chunks))):
                    self.piece(source, (name, 0), chunk, None).add(q, part)
        for source in derivation.sources:
            if self.expected[source] == 1:  # no other use is to come
                yield from self._shares(source)

    def _row_bytes(self, outer: Outer, columns: int) -> int:
        """Of the rows of all examples, for so many columns of the readout."""
        return sum(self.chunks) * columns * _row_bytes(outer)

    def _parts(self, outer: Outer, tile: Tile) -> list[slice]:
        """Slices of the weight's first dimension whose rows fit into the workspace."""
        held = self._row_bytes(outer, tile.apart) // outer.outs
        step = max(1, self.workspace // max(held, 1))
        return [slice(o, o + step) for o in range(0, outer.outs, step)]

    def _positions(self, outers: Sequence[Outer]) -> int:
        """t; further uses of a weight are further positions."""
        return sum(outer.positions for outer in outers[:: len(self.chunks)])

    def _prefers_grams(self, outers: Sequence[Outer], tile: Tile) -> bool:
        """Whether A A^T and D D^T are cheaper than the rows."""
        if len(outers) > 1 and any(isinstance(outer, EmbeddingOuter) for outer in outers):
            return False  # each numbers its own words
        if len({outer.transposed for outer in outers}) > 1:
            return False  # A of one is D of another
        a, o, t = outers[0].ins, outers[0].outs, self._positions(outers)
        examples, q = tile.n * tile.m / tile.halves, len(self.columns)
        each = q * q if tile.apart == q else q
        work = f"product_{tile.precision}"
        finer = work if t == 1 else f"product_{FINER[tile.precision]}"
        by_grams = costs.gram_seconds(finer, examples * t * t, a, o, q, tile.apart == q)
        making = q * sum(outer.row_seconds for outer in outers)
        return by_grams < making + costs.seconds(work, macs=examples * each * a * o)

    def _blocks(
        self, uses: Sequence[Sequence[Piece]], outers: Sequence[Outer], tile: Tile
    ) -> list[tuple[int, Callable[[], Factors]]]:
        """The factors of blocks of examples, as `Tile.add_grams` takes them."""
        q = len(self.columns)
        t = self._positions(outers)
        # Bytes of products in float64 and float32, and of the factors and their copies.
        pairs = 12 * t * t * (q * q if tile.apart == q else 1)
        numbers = 24 * t * (outers[0].ins + q * outers[0].outs)
        room = min(int((self.workspace / pairs) ** 0.5), self.workspace // numbers)
        # An eighth of a symmetric tile at most, so that its upper half is not computed.
        step = max(1, min(room, max(HALVED // 2, tile.n // 8)))
        blocks: list[tuple[int, Callable[[], Factors]]] = []
        start = 0
        for chunk, n in enumerate(self.chunks):
            bounds = sorted({*range(0, n, step), n, max(0, min(n, tile.n - start))})
            for low, high in pairwise(bounds):
                pieces = [use[chunk] for use in uses]
                blocks.append((start + low, partial(self._factors, pieces, slice(low, high))))
            start += n
        return blocks

    def _factors(self, uses: Sequence[Piece], part: slice) -> tuple[Tensor, Tensor]:
        """A (n, t, a) and D (n, q, t, o); further uses of a weight are further positions."""
        inputs, gradients = [], []
        for outer, known in ((use.outer, use.gradients) for use in uses):
            assert outer is not None, "what is kept as rows has no factors"
            inputs.append(outer.inputs(part, known[self.columns[0]]))
            each = [outer.gradients(known[q], part) for q in self.columns]
            gradients.append(torch.stack(each, 1))
        if len(uses) == 1:
            return inputs[0], gradients[0]
        return torch.cat(inputs, 1), torch.cat(gradients, 2)


def _factored(uses: Sequence[Sequence[Piece]]) -> list[Outer] | None:
    """The outer products of all pieces, use by use, if all have factors for one matrix."""
    found = [piece.factored for use in uses for piece in use]
    known = [outer for outer in found if outer is not None]
    return known if len(known) == len(found) else None


def _summed(uses: Sequence[Piece], q: int, part: slice) -> Tensor:
    """J of several uses of a linear layer, by one product: they are further positions."""
    d = torch.cat([use.gradients[q] for use in uses], 1)
    return LinearOuter(_inputs(uses), d.shape[2]).rows(d, part)


def _inputs(uses: Sequence[Piece]) -> Float[Tensor, "n t a"]:
    """A of several uses, one after another."""
    return torch.cat([use.outer.kept for use in uses if use.outer is not None], 1)


def _row_bytes(outer: Outer) -> int:
    """Of one example's rows."""
    return 4 * outer.outs * outer.ins


def _ordered(rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n p"]:
    """Rows in the parameter's own order."""
    return rows.reshape(len(rows), -1)


def _flat(rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n p"]:
    """Rows in the order of memory, the same for every example: a sum does not ask for more."""
    if rows.is_contiguous():
        return _ordered(rows)
    order = sorted(range(1, rows.ndim), key=rows.stride, reverse=True)
    return _ordered(rows.permute(0, *order))
