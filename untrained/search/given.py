"""No search at all: architectures that somebody names."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from untrained.search.ranks import best
from untrained.search.searcher import Proposal, Searcher, Trial
from untrained.settings import split_texts
from untrained.spaces.space import Architecture


@dataclass(frozen=True)
class Given(Searcher):
    """Measures the architectures it is given, and selects the lowest sum of ranks among them."""

    architectures: str = ""
    "Text forms, separated by spaces; each followed by `;` where they hold spaces themselves."

    def check(self) -> None:
        if not split_texts(self.architectures):
            raise ValueError("expected --options.architectures with at least one, got none")

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        texts, draws = split_texts(self.architectures), tuple(range(self.draws))
        asked = [Proposal(self.space.parse(text), draws, "given") for text in texts]
        return list(dict.fromkeys(asked))[len(history) :]

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best([t for t in history if not t.architecture.partial], self.goals)
        return found.architecture if found else None
