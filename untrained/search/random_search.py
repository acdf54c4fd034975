"""Random search: the baseline that every other must beat."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from untrained.search.history import canonical_forms
from untrained.search.ranks import best
from untrained.search.searcher import Proposal, Searcher, Trial
from untrained.search.within import sample_within
from untrained.spaces.space import Architecture


@dataclass(frozen=True)
class RandomSearch(Searcher):
    """Uniform samples of the space, no two with the same canonical form."""

    evaluations: int = 100
    "Architectures to try."
    within: bool = False
    "Only architectures that the supernet holds: without `none`, as the pruning search ends."

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        seen = canonical_forms(self.space, history)
        found: dict[Architecture, Proposal] = {}
        draws = tuple(range(self.draws))
        wanted = min(count, self.evaluations - len(history))
        for _ in range(1000 * count):  # a small space may hold fewer than `evaluations`
            if len(found) >= wanted:
                break
            architecture = (
                sample_within(self.space, rng) if self.within else self.space.sample(rng)
            )
            canonical = self.space.canonical(architecture)
            if canonical not in seen and canonical not in found:
                found[canonical] = Proposal(architecture, draws, "random")
        return list(found.values())

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None
