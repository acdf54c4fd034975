"""Local search: measure all neighbours, move to the best, start again where none is better.

Source: White, Nolen & Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI
2021, https://arxiv.org/abs/2005.02960, algorithm 1.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from untrained.search.history import canonical_forms
from untrained.search.random_search import RandomSearch
from untrained.search.ranks import best, dense_ranks
from untrained.search.searcher import Proposal, Searcher, Trial
from untrained.spaces.space import Architecture

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
        seen = set(canonical_forms(self.space, history))
        draws = tuple(range(self.draws))
        place = self._place(history)
        near = [] if place is None else self._unmeasured(place, seen)
        found: list[Proposal] = []
        if not near:
            starts = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
            for start in starts.propose(history, 1, rng):  # none where all is measured
                found.append(Proposal(start.architecture, draws, START, role=START))
                seen.add(self.space.canonical(start.architecture))
                near = self._unmeasured(start.architecture, seen)
        rng.shuffle(near)
        return [*found, *(Proposal(a, draws, "neighbour") for a in near)][:count]

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None

    def _unmeasured(self, place: Architecture, seen: set[Architecture]) -> list[Architecture]:
        return [neighbour for form, neighbour in self._near(place).items() if form not in seen]

    def _near(self, place: Architecture) -> dict[Architecture, Architecture]:
        """Canonical form -> the first neighbour of this form."""
        forms: dict[Architecture, Architecture] = {}
        for neighbour in self.space.neighbours(place):
            forms.setdefault(self.space.canonical(neighbour), neighbour)
        return forms

    def _place(self, history: Sequence[Trial]) -> Architecture | None:
        """Where the last climb has come to: the history walked through again, trial by trial."""
        values = [[trial.mean(goal.score) for goal in self.goals] for trial in history]
        sound = [None not in row for row in values]
        columns = [
            [row[g] if fine else None for row, fine in zip(values, sound, strict=True)]
            for g in range(len(self.goals))
        ]

        def rank_sums(t: int) -> list[float]:
            """Among the first t trials, with infinity for a failure."""
            ranks = [
                dense_ranks(column[:t], higher_is_better=goal.higher_is_better)
                for column, goal in zip(columns, self.goals, strict=True)
            ]
            return [
                float(sum(row)) if fine else math.inf
                for *row, fine in zip(*ranks, sound[:t], strict=True)
            ]

        near_of = cache(self._near)
        measured: dict[Architecture, int] = {}  # canonical form -> its first trial
        place: Architecture | None = None
        for t, trial in enumerate(history):
            measured.setdefault(self.space.canonical(trial.architecture), t)
            if trial.role == START:
                place = trial.architecture
            while place is not None:
                near = near_of(place)
                known = [form for form in near if form in measured]
                if not known or (len(known) < len(near) and not self.greedy):
                    break
                sums = rank_sums(t + 1)
                top = min(known, key=lambda form: sums[measured[form]])
                if sums[measured[top]] >= sums[measured[self.space.canonical(place)]]:
                    break
                place = near[top]
        return place
