"""Random search: the baseline that every other must beat."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from untrained.searchers.history import canonical_forms, forms_of
from untrained.searchers.ranks import best
from untrained.searchers.searcher import AsynchronousSearcher, Proposal, Trial
from untrained.searchers.within import sample_within
from untrained.spaces.space import Architecture


@dataclass(frozen=True)
class RandomSearch(AsynchronousSearcher):
    """Uniform samples of the space, no two with the same canonical form."""

    evaluations: int = 100
    "Architectures to try."
    within: bool = False
    "Only architectures that the supernet holds: without `none`, as the pruning search ends."

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return self._new(history, (), count, rng)

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        return next(iter(self._new(history, pending, 1, rng)), None)

    def _new(
        self,
        history: Sequence[Trial],
        pending: Sequence[Proposal],
        count: int,
        rng: random.Random,
    ) -> list[Proposal]:
        """Of which there is none yet, fewer than `count` where the search, or the space, ends."""
        seen, under_way = canonical_forms(self.space, history), forms_of(self.space, pending)
        found: dict[Architecture, Proposal] = {}
        draws = tuple(range(self.draws))
        wanted = min(count, self.evaluations - len(history) - len(pending))
        for _ in range(1000 * count):  # a small space may hold fewer than `evaluations`
            if len(found) >= wanted:
                break
            architecture = (
                sample_within(self.space, rng) if self.within else self.space.sample(rng)
            )
            canonical = self.space.canonical(architecture)
            if not any(canonical in known for known in (seen, under_way, found)):
                found[canonical] = Proposal(architecture, draws, "random")
        return list(found.values())

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None
