"""The pruning search of TE-NAS: from the supernet of all operations to one on each edge.

Source: Chen, Gong & Wang, "Neural Architecture Search on ImageNet in Four GPU Hours", ICLR 2021,
https://arxiv.org/abs/2102.11535, algorithm 1.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from untrained.search.ranks import dense_ranks
from untrained.search.searcher import Goal, Proposal, Searcher, Trial
from untrained.spaces.space import Architecture, Choice

Key = tuple[Architecture, tuple[int, ...]]


@dataclass(frozen=True)
class PruningSearch(Searcher):
    """Each round removes from every edge the operation that is missed least.

    For each operation o that an edge of the parent N still shares with others, and each score s
    with sign +1 where higher is better and -1 where lower is,

        gain_s(o) = mean over draws of sign (s(N without o) - s(N)) / |s(N)|

    rounded to three decimals a draw, as in the authors' code. Operations are ranked over all
    edges, highest gain first, equal gains sharing a rank; on every edge the operation with the
    lowest sum of ranks goes. On NAS-Bench-201 that is 24 + 18 + 12 = 54 operations evaluated.

    An operation without which some draw fails stays while its edge has another to give. Where a
    score fails for every operation of a round, the search ends without a pick.
    """

    common: bool = True
    """All operations of a round share draws, and the parent is measured on them once; otherwise
    each operation has draws of its own and the parent is measured again for it, as published."""

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        measured = {(trial.architecture, trial.draws): trial for trial in history}
        _, round_ = self._replay(measured)
        missing = [p for p in round_ if (p.architecture, p.draws) not in measured]
        return list(dict.fromkeys(missing))

    def pick(self, history: Sequence[Trial]) -> Architecture | None:
        parent, _ = self._replay({(trial.architecture, trial.draws): trial for trial in history})
        return None if parent.partial else parent

    def _replay(self, measured: Mapping[Key, Trial]) -> tuple[Architecture, list[Proposal]]:
        """The parent that the measured rounds lead to, and the round of proposals it needs."""
        parent, number = self.space.supernet(), 0
        while True:
            choices = self.space.choices(parent)
            pairs = [self._pair(parent, choice, number, k) for k, choice in enumerate(choices)]
            round_ = [proposal for pair in pairs for proposal in pair] or [
                Proposal(parent, self._draws(number, 0), "parent")
            ]
            if not pairs or any((p.architecture, p.draws) not in measured for p in round_):
                return parent, round_
            gains = [
                [
                    self._gain(goal, *(measured[p.architecture, p.draws] for p in pair))
                    for pair in pairs
                ]
                for goal in self.goals
            ]
            if any(all(gain is None for gain in column) for column in gains):
                return parent, []  # a score says nothing at all: better no pick than a blind one
            parent = self.space.without(parent, *least_missed(choices, gains))
            number += 1

    def _pair(
        self, parent: Architecture, choice: Choice, number: int, k: int
    ) -> tuple[Proposal, Proposal]:
        draws = self._draws(number, 0 if self.common else k)
        note = f"without {self.space.describe(choice)}"
        return (
            Proposal(parent, draws, "parent"),
            Proposal(self.space.without(parent, choice), draws, note),
        )

    def _draws(self, number: int, k: int) -> tuple[int, ...]:
        first = (number * 1000 + k) * self.draws
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
        gains = [
            round(sign * (after - before) / abs(before), 3)
            for before, after in pairs
            if after is not None
        ]
        return round(fmean(gains), 6) if gains and len(gains) == len(pairs) else None


def least_missed(
    choices: Sequence[Choice], gains: Sequence[Sequence[float | None]]
) -> tuple[Choice, ...]:
    """On each edge, the choice with the lowest sum of ranks of its gains; the first of equals.

    One of whose gains is missing comes after all others of its edge.

    Args:
        choices: operations, in edge order.
        gains: for each score, one gain a choice; None if it could not be measured.
    """
    columns = [dense_ranks(column, higher_is_better=True) for column in gains]
    by_edge: dict[int, list[tuple[bool, int, int]]] = defaultdict(list)
    for k, choice in enumerate(choices):
        failed = any(column[k] is None for column in gains)
        by_edge[choice.edge].append((failed, sum(ranks[k] for ranks in columns), k))
    return tuple(choices[min(ranked)[2]] for ranked in by_edge.values())
