"""Scores of how a cell's operations are connected, whatever their weights.

A run gives the network of an architecture an attribute `connectivity`: a tuple (depth, width) for
each of its cells, as `untrained.spaces.connectivity` defines them. No pass is made.

Source: Chen, Huang, Gong, Hanin & Wang, "Deep Architecture Connectivity Matters for Its
Convergence: A Fine-Grained Analysis", NeurIPS 2022, https://arxiv.org/abs/2205.05662.
"""

from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class ConnectivityScore(Score):
    """A number of a network's cells, its mean over them."""

    place: ClassVar[int]
    "Of the number in a cell's tuple."
    higher_is_better: ClassVar = True
    network: ClassVar = "small"
    weights: ClassVar = None
    probe: ClassVar = ProbeSpec(count=1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        cells = getattr(network, "connectivity", ())
        if not cells:
            return Reading(
                None,
                "expected a network that a run built from a space whose cells are graphs of "
                "operations, such as nasbench201, got one without the attribute connectivity",
            )
        return Reading(fmean(cell[self.place] for cell in cells))


@dataclass(frozen=True)
class EffectiveDepth(ConnectivityScore):
    """d = mean over paths p of a cell of sum of e in p, e = 1 for an operation with weights.

    The source finds that cells of moderate depth and width converge best: higher is better up to
    a point.
    """

    place: ClassVar = 0
    meaning: ClassVar = (
        "Mean number of operations with weights on a path through a cell (effective depth)."
    )


@dataclass(frozen=True)
class EffectiveWidth(ConnectivityScore):
    """m = #{paths p of a cell: sum of e in p > 0} / d, with d the effective depth.

    As for depth, the source finds moderate values best.
    """

    place: ClassVar = 1
    meaning: ClassVar = (
        "Paths through a cell that pass operations with weights, over its effective depth "
        "(effective width)."
    )
