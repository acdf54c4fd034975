"""Local search: measure all neighbours, move to the best, start again where none is better.

Source: White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI
2021, https://arxiv.org/abs/2005.02960, algorithm 1.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from untrained.search.history import Summary, summary
from untrained.search.random_search import RandomSearch
from untrained.search.ranks import best
from untrained.search.searcher import Goal, Proposal, Searcher, Trial
from untrained.spaces.space import Architecture, Space

START = "start"
"The role of a trial from which a climb begins."


@dataclass(frozen=True)
class LocalSearch(Searcher):
    """Climbs from random architectures, each to a local optimum, until `evaluations`.

    The better of two has the lower sum of ranks over goals, among all that was measured when they
    were compared; a failure is never better. An architecture with the canonical form of a
    measured one is not measured again. Neighbours come in random order; a start is proposed
    together with the first of its own, to fill the batch.
    """

    evaluations: int = 100
    "Architectures to try."
    greedy: bool = False
    """Whether to move as soon as a neighbour is better ("query until lower"), or only once all
    are measured, to the best of them."""

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        count = min(count, self.evaluations - len(history))
        if count < 1:
            return []
        draws = tuple(range(self.draws))
        climb = summary(self.space, history, Climb, self.goals, self.greedy)
        near = climb.unmeasured()
        found: list[Proposal] = []
        if not near:
            starts = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
            for start in starts.propose(history, 1, rng):  # none where all is measured
                found.append(Proposal(start.architecture, draws, START, role=START))
                near = climb.unmeasured(start.architecture)
        rng.shuffle(near)
        return [*found, *(Proposal(a, draws, "neighbour") for a in near)][:count]

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None


class Climb(Summary):
    """Where the last climb has come to."""

    def __init__(self, space: Space[Any], goals: Sequence[Goal], greedy: bool):
        self.space, self.goals, self.greedy = space, goals, greedy
        self._place: Architecture | None = None
        self._near: dict[Architecture, Architecture] = {}
        "Canonical form -> the first neighbour of the place that has it."
        self._values: dict[Architecture, tuple[float, ...] | None] = {}
        "Canonical form -> what its first trial measured, lower is better; None for a failure."
        self._columns: list[list[float]] = [[] for _ in goals]
        "For each goal, every value of a trial without a failure, once, the best first."

    def add(self, trial: Trial) -> None:
        values = self._lower_is_better(trial)
        self._values.setdefault(self.space.canonical(trial.architecture), values)
        if values is not None:
            for column, value in zip(self._columns, values, strict=True):
                k = bisect_left(column, value)
                if column[k : k + 1] != [value]:
                    column.insert(k, value)
        if trial.role == START:
            self._move(trial.architecture)
        while better := self._better():
            self._move(better)

    def unmeasured(self, start: Architecture | None = None) -> list[Architecture]:
        """Neighbours of the place, or of a start, with forms that neither it nor a trial has."""
        near = self._near if start is None else neighbours_by_form(self.space, start)
        here = None if start is None else self.space.canonical(start)
        return [a for form, a in near.items() if form not in self._values and form != here]

    def _move(self, place: Architecture) -> None:
        self._place, self._near = place, neighbours_by_form(self.space, place)

    def _better(self) -> Architecture | None:
        """The best neighbour, if it is better than the place and it is time to move."""
        known = [form for form in self._near if form in self._values]
        if self._place is None or not known:
            return None
        if len(known) < len(self._near) and not self.greedy:
            return None
        top = min(known, key=self._rank_sum)
        here = self.space.canonical(self._place)
        return self._near[top] if self._rank_sum(top) < self._rank_sum(here) else None

    def _lower_is_better(self, trial: Trial) -> tuple[float, ...] | None:
        means = [trial.mean(goal.score) for goal in self.goals]
        signs = [-1 if goal.higher_is_better else 1 for goal in self.goals]
        values = [s * mean for s, mean in zip(signs, means, strict=True) if mean is not None]
        return tuple(values) if len(values) == len(means) else None

    def _rank_sum(self, form: Architecture) -> float:
        """As `ranks.rank_sums`, but from 0 on, among all trials so far; infinite for a failure."""
        values = self._values[form]
        if values is None:
            return math.inf
        return float(sum(map(bisect_left, self._columns, values)))


def neighbours_by_form(space: Space[Any], place: Architecture) -> dict[Architecture, Architecture]:
    """Canonical form -> the first neighbour of this form."""
    forms: dict[Architecture, Architecture] = {}
    for neighbour in space.neighbours(place):
        forms.setdefault(space.canonical(neighbour), neighbour)
    return forms
