"""Regularised evolution: mutate a good one, let the oldest die.

Source: Real, Aggarwal, Huang & Le, "Regularized Evolution for Image Classifier Architecture
Search", AAAI 2019, https://arxiv.org/abs/1802.01548.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from untrained.searchers.random_search import RandomSearch
from untrained.searchers.ranks import best
from untrained.searchers.searcher import AsynchronousSearcher, Proposal, Trial
from untrained.spaces.space import Architecture


@dataclass(frozen=True)
class RegularisedEvolution(AsynchronousSearcher):
    """Random at first; then each child mutates the best of a random sample of the living.

    The living are the last `population` trials; the best of a sample has the lowest sum of ranks
    within it. Proposals of one batch see the same history. In an asynchronous search the living
    are the last whose results have come.
    """

    evaluations: int = 100
    "Architectures to try, the first population included."
    population: int = 20
    "Trials alive at a time."
    sample: int = 5
    "Trials drawn for a tournament."

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        first = self._first()
        if len(history) < first.evaluations:
            return first.propose(history, count, rng)
        alive = history[-self.population :]
        return [
            self._child(alive, rng) for _ in range(min(count, self.evaluations - len(history)))
        ]

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        proposed, first = len(history) + len(pending), self._first()
        if proposed < first.evaluations:
            return first.propose_one(history, pending, rng)
        if proposed >= self.evaluations:
            return None
        return self._child(history[-self.population :], rng)

    def _first(self) -> RandomSearch:
        """The search that the first population comes from."""
        size = min(self.population, self.evaluations)
        return RandomSearch(self.space, self.goals, self.draws, size)

    def _child(self, alive: Sequence[Trial], rng: random.Random) -> Proposal:
        tournament = rng.sample(alive, min(self.sample, len(alive)))
        winner = best(tournament, self.goals)
        draws = tuple(range(self.draws))
        if winner is None:
            return Proposal(self.space.sample(rng), draws, "random")
        return Proposal(self.space.mutate(winner.architecture, rng), draws, "mutation")

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None
