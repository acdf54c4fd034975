"""The passes that a plan asks for: tiles of Theta, groups of parameters, chunks of examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from untrained.kernels.batchnorm import BatchNormPolicy, FrozenStatistics, Policy, policy_mode
from untrained.kernels.collector import Collector
from untrained.kernels.contraction import Tile
from untrained.kernels.jacobian import Jacobian, batched, loop, per_example
from untrained.kernels.plan import Plan
from untrained.kernels.products import NTKOperator
from untrained.kernels.readout import Readout
from untrained.kernels.sites import Site
from untrained.kernels.structured import structured
from untrained.kernels.survey import Survey

ROWS = {"loop": loop, "batched": batched, "vmap": per_example}


def compute(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None,
    readout: Readout,
    batchnorm: Policy,
    chosen: Mapping[str, nn.Parameter],
    plan: Plan,
    found: Survey,
    label: Callable[[str], str],
) -> dict[str, Tensor]:
    """Theta of each label, tile by tile."""
    policy = policy_mode(batchnorm)
    if plan.method in ("loop", "batched") and found.rich and x1.ndim == 4 and x1.is_cpu:
        # Convolutions of many channels have faster gradients so; per-example ones do not.
        x1 = x1.contiguous(memory_format=torch.channels_last)
        x2 = None if x2 is None else x2.contiguous(memory_format=torch.channels_last)
    n, m = len(x1), None if x2 is None else len(x2)
    parts = m is not None or plan.method == "vmap" or plan.chunk < n or plan.side < n
    if isinstance(policy, FrozenStatistics) and parts:
        policy.calibrate(model, x1.split(plan.calibration))
    work = _Work(model, x1, x2, readout, policy, chosen, plan, found.sites, found.uses)
    way = WAYS.get(plan.method, _by_rows)
    labels = list(dict.fromkeys(map(label, chosen)))
    places = list(_tiles(n, m, plan.side))
    thetas: dict[str, Tensor] = {}
    for rows, columns in places:
        tiles = _labelled(labels, rows, columns, readout, plan, x1.device)
        way(work, rows, columns, {name: tiles[label(name)] for name in chosen})
        for name in labels:
            block = tiles[name].theta()
            if len(places) == 1:
                thetas[name] = block
                continue
            a = readout.rows
            if name not in thetas:
                thetas[name] = block.new_zeros(n * a, (m or n) * a)
            i = slice(rows.start * a, rows.stop * a)
            j = i if columns is None else slice(columns.start * a, columns.stop * a)
            thetas[name][i, j] = block
            if m is None and columns is not None:
                thetas[name][j, i] = block.T
    return thetas


def _labelled(
    labels: Sequence[str],
    rows: range,
    columns: range | None,
    readout: Readout,
    plan: Plan,
    device: torch.device,
) -> dict[str, Tile]:
    """An empty tile for each label."""
    n, m = len(rows), None if columns is None else len(columns)
    return {name: Tile(n, m, readout.rows, plan.precision, device) for name in labels}


def _tiles(n: int, m: int | None, side: int) -> Iterator[tuple[range, range | None]]:
    """Rows and columns of each tile; columns are None where they are the rows."""
    rows = [range(start, min(start + side, n)) for start in range(0, n, side)]
    if m is None:
        for k, some in enumerate(rows):
            yield some, None
            yield from ((some, others) for others in rows[:k])
        return
    columns = [range(start, min(start + side, m)) for start in range(0, m, side)]
    yield from product(rows, columns)


class _Work(NamedTuple):
    """What every tile of a kernel has in common."""

    model: nn.Module
    x1: Tensor
    x2: Tensor | None
    readout: Readout
    policy: BatchNormPolicy
    parameters: Mapping[str, nn.Parameter]
    plan: Plan
    sites: Sequence[Site]
    uses: Mapping[str, int]


Tiles = Mapping[str, Tile]
"The tile that each parameter's share belongs to."


def _structured(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """One tile by passes of its examples, a group of parameters at a time."""
    plan = work.plan
    x = _shown(work.x1, rows)
    if columns is not None:
        x = torch.cat([x, _shown(work.x1 if work.x2 is None else work.x2, columns)])
    chunks = x.split(plan.chunk)
    for group in plan.groups:
        parameters = {name: work.parameters[name] for name in group}
        sizes = [len(chunk) for chunk in chunks]
        collector = Collector(parameters, tiles, sizes, work.uses, plan.workspace)
        structured(
            work.model, chunks, work.readout, work.policy, work.sites, collector, plan.columns
        )


def _by_rows(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """One tile from rows of J, of a group of parameters at a time."""
    method, plan = ROWS[work.plan.method], work.plan
    for group in plan.groups:
        for r in work.readout.matrix.split(plan.columns, 1):

            def j(
                x: Tensor, some: range, r: Tensor = r, group: tuple[str, ...] = group
            ) -> Jacobian:
                return method(work.model, x, some, r, work.policy, group, plan.together)

            j1 = j(work.x1, rows)
            j2 = None
            if columns is not None:
                j2 = j(work.x1 if work.x2 is None else work.x2, columns)
            for name in group:
                tiles[name].add(j1[name], None if j2 is None else j2[name])


def _by_products(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """All of Theta, column by column."""
    names: dict[int, list[str]] = {}
    for name in work.parameters:
        names.setdefault(id(tiles[name]), []).append(name)
    x1 = work.x1.split(work.plan.chunk)
    x2 = None if work.x2 is None else work.x2.split(work.plan.chunk)
    for group in names.values():
        tile = tiles[group[0]]
        parameters = {name: work.parameters[name] for name in group}
        operator = NTKOperator(work.model, x1, x2, work.readout, parameters, work.policy)
        r = work.readout.rows
        for column in range(tile.m * r):
            unit = work.readout.matrix.new_zeros(tile.m, r)
            unit[column // r, column % r] = 1
            tile.set_column(column, operator.times(unit).flatten())


WAYS = {"structured": _structured, "products": _by_products}


def _shown(x: Tensor, some: range) -> Tensor:
    return x[some.start : some.stop]
