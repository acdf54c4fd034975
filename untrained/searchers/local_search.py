"""Local search: measure all neighbours, move to the best, start again where none is better.

Source: White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI
2021, https://arxiv.org/abs/2005.02960, algorithm 1.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from untrained.searchers.history import Summary, forms_of, summary
from untrained.searchers.random_search import RandomSearch
from untrained.searchers.ranks import best
from untrained.searchers.searcher import AsynchronousSearcher, Goal, Proposal, Trial
from untrained.spaces.space import Architecture, Space

START = "start"
"The role of a trial from which a climb begins."


@dataclass(frozen=True)
class LocalSearch(AsynchronousSearcher):
    """Climbs from random architectures, each to a local optimum, until `evaluations`.

    The better of two has the lower sum of ranks over goals, among all that was measured when they
    were compared; a failure is never better. An architecture with the canonical form of a
    measured one is not measured again. Neighbours come in random order; a start is proposed
    together with the first of its own, to fill the batch. In an asynchronous search another climb
    begins where all neighbours on those that have begun are being measured.
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
        climbs = summary(self.space, history, Climbs, self.goals, self.greedy)
        near = climbs.unmeasured()
        found: list[Proposal] = []
        if not near:
            starts = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
            for start in starts.propose(history, 1, rng):  # none where all is measured
                found.append(Proposal(start.architecture, draws, START, role=START))
                near = climbs.unmeasured(found)
        rng.shuffle(near)
        return [*found, *(Proposal(a, draws, "neighbour") for a in near)][:count]

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        if len(history) + len(pending) >= self.evaluations:
            return None
        draws = tuple(range(self.draws))
        climbs = summary(self.space, history, Climbs, self.goals, self.greedy)
        if near := climbs.unmeasured(pending):
            return Proposal(rng.choice(near), draws, "neighbour")
        starts = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
        start = starts.propose_one(history, pending, rng)
        return start and Proposal(start.architecture, draws, START, role=START)

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None


class Place(NamedTuple):
    """Where a climb has come to."""

    form: Architecture
    "Canonical."
    near: dict[Architecture, Architecture]
    "Canonical form -> the first neighbour that has it."


class Climbs(Summary):
    """Where climbs have come to that are not at their ends; several in asynchronous searches."""

    def __init__(self, space: Space[Any], goals: Sequence[Goal], greedy: bool):
        self.space, self.goals, self.greedy = space, goals, greedy
        self._places: list[Place] = []
        "The earliest climb first."
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
            self._places.append(self._place(trial.architecture))
        self._places = [place for place in map(self._climbed, self._places) if place]

    def unmeasured(self, pending: Sequence[Proposal] = ()) -> list[Architecture]:
        """Neighbours on the first climb with some that are neither measured nor pending.

        Climbs whose starts are pending come last.
        """
        taken = forms_of(self.space, pending)
        starts = (self._place(p.architecture) for p in pending if p.role == START)
        for place in chain(self._places, starts):
            left = [a for form, a in place.near.items() if self._is_new(form, taken)]
            if left:
                return left
        return []

    def _is_new(self, form: Architecture, taken: Set[Architecture]) -> bool:
        return form not in self._values and form not in taken

    def _place(self, architecture: Architecture) -> Place:
        near: dict[Architecture, Architecture] = {}
        for neighbour in self.space.neighbours(architecture):
            near.setdefault(self.space.canonical(neighbour), neighbour)
        return Place(self.space.canonical(architecture), near)

    def _climbed(self, place: Place) -> Place | None:
        """Where the climb has come to from the place; None at its end."""
        while True:
            known = [form for form in place.near if form in self._values]
            whole = len(known) == len(place.near)
            if not known or not (whole or self.greedy):
                return None if whole else place
            top = min(known, key=self._rank_sum)
            if self._rank_sum(top) >= self._rank_sum(place.form):
                return None if whole else place
            place = self._place(place.near[top])

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
