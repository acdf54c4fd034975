"""A smaller space to search: what a cheap score keeps of it.

Source: space reduction of Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
https://arxiv.org/abs/2011.06006; there a population is ranked, here any space by a threshold.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

from untrained.runs.config import Shrink
from untrained.runs.record import Shrunk
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.session import Progress, Session
from untrained.runs.setup import ScoreSetup, make_setup
from untrained.runs.values import Values
from untrained.searchers import SEARCHERS, Searcher
from untrained.searchers.random_search import RandomSearch
from untrained.spaces import Architecture, Space, restricted

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
    measuring = replace(session.measuring, setups=(setup,))
    cheap = Values(measuring, setup, session.config.draws, "shrink")
    drawn = RandomSearch(session.eligible, (), 0, evaluations=POOL).propose(
        (), POOL, random.Random(f"{session.config.seed}/shrink")
    )
    pool = [proposal.architecture for proposal in drawn]
    phase = f"search, {asked.score} of {len(pool)} random architectures"
    values = cheap.means(
        pool, lambda done, total: session.on_progress(Progress(phase, done, total))
    )
    found = Shrunk(
        score=asked.score,
        share=asked.share,
        threshold=_threshold(asked, values, higher_is_better=setup.score.higher_is_better),
        higher_is_better=setup.score.higher_is_better,
        values={str(a): value for a, value in zip(pool, values, strict=True)},
    )
    session.store.set_found(session.id, "shrunk", vars(found))
    block = round(1 / asked.share)
    space = restricted(
        session.eligible,
        partial(_over, cheap, found, {}),
        block=block,
        tries=TRIES * block,
        nothing=lambda _: (
            f"shrink: expected some architecture that is kept among {TRIES * block:,} random "
            f"ones, got none; keep a larger share"
        ),
    )
    return replace(session, searcher=replace(session.searcher, space=space))


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


def _over(
    cheap: Values,
    found: Shrunk,
    memory: dict[Architecture, float],
    architectures: Sequence[Architecture],
) -> list[float]:
    """0 for those that reach the threshold, else infinite; `memory` spares looking up what was
    met before."""
    new = [a for a in dict.fromkeys(architectures) if a not in memory]
    for architecture, value in zip(new, cheap.means(new), strict=True):
        memory[architecture] = 0.0 if found.keeps(value) else inf
    return [memory[a] for a in architectures]
