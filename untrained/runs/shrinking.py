"""A smaller space to search: what a cheap score keeps of it.

Source: space reduction of Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
https://arxiv.org/abs/2011.06006; there a population is ranked, here any space by a threshold.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from statistics import fmean
from typing import Any

from torch import nn

from untrained.runs.config import ResolvedConfig, Shrink
from untrained.runs.measuring import Measuring
from untrained.runs.record import Shrunk
from untrained.runs.session import Progress, Session
from untrained.runs.setup import ScoreSetup, make_setup
from untrained.search import SEARCHERS, Proposal, Searcher
from untrained.search.random_search import RandomSearch
from untrained.spaces import Architecture, Scale, Shape, Space
from untrained.spaces.graph import CellGraph

POOL = 200
"Random architectures from which the threshold is taken."
TRIES = 100
"Architectures that are drawn for one that is kept, as a multiple of what is to be expected."


def shrink_setup(space: Space[Any], config: ResolvedConfig) -> tuple[ScoreSetup, ...]:
    """The setup of the cheap score; none where the space is left whole."""
    if config.shrink is None:
        return ()
    name = Shrink.parse(config.shrink).score
    settings = config.score_settings.get(name, {})
    return (make_setup(name, space, settings, config.short_training),)


def check_shrinks(searcher: Searcher) -> None:
    """Refuse a searcher that does not draw whole architectures from its space.

    Raises:
        ValueError: such a searcher.
    """
    kind = type(searcher)
    if kind.prunes or kind is SEARCHERS["given"] or getattr(searcher, "within", False):
        raise ValueError(
            "shrink: expected a searcher that draws whole architectures from the space, got one "
            "that is given them or takes supernets apart; try --searcher random, evolution, "
            "local or halving"
        )


def shrunk(session: Session) -> Session:
    """The same session, whose searcher sees what a cheap score keeps of the space.

    200 architectures are drawn at random, and measured by the score. Its threshold is the value
    of the last of those that the share keeps; failures are not kept. What the searcher draws or
    mutates is measured too, and passed on if it reaches the threshold. All of it is cached.

    Raises:
        ValueError: a score with which nothing, or no part, of the space can be discarded.
    """
    assert session.config.shrink is not None
    asked = Shrink.parse(session.config.shrink)
    [setup] = shrink_setup(session.space, session.config)
    cheap = _Cheap(replace(session.measuring, setups=(setup,)), setup, session.config.draws)
    drawn = RandomSearch(session.space, (), 0, evaluations=POOL).propose(
        (), POOL, random.Random(f"{session.config.seed}/shrink")
    )
    pool = [proposal.architecture for proposal in drawn]
    phase = f"search, {asked.score} of {len(pool)} random architectures"
    values = cheap.values(
        pool, lambda done, total: session.on_progress(Progress(phase, done, total))
    )
    found = Shrunk(
        score=asked.score,
        share=asked.share,
        threshold=_threshold(asked, values, higher_is_better=setup.score.higher_is_better),
        higher_is_better=setup.score.higher_is_better,
        values={str(a): value for a, value in zip(pool, values, strict=True)},
    )
    session.store.set_shrunk(session.id, vars(found))
    keeps = partial(_kept, cheap, found, {})
    space = ShrunkSpace(session.space, keeps, block=round(1 / asked.share))
    return replace(session, searcher=replace(session.searcher, space=space))


@dataclass(frozen=True)
class _Cheap:
    """What measures the cheap score."""

    measuring: Measuring
    setup: ScoreSetup
    draws: int

    def values(
        self,
        architectures: Sequence[Architecture],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[float | None]:
        """Means over draws, measured or looked up; None where one of them failed."""
        proposals = [Proposal(a, tuple(range(self.draws)), "shrink") for a in architectures]
        self.measuring.measure(proposals, on_progress)
        columns = [self.measuring.keys(proposal)[self.setup.name] for proposal in proposals]
        known = self.measuring.store.known([key for column in columns for key in column])
        readings = [[known[key].value for key in column] for column in columns]
        return [
            None if None in column else fmean(v for v in column if v is not None)
            for column in readings
        ]


def _threshold(asked: Shrink, values: Sequence[float | None], *, higher_is_better: bool) -> float:
    """The value of the last that is kept: max(1, round(share n)) of n are, and its equals."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        raise ValueError(
            f"shrink: expected a score with values that differ, got {asked.score}, which has "
            f"{'equal values' if known else 'none'} for {len(values)} random architectures"
        )
    best_first = sorted(known, reverse=higher_is_better)
    return best_first[min(len(known), max(1, round(asked.share * len(values)))) - 1]


def _kept(
    cheap: _Cheap,
    found: Shrunk,
    memory: dict[Architecture, bool],
    architectures: Sequence[Architecture],
) -> list[bool]:
    """Which of them reach the threshold; `memory` spares looking up what was met before."""
    new = [a for a in dict.fromkeys(architectures) if a not in memory]
    memory.update(zip(new, map(found.keeps, cheap.values(new)), strict=True))
    return [memory[a] for a in architectures]


class ShrunkSpace(Space[Any]):
    """A space without those of its architectures that are not kept.

    Args:
        whole: the space.
        keeps: which of some architectures are kept; always the same.
        block: how many are drawn, and measured, together.
    """

    def __init__(
        self,
        whole: Space[Any],
        keeps: Callable[[Sequence[Any]], list[bool]],
        block: int,
    ):
        self.whole, self.keeps, self.block = whole, keeps, block
        self.name, self.scales = whole.name, whole.scales  # type: ignore[misc]  # of this alone

    def sample(self, rng: random.Random) -> Any:
        for _ in range(TRIES):
            some = [self.whole.sample(rng) for _ in range(self.block)]
            for architecture in compress(some, self.keeps(some)):
                return architecture
        raise ValueError(
            f"shrink: expected some architecture that is kept among {TRIES * self.block:,} random "
            f"ones, got none; keep a larger share"
        )

    def neighbours(self, architecture: Any) -> tuple[Any, ...]:
        near = self.whole.neighbours(architecture)
        return tuple(compress(near, self.keeps(near)))

    def mutate(self, architecture: Any, rng: random.Random) -> Any:
        """A neighbour that is kept, uniformly; any other one that is kept where none is."""
        near = list(self.whole.neighbours(architecture))
        rng.shuffle(near)
        for start in range(0, len(near), self.block):
            some = near[start : start + self.block]
            for neighbour in compress(some, self.keeps(some)):
                return neighbour
        return self.sample(rng)

    def enumerate(self) -> Iterator[Any]:
        return (a for a in self.whole.enumerate() if self.keeps((a,))[0])

    def parse(self, text: str) -> Any:
        return self.whole.parse(text)

    def canonical(self, architecture: Any) -> Any:
        return self.whole.canonical(architecture)

    def terms(self, architecture: Any) -> Mapping[Any, int]:
        return self.whole.terms(architecture)

    def build(self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int) -> nn.Module:
        return self.whole.build(architecture, scale, inputs=inputs, classes=classes)

    def export(
        self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        return self.whole.export(architecture, scale, inputs=inputs, classes=classes)

    def features(self, architecture: Any) -> Mapping[str, float | str]:
        return self.whole.features(architecture)

    def graphs(self, architecture: Any) -> tuple[CellGraph, ...]:
        return self.whole.graphs(architecture)
