"""NSGA-II: a population that moves towards the Pareto front of several scores, and along it.

Source: Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm:
NSGA-II", IEEE Transactions on Evolutionary Computation 6, 2002,
https://doi.org/10.1109/4235.996017.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from untrained.search.history import Summary, canonical_forms, summary
from untrained.search.pareto import chosen, crowding, points_of, ranks
from untrained.search.random_search import RandomSearch
from untrained.search.ranks import is_sound
from untrained.search.searcher import Goal, Proposal, Searcher, Trial
from untrained.spaces.space import Architecture, Space

TRIES = 20
"Children that are made in search of an architecture that is not measured yet."


@dataclass(frozen=True)
class NSGA2(Searcher):
    """Random at first; then children of parents that are on early fronts and not crowded there.

    Each trial joins the population; of `population` + 1, one goes: the most crowded of the last
    front. A parent is the better of two drawn from it, by front and then by crowding. A child is
    a mutation of what two parents cross to. What has the canonical form of a measured one is not
    measured again.

    Selected is the knee of the front of all trials; `select` of a run says otherwise.
    """

    axes: ClassVar = True
    evaluations: int = 200
    "Architectures to try, the random ones included."
    population: int = 40
    "Trials that parents are drawn from; as many are random."

    def check(self) -> None:
        if len(self.goals) < 2:
            raise ValueError(
                f"searcher: nsga2 seeks a front between two scores or more, got only "
                f"{self.goals[0].score}; try --scores {self.goals[0].score} latency"
            )

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        wanted = min(count, self.evaluations - len(history))
        if wanted < 1:
            return []
        living = summary(self.space, history, Population, self.goals, self.population)
        first = min(self.population, self.evaluations)
        if len(history) >= first and living.trials:
            if children := self._children(living, history, wanted, rng):
                return children
            first = self.evaluations  # all around is measured
        sampler = RandomSearch(self.space, self.goals, self.draws, max(first, len(history) + 1))
        return sampler.propose(history, wanted, rng)

    def _children(
        self, living: "Population", history: Sequence[Trial], wanted: int, rng: random.Random
    ) -> list[Proposal]:
        """Of parents, by canonical form; fewer than wanted where few are new."""
        draws, seen = tuple(range(self.draws)), canonical_forms(self.space, history)
        found: dict[Architecture, Proposal] = {}
        for _ in range(TRIES * wanted):
            if len(found) == wanted:
                break
            crossed = self.space.cross(living.parent(rng), living.parent(rng), rng)
            child = self.space.mutate(crossed, rng)
            canonical = self.space.canonical(child)
            if canonical not in seen and canonical not in found:
                found[canonical] = Proposal(child, draws, "child")
        return list(found.values())

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        return chosen(history, self.goals)


class Population(Summary):
    """The trials that parents are drawn from."""

    def __init__(self, space: Space[Any], goals: Sequence[Goal], size: int):
        self.goals, self.size = goals, size
        self.trials: list[Trial] = []
        self.fitness: list[tuple[int, float]] = []
        "Of each, the number of its front, and minus its crowding distance: the less, the better."

    def add(self, trial: Trial) -> None:
        if not is_sound(trial, self.goals):
            return
        self.trials.append(trial)
        self._judge()
        if len(self.trials) > self.size:
            del self.trials[max(range(len(self.trials)), key=self.fitness.__getitem__)]
            self._judge()

    def _judge(self) -> None:
        points = points_of(self.trials, self.goals)
        fronts = ranks(points)
        distances = np.zeros(len(points))
        for number in range(fronts.max() + 1):
            distances[fronts == number] = crowding(points[fronts == number])
        self.fitness = list(zip(fronts.tolist(), (-distances).tolist(), strict=True))

    def parent(self, rng: random.Random) -> Architecture:
        """The better of two drawn with replacement."""
        pair = rng.choices(range(len(self.trials)), k=2)
        return self.trials[min(pair, key=self.fitness.__getitem__)].architecture
