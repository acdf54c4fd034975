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

from untrained.searchers.history import Summary, canonical_forms, forms_of, summary
from untrained.searchers.pareto import chosen, crowding, points_of, ranks
from untrained.searchers.random_search import RandomSearch
from untrained.searchers.ranks import is_sound
from untrained.searchers.searcher import AsynchronousSearcher, Goal, Proposal, Trial
from untrained.spaces.space import Architecture, Space

TRIES = 20
"Children that are made in search of an architecture that is not measured yet."


@dataclass(frozen=True)
class NSGA2(AsynchronousSearcher):
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
        children = self._children(history, (), wanted, rng)
        return children or self._random(children, len(history)).propose(history, wanted, rng)

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        proposed = len(history) + len(pending)
        if proposed >= self.evaluations:
            return None
        children = self._children(history, pending, 1, rng)
        if children:
            return children[0]
        return self._random(children, proposed).propose_one(history, pending, rng)

    def _random(self, children: list[Proposal] | None, proposed: int) -> RandomSearch:
        """Where what follows comes from: the first population, or where all around is measured."""
        first = min(self.population, self.evaluations) if children is None else self.evaluations
        return RandomSearch(self.space, self.goals, self.draws, max(first, proposed + 1))

    def _children(
        self,
        history: Sequence[Trial],
        pending: Sequence[Proposal],
        wanted: int,
        rng: random.Random,
    ) -> list[Proposal] | None:
        """Of parents, by canonical form; fewer than wanted where few are new. None without any."""
        living = summary(self.space, history, Population, self.goals, self.population)
        first = min(self.population, self.evaluations)
        if len(history) + len(pending) < first or not living.trials:
            return None
        draws, seen = tuple(range(self.draws)), canonical_forms(self.space, history)
        under_way = forms_of(self.space, pending)
        found: dict[Architecture, Proposal] = {}
        for _ in range(TRIES * wanted):
            if len(found) == wanted:
                break
            crossed = self.space.cross(living.parent(rng), living.parent(rng), rng)
            child = self.space.mutate(crossed, rng)
            canonical = self.space.canonical(child)
            if not any(canonical in known for known in (seen, under_way, found)):
                found[canonical] = Proposal(child, draws, "child")
        return list(found.values())

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        return chosen(history, self.goals)


class Population(Summary):
    """The trials that parents are drawn from."""

    def __init__(self, space: Space[Any], goals: Sequence[Goal], size: int):
        self.goals, self.size = goals, size
        self.trials: list[Trial] = []
        self._fitness: list[tuple[int, float]] | None = None
        "Of each, once it was asked for."

    def add(self, trial: Trial) -> None:
        if not is_sound(trial, self.goals):
            return
        self.trials.append(trial)
        self._fitness = None
        if len(self.trials) > self.size:
            del self.trials[max(range(len(self.trials)), key=self.fitness().__getitem__)]
            self._fitness = None

    def fitness(self) -> list[tuple[int, float]]:
        """Of each, its front's number, and minus its crowding distance: the less, the better."""
        if self._fitness is None:
            points = points_of(self.trials, self.goals)
            fronts = ranks(points)
            distances = np.zeros(len(points))
            for number in range(fronts.max() + 1):
                distances[fronts == number] = crowding(points[fronts == number])
            self._fitness = list(zip(fronts.tolist(), (-distances).tolist(), strict=True))
        return self._fitness

    def parent(self, rng: random.Random) -> Architecture:
        """The better of two drawn with replacement."""
        pair = rng.choices(range(len(self.trials)), k=2)
        return self.trials[min(pair, key=self.fitness().__getitem__)].architecture
