"""Searchers: what was measured in, what to measure next out.

They know spaces alone: no network is ever loaded here, and no trained accuracy can be seen.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from untrained.plugins import find
from untrained.searchers.evolution import RegularisedEvolution
from untrained.searchers.given import Given
from untrained.searchers.halving import SuccessiveHalving
from untrained.searchers.history import History, Summary, summary
from untrained.searchers.local_search import LocalSearch
from untrained.searchers.nasi import NASISearch
from untrained.searchers.nsga2 import NSGA2
from untrained.searchers.pruning import PruningSearch
from untrained.searchers.random_search import RandomSearch
from untrained.searchers.reinforce import Reinforce
from untrained.searchers.searcher import AsynchronousSearcher, Goal, Proposal, Searcher, Trial
from untrained.searchers.surrogate import SurrogateSearch
from untrained.settings import Setting, changed, check_known
from untrained.spaces.space import Space, prunable

__all__ = [
    "SEARCHERS",
    "AsynchronousSearcher",
    "Goal",
    "History",
    "Proposal",
    "Searcher",
    "Summary",
    "Trial",
    "make_searcher",
    "summary",
]

SEARCHERS: dict[str, type[Searcher]] = {
    "pruning": PruningSearch,
    "random": RandomSearch,
    "evolution": RegularisedEvolution,
    "local": LocalSearch,
    "reinforce": Reinforce,
    "nasi": NASISearch,
    "halving": SuccessiveHalving,
    "surrogate": SurrogateSearch,
    "nsga2": NSGA2,
    "given": Given,
}


def make_searcher(
    name: str,
    space: Space[Any],
    goals: tuple[Goal, ...],
    draws: int,
    options: Mapping[str, Setting],
) -> Searcher:
    """The searcher of this name, or the class at `package.module:name`, with its options.

    Raises:
        ValueError: an unknown name or option, an option of the wrong type, or a
            space without the supernets that it needs.
    """
    kind = find("searcher", name, SEARCHERS, Searcher)
    check_known(f"searcher {name!r}", options, [f.name for f in fields(kind)[3:]])
    if kind.prunes:
        space = prunable(space)
    searcher = changed(kind(space, goals, draws), options, "options")
    searcher.check()
    return searcher
