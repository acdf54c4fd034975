"""The pruning search of TE-NAS: from the supernet of all operations to one on each edge.

Source: Chen, Gong & Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR 2021,
https://arxiv.org/abs/2102.11535, algorithm 1.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from untrained.searchers.ranks import dense_ranks
from untrained.searchers.searcher import Goal, Proposal, Searcher, Trial
from untrained.searchers.within import sample_within
from untrained.spaces.restricted import NothingKept
from untrained.spaces.space import Architecture, Choice, PrunableSpace

Key = tuple[Architecture, tuple[int, ...]]
Combination = Literal["sum", "min", "max", "raw"]
Gains = Sequence[Sequence[float | None]]
"For each score, one gain a choice; None if it could not be measured."


class Contest(NamedTuple):
    """Choices of which so many must go."""

    choices: tuple[Choice, ...]
    losers: int


@dataclass(frozen=True)
class PruningSearch(Searcher):
    """Each round removes from every edge the operations that are missed least.

    For each operation o that an edge of the parent N still shares with others, and each score s
    with sign +1 where higher is better and -1 where lower is,

        gain_s(o) = mean over draws of sign (s(N without o) - s(N)) / |s(N)|

    Operations are ranked over all edges, highest gain first, equal gains sharing a rank; on every
    edge those with the lowest sum of ranks go. On NAS-Bench-201 that is 24 + 18 + 12 = 54
    operations evaluated. Where nodes then have more input edges than the space allows, as in
    DARTS, a last round ranks their edges in the same way, and each node keeps those missed most.

    An operation without which some draw fails stays while its edge has another to give. Where a
    score fails for every operation of a round, the search ends without selecting one.
    """

    prunes: ClassVar = True
    anytime: ClassVar = False
    space: PrunableSpace[Any]
    prune: int | None = None
    "Operations that an edge loses in a round; by default 1 on NAS-Bench-201 and 3 on DARTS."
    common: bool = True
    """All operations of a round share draws, and the parent is measured on them once; otherwise
    each operation has draws of its own and the parent is measured again for it, as published."""
    gain: Literal["relative", "absolute"] = "relative"
    "Whether a gain is divided by |s(N)|, as in the authors' code, or not, as in the paper's text."
    digits: int = 3
    "Decimals to which each draw's gain is rounded, as in the authors' code."
    combine: Combination = "sum"
    """How scores are combined: `sum`, `min` or `max` of ranks, or `raw`, the sum of the gains
    themselves."""

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        measured = {(trial.architecture, trial.draws): trial for trial in history}
        _, round_ = self._replay(measured)
        missing = [p for p in round_ if (p.architecture, p.draws) not in measured]
        return list(dict.fromkeys(missing))

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        parent, _ = self._replay({(trial.architecture, trial.draws): trial for trial in history})
        return None if self._contests(parent) else parent

    def _replay(self, measured: Mapping[Key, Trial]) -> tuple[Architecture, list[Proposal]]:
        """The parent that the measured rounds lead to, and the round of proposals it needs."""
        parent, number = self.space.supernet(), 0
        while contests := self._contests(parent):
            choices = [choice for contest in contests for choice in contest.choices]
            pairs = [self._pair(parent, choice, number, k) for k, choice in enumerate(choices)]
            round_ = [proposal for pair in pairs for proposal in pair]
            if any((p.architecture, p.draws) not in measured for p in round_):
                return parent, round_
            gains = [
                [
                    self._gain(goal, *(measured[p.architecture, p.draws] for p in pair))
                    for pair in pairs
                ]
                for goal in self.goals
            ]
            if any(all(gain is None for gain in column) for column in gains):
                return parent, []  # a score says nothing at all: better none than a blind choice
            parent = self._pruned(parent, contests, gains)
            number += 1
        return parent, [Proposal(parent, self._draws(number, 0), "parent", role="parent")]

    def _pruned(
        self, parent: Architecture, contests: Sequence[Contest], gains: Gains
    ) -> Architecture:
        """The parent without the losers; in a restricted space it then still holds an
        architecture of that, so that some losers may be others."""
        orders = least_missed_first(contests, gains, self.combine)
        pruned = self.space.without(parent, *losers_of(contests, orders))
        if self._held_by(pruned) is not None:
            return pruned
        held = sample_within(self.space, random.Random(0), parent)
        for contest, order in zip(contests, orders, strict=True):
            left = contest.losers
            for choice in order if left else ():
                fewer = self.space.without(parent, choice)
                its = self._held_by(fewer) if choice in self.space.kept(held) else held
                if left and its is not None:
                    parent, held, left = fewer, its, left - 1
        return parent

    def _held_by(self, partial: Architecture) -> Architecture | None:
        """An architecture of the space that a partial one holds, if one is found."""
        try:
            return sample_within(self.space, random.Random(0), partial)
        except NothingKept:
            return None

    def _contests(self, parent: Architecture) -> list[Contest]:
        """What the next round decides: operations of each edge, then edges of each node."""
        prune = self.space.removed_at_once if self.prune is None else self.prune
        edges = groupby(self.space.choices(parent), key=lambda choice: choice.edge)
        contests = [tuple(choices) for _, choices in edges]
        if contests:
            return [Contest(choices, min(prune, len(choices) - 1)) for choices in contests]
        return [
            Contest(crowd.choices, len(crowd.choices) - crowd.keep)
            for crowd in self.space.crowded(parent)
        ]

    def _pair(
        self, parent: Architecture, choice: Choice, number: int, k: int
    ) -> tuple[Proposal, Proposal]:
        draws = self._draws(number, 0 if self.common else k)
        note = f"without {self.space.describe(choice)}"
        return (
            Proposal(parent, draws, "parent", role="parent"),
            Proposal(self.space.without(parent, choice), draws, note),
        )

    def _draws(self, number: int, k: int) -> tuple[int, ...]:
        first = (number * ROUND + k) * self.draws
        return tuple(range(first, first + self.draws))

    def _gain(self, goal: Goal, parent: Trial, candidate: Trial) -> float | None:
        """None where a draw that the parent resolved fails without the operation."""
        sign = 1 if goal.higher_is_better else -1
        pairs = [
            (before, after)
            for before, after in zip(
                parent.values[goal.score], candidate.values[goal.score], strict=True
            )
            if before
        ]
        if not pairs or any(after is None for _, after in pairs):
            return None
        gains = [
            round(
                sign * (after - before) / (abs(before) if self.gain == "relative" else 1),
                self.digits,
            )
            for before, after in pairs
            if after is not None
        ]
        return round(fmean(gains), 6)  # equal but for the order of summation is equal


ROUND = 1000
"Draws that a round has at its disposal for each of its draws; no round has more choices."


def least_missed(
    contests: Sequence[Contest], gains: Gains, combine: Combination = "sum"
) -> tuple[Choice, ...]:
    """The losers of each contest: the choices that are missed least, the first of equals.

    One of whose gains is missing comes after all others of its contest.

    Args:
        contests: choices, in order.
        gains: over the choices of all contests.
        combine: how ranks, or gains, of several scores become one number.
    """
    return losers_of(contests, least_missed_first(contests, gains, combine))


def losers_of(
    contests: Sequence[Contest], orders: Sequence[Sequence[Choice]]
) -> tuple[Choice, ...]:
    """As many of the first in each contest's order as must go."""
    pairs = zip(contests, orders, strict=True)
    return tuple(choice for contest, order in pairs for choice in order[: contest.losers])


def least_missed_first(
    contests: Sequence[Contest], gains: Gains, combine: Combination
) -> list[list[Choice]]:
    """Each contest's choices in the order in which they may go; see `least_missed`."""
    missed = combined(gains, combine)
    orders: list[list[Choice]] = []
    first = 0
    for choices, _ in contests:
        order = sorted(
            range(first, first + len(choices)),
            key=lambda k: (any(column[k] is None for column in gains), missed[k]),
        )
        orders.append([choices[k - first] for k in order])
        first += len(choices)
    return orders


def combined(gains: Gains, combine: Combination) -> list[float]:
    """One number a choice, lower for a choice that is missed less."""
    if combine == "raw":
        return [-sum(gain or 0.0 for gain in column) for column in zip(*gains, strict=True)]
    ranks = [dense_ranks(column, higher_is_better=True) for column in gains]
    return [float(one) for one in getattr(np, combine)(ranks, axis=0)]
