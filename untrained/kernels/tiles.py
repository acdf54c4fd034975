"""The NTK tile by tile, each as `ntk` gives it: for kernels that are larger than memory.

    Theta[I, J] = J[I] J[J]^T,    I, J blocks of s examples

A tile passes the 2 s examples of its rows and columns, once for each group of parameters whose
rows fit the memory limit. So all tiles together pass

    n m / s^2 tiles  x  2 s examples  x  g(s) groups  =  2 n m g(s) / s

examples, half as many where Theta is symmetric, and the side s is the one with the least g(s) / s.
The products of the rows, n m P multiply-adds, are the same whatever s is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from math import ceil
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as trees

from untrained.analysis.plan import Plan
from untrained.kernels.knowledge import known
from untrained.kernels.passes import tile_ranges
from untrained.kernels.planning import MEMORY
from untrained.kernels.question import Asked, Question, answer, plans
from untrained.layerwise.influence import Coupled
from untrained.networks.arguments import check_inputs, chosen_parameters, coarsest, plain
from untrained.networks.backends import as_written
from untrained.networks.batchnorm import evaluating
from untrained.networks.called import Call, Gathered, told_own_names
from untrained.networks.unwrapping import differentiable

FEW = 3
"Examples that tell what a network is, before all others are passed."
SHARES = 4
"Tiles for each process, or more."
SMALL_SIDE = 256
"Examples of a tile that is not divided to have more of them."
HELD = 16
"Bytes for an entry of a tile, which is there twice: as it is computed, and as it is given."
HASHED = 2**24
"Numbers that are hashed at a time."


class Layout(NamedTuple):
    """In which tiles a kernel is computed."""

    n: int
    m: int | None
    "None where the columns' examples are the rows'."
    side: int
    "Examples on each side of a tile."
    apart: int
    "Rows of Theta for each example."

    @property
    def shape(self) -> tuple[int, int]:
        """Of Theta."""
        return self.n * self.apart, (self.n if self.m is None else self.m) * self.apart

    @property
    def tiles(self) -> list[tuple[range, range | None]]:
        """Examples of each tile's rows and columns; None where these are the same."""
        return list(tile_ranges(self.n, self.m, self.side))

    def count(self, side: int) -> int:
        """Tiles of that side."""
        rows, columns = ceil(self.n / side), ceil((self.m or self.n) / side)
        return rows * (rows + 1) // 2 if self.m is None else rows * columns


@dataclass(frozen=True)
class TiledNTK:
    """The NTK of a network on inputs that are all known, of which any tile can be asked."""

    model: Callable[..., Any]
    "As for `ntk`."
    x1: Gathered
    x2: Gathered | None
    "The inputs of the columns; None where they are the rows'."
    asked: Asked
    "Under `running`; the memory limit is for one tile."
    call: Call
    entries: Literal["float32", "float64"]
    "The type of what is given."

    def tile(self, rows: range, columns: range | None) -> Float[NDArray[Any], "nq mq"]:
        """Theta between some examples and others, or of some with themselves."""
        others = self.x1 if self.x2 is None else self.x2
        x2 = None if columns is None else _part(others, columns)
        shown = self.call.on(self.model, _part(self.x1, rows), x2)
        theta = answer(*shown, self.asked, lambda name: "")[""].as_subclass(Tensor)
        given = theta.to("cpu", getattr(torch, self.entries), copy=True)
        theta.untyped_storage().resize_(0)  # torch may hold on to it: tiles would pile up
        return given.numpy()

    def first(self) -> Float[NDArray[Any], "nq mq"]:
        """Theta of the first few examples, which tells one network from another."""
        return self.tile(range(min(FEW, _count(self.x1))), None if self.x2 is None else range(1))

    def layout(self, side: int | None = None, lanes: int = 1) -> Layout:
        """Tiles of this side, or those with the fewest passes, enough for so many processes.

        Raises:
            ValueError: inputs that no kernel can be made of, examples that influence each other,
                or a memory limit too low for any tile.
        """
        n, m = _count(self.x1), None if self.x2 is None else _count(self.x2)
        seconds = iter(trees.tree_leaves(self.x2))
        for x in trees.tree_leaves(self.x1):
            check_inputs(x, next(seconds, None), self.asked.batchnorm)
        model, x, _ = self.call.on(self.model, _part(self.x1, range(min(FEW, n))), None)
        model = differentiable(model, self.asked.batchnorm)
        chosen = chosen_parameters(model, told_own_names(model, self.asked.parameters))
        refusals: dict[str, ValueError] = {}
        with evaluating(model), as_written(x):
            found, why = known(model, plain(x), None, self.asked.batchnorm, chosen)
            if found.coupled:
                raise ValueError(f"{Coupled()}: no part of the kernel is known without the rest")

            def planned(side: int) -> Plan | None:
                some = x[:1].expand(side, *x.shape[1:])
                labels = dict.fromkeys(chosen, "")
                question = Question(model, some, some, self.asked, chosen, labels)
                readout = question.readout(found)
                return next(plans(question, readout, found, dict(why), refusals), None)

            few = Question(model, x, None, self.asked, chosen, {}).readout(found)
            layout = Layout(n, m, side or 0, few.rows)
            memory = MEMORY if self.asked.memory is None else self.asked.memory
            side = side or _best_side(layout, lanes, memory, planned)
        if side is None:
            least = ValueError(
                f"memory: expected {HELD * layout.apart**2} bytes or more for a tile"
            )
            raise next(iter(refusals.values()), least)
        return layout._replace(side=min(side, max(n, m or 0)))

    def fingerprints(self) -> dict[str, str]:
        """Digests of what decides the kernel: the network, its inputs, and what is asked.

        A module is known by what it prints as, and by its parameters and buffers; what it computes
        is not, which `first` tells.
        """
        asked, call, model = self.asked, self.call, self.model
        if isinstance(model, nn.Module):
            named = chain(model.named_parameters(), model.named_buffers())
            network = digest(repr(model), *chain.from_iterable(named))
        else:
            network = digest(*trees.tree_leaves(call.params))
        few = self.call.on(model, _part(self.x1, range(1)), None)[0]
        chosen = chosen_parameters(few, told_own_names(few, asked.parameters))
        asked_for = asked.output, asked.method, asked.memory, asked.precision, call.dtype
        return {
            "network": network,
            "inputs": digest(*trees.tree_leaves(self.x1), "x2", *trees.tree_leaves(self.x2)),
            "settings": digest(*chosen, *asked_for, str(call.device), self.entries),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Of all three."""
        return digest(*self.fingerprints().values())

    @property
    def factors(self) -> torch.dtype:
        """The type that rows of J are computed in."""
        leaves = trees.tree_leaves(self.call.params)
        if isinstance(self.model, nn.Module):
            leaves = list(self.model.parameters())
        return self.call.dtype or coarsest(leaves)


def _best_side(
    layout: Layout, lanes: int, memory: int, planned: Callable[[int], Plan | None]
) -> int | None:
    """The side s with the least g(s) / s; None where no tile fits."""
    larger = max(layout.n, layout.m or 0)
    costs: dict[int, float] = {}
    for side in dict.fromkeys(ceil(larger / blocks) for blocks in range(1, larger + 1)):
        if costs and 1 / side > min(costs.values()):
            break
        enough = layout.count(side) >= SHARES * lanes or side <= SMALL_SIDE
        if not enough or HELD * (side * layout.apart) ** 2 > memory:
            continue
        plan = planned(side)
        if plan is not None and plan.side >= side:
            costs[side] = len(plan.groups) / side
    return min(costs, key=costs.__getitem__, default=None)


def _count(x: Gathered) -> int:
    return len(trees.tree_leaves(x)[0])


def _part(x: Gathered, some: range) -> Gathered:
    """Inputs of some examples, copied: what is mapped to be read must not be written."""
    return trees.tree_map(lambda each: each[some.start : some.stop].clone(), x)


def digest(*values: object) -> str:
    """32 hexadecimal digits that stand for values: tensors by their bytes, others as printed."""
    found = blake2b(digest_size=16)
    for value in values:
        if not isinstance(value, Tensor):
            found.update(repr(value).encode())
            continue
        found.update(repr((value.shape, value.dtype)).encode())
        for part in value.detach().flatten().split(HASHED):
            found.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()
