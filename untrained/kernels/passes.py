"""The passes that a plan asks for: tiles of Theta, groups of parameters, chunks of examples."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from untrained.analysis.plan import Plan
from untrained.kernels.products import NTKOperator
from untrained.kernels.verification import (
    beside,
    check_batches,
    check_outputs,
    check_pieces,
    check_rows,
    outputs,
)
from untrained.layerwise.collector import Collector
from untrained.layerwise.contraction import SMALL, Tile
from untrained.layerwise.structured import Passes, structured
from untrained.layerwise.survey import Survey
from untrained.networks.batchnorm import BatchNormPolicy, FrozenStatistics
from untrained.networks.jacobian import Jacobian, batched, loop, per_example
from untrained.networks.readout import Readout

ROWS = {"loop": loop, "batched": batched, "vmap": per_example}


class Work(NamedTuple):
    """What every tile of a kernel has in common."""

    model: nn.Module
    x1: Tensor
    x2: Tensor | None
    readout: Readout
    policy: BatchNormPolicy
    parameters: Mapping[str, nn.Parameter]
    survey: Survey
    plan: Plan
    expected: tuple[Tensor | None, Tensor | None] = (None, None)
    "Outputs that passes must give for the first examples of x1 and of x2; None: not known."

    @property
    def others(self) -> Tensor:
        """The examples of Theta's columns."""
        return self.x1 if self.x2 is None else self.x2


class Block(NamedTuple):
    """A tile of Theta: its examples, and where each parameter's share belongs."""

    rows: range
    columns: range | None
    "None where they are the rows."
    tiles: Mapping[str, Tile]


def compute(work: Work, labels: Mapping[str, str]) -> dict[str, Tensor]:
    """Theta of each label, tile by tile; `labels` are those of the parameters, by name."""
    work = _prepared(work)
    n, m, a = len(work.x1), len(work.others), work.readout.rows
    thetas = {
        label: torch.zeros(n * a, m * a, dtype=torch.float64, device=work.x1.device)
        for label in dict.fromkeys(labels.values())
    }
    for block in _blocks(work, labels, thetas):
        if work.plan.method == "structured":
            for passes in _by_layers(work, block):
                structured(passes)
        elif work.plan.method == "products":
            _by_products(work, block)
        else:
            _by_rows(work, block)
    return thetas


def _prepared(work: Work) -> Work:
    """The same once statistics are taken, and examples of two batches found independent."""
    plan, n = work.plan, len(work.x1)
    if plan.method in ("loop", "batched") and work.survey.rich:
        # Convolutions of many channels have faster gradients so; per-example ones do not.
        x2 = None if work.x2 is None else _channels_last(work.x2)
        work = work._replace(x1=_channels_last(work.x1), x2=x2)
    parts = work.x2 is not None or plan.method == "vmap" or plan.chunk < n or plan.side < n
    if isinstance(work.policy, FrozenStatistics) and parts:
        work.policy.calibrate(work.model, work.x1.split(plan.calibration))
    if plan.method == "structured":
        return work._replace(expected=_expected(work)) if parts else work
    if work.x2 is not None and plan.method != "vmap":
        check_batches(work.model, work.x1, work.x2, work.readout, work.policy, work.parameters)
    return work


def _channels_last(x: Tensor) -> Tensor:
    images = x.ndim == 4 and x.is_cpu
    return x.contiguous(memory_format=torch.channels_last) if images else x


def _blocks(
    work: Work, labels: Mapping[str, str], thetas: Mapping[str, Tensor]
) -> Iterator[Block]:
    """Tiles of Theta; what was summed in one is put in its places once the next is asked for."""
    plan, a = work.plan, work.readout.rows
    small = min(SMALL, plan.workspace // 16) if plan.method == "structured" else 0
    for rows, columns in tile_ranges(
        len(work.x1), None if work.x2 is None else len(work.x2), plan.side
    ):
        width = None if columns is None else len(columns)
        i = slice(rows.start * a, rows.stop * a)
        j = i if columns is None else slice(columns.start * a, columns.stop * a)
        tiles = {
            label: Tile(len(rows), width, a, plan.precision, theta[i, j], small)
            for label, theta in thetas.items()
        }
        yield Block(rows, columns, {name: tiles[label] for name, label in labels.items()})
        for label, tile in tiles.items():
            found = tile.theta()
            if work.x2 is None and columns is not None:
                thetas[label][j, i] = found.T


def tile_ranges(n: int, m: int | None, side: int) -> Iterator[tuple[range, range | None]]:
    """Rows and columns of each tile; columns are None where they are the rows."""
    rows = [range(start, min(start + side, n)) for start in range(0, n, side)]
    if m is None:
        for k, some in enumerate(rows):
            yield some, None
            yield from ((some, others) for others in rows[:k])
        return
    columns = [range(start, min(start + side, m)) for start in range(0, m, side)]
    yield from product(rows, columns)


def _by_layers(work: Work, block: Block) -> Iterator[Passes]:
    """The passes of a tile's examples for each group of parameters."""
    plan = work.plan
    shown = [(work.x1, work.expected[0], block.rows)]
    if block.columns is not None:
        shown.append((work.others, work.expected[work.x2 is not None], block.columns))
    chunks = [x for all_, _, some in shown for x in _split(_shown(all_, some), plan.chunk)]
    known = [
        None
        if expected is None
        else _shown(expected, range(start, min(start + plan.chunk, some.stop)))
        for _, expected, some in shown
        for start in range(some.start, some.stop, plan.chunk)
    ]

    def met(index: int, outputs: Tensor) -> None:
        expected = known[index]
        if expected is not None and len(expected):
            check_outputs(outputs[: len(expected)], expected, work.model)

    sizes = [len(chunk) for chunk in chunks]
    for group in plan.groups:
        parameters = {name: work.parameters[name] for name in group}
        yield Passes(
            work.model,
            chunks,
            work.readout,
            plan.columns,
            work.policy,
            work.survey.sites,
            Collector(parameters, block.tiles, sizes, work.survey.uses, plan.workspace),
            met,
        )


def _expected(work: Work) -> tuple[Tensor | None, Tensor | None]:
    """Outputs for the first examples of both batches, where passes are not of one whole batch.

    Where they see a part of a batch, from passes as large as fit; where there are two batches,
    from a pass of some examples of both.
    """
    plan, batches = work.plan, [work.x1] if work.x2 is None else [work.x1, work.x2]
    found: list[Tensor | None] = [None, None]
    for k, x in enumerate(batches):
        if min(plan.chunk, plan.side) < min(len(x), plan.calibration):
            found[k] = torch.cat(list(outputs(work.model, x.split(plan.calibration), work.policy)))
    if work.x2 is not None:
        few = max(MIXED, len(work.x1) // MIXED)
        parts = [x[: min(few, plan.calibration)] for x in batches]
        together = beside(work.model, parts, work.policy)
        for k, part in enumerate(together.split([len(part) for part in parts])):
            known = found[k]
            if known is None:
                found[k] = part
            else:
                check_outputs(part, known[: len(part)], work.model)
    return found[0], found[1]


MIXED = 16
"""Examples of each of two batches, if this is no less than so small a part of the first, that are
passed together once more."""


def _by_rows(work: Work, block: Block) -> None:
    """One tile from rows of J, of a group of parameters at a time."""
    method, plan = ROWS[work.plan.method], work.plan
    for group in plan.groups:
        for r in work.readout.matrix.split(plan.columns, 1):

            def j(
                x: Tensor, some: range, r: Tensor = r, group: tuple[str, ...] = group
            ) -> Jacobian:
                found = method(work.model, x, some, r, work.policy, group, plan.together)
                if plan.method == "vmap":
                    _check(work, x, some, r, found)
                return found

            j1 = j(work.x1, block.rows)
            j2 = None
            if block.columns is not None:
                j2 = j(work.others, block.columns)
            for name in group:
                block.tiles[name].add(j1[name], None if j2 is None else j2[name])


def _check(work: Work, x: Tensor, some: range, r: Tensor, rows: Jacobian) -> None:
    """Rows from the batch as a whole, or from as much of it as one pass may hold."""
    fitting = max(1, work.plan.memory // 4 // work.survey.forward_bytes)
    if len(x) <= fitting:
        check_rows(work.model, x, some, r, work.policy, rows)
        return
    for start in range(0, len(some), fitting):
        part = slice(start, start + fitting)
        shown = _shown(x, some)[part]
        found = {name: j[part] for name, j in rows.items()}
        check_rows(work.model, shown, range(len(shown)), r, work.policy, found)


def _by_products(work: Work, block: Block) -> None:
    """All of Theta, column by column."""
    names: dict[int, list[str]] = {}
    for name in work.parameters:
        names.setdefault(id(block.tiles[name]), []).append(name)
    x1 = work.x1.split(work.plan.chunk)
    x2 = None if work.x2 is None else work.x2.split(work.plan.chunk)
    for pieces in (x1, x2 or ()):
        check_pieces(work.model, pieces, work.policy, work.plan.calibration)
    for group in names.values():
        tile = block.tiles[group[0]]
        parameters = {name: work.parameters[name] for name in group}
        operator = NTKOperator(work.model, x1, x2, work.readout, parameters, work.policy)
        r = work.readout.rows
        for column in range(tile.m * r):
            unit = work.readout.matrix.new_zeros(tile.m, r)
            unit[column // r, column % r] = 1
            tile.set_column(column, operator.times(unit).flatten())


def _shown(x: Tensor, some: range) -> Tensor:
    return x if some == range(len(x)) else x[some.start : some.stop]


def _split(x: Tensor, size: int) -> Sequence[Tensor]:
    return x.split(size) if size < len(x) else (x,)
