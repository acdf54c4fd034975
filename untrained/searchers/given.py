"""No search at all: architectures that somebody names."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from untrained.searchers.population import Population, listed, population_of
from untrained.searchers.ranks import best
from untrained.searchers.searcher import Proposal, Searcher, Trial
from untrained.settings import split_texts
from untrained.spaces.space import Architecture


@dataclass(frozen=True)
class Given(Searcher):
    """Measures the architectures it is given, and selects the lowest sum of ranks among them."""

    architectures: str = ""
    "Text forms, separated by spaces; each followed by `;` where they hold spaces themselves."
    population: str = ""
    """Instead of these `all` of the space, `random:N`, or a file with a text form a line, which
    may be too many for memory."""

    def check(self) -> None:
        if not (self.population or split_texts(self.architectures)):
            raise ValueError("expected --options.architectures with at least one, got none")
        if not self.population:
            return
        if self.architectures:
            raise ValueError(
                f"expected --options.architectures or --options.population, got both, the latter "
                f"{self.population!r}"
            )
        _ = self.asked  # which refuses what is no population

    @cached_property
    def asked(self) -> Population:
        """What is measured, in order."""
        if self.population:
            return population_of(self.space, self.population)
        return listed(self.space, split_texts(self.architectures))

    def part(self, start: int, stop: int) -> list[Proposal]:
        """Those from one position to before another."""
        draws = tuple(range(self.draws))
        return [Proposal(each, draws, "given") for each in self.asked.read(start, stop)]

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return self.part(
            len(history), len(history) + count if self.population else self.asked.count
        )

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best([t for t in history if not t.architecture.partial], self.goals)
        return found.architecture if found else None
