"""Searchers: what was measured in, what to measure next out.

They know spaces alone: no network is ever loaded here, and no trained accuracy can be seen.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any

from untrained.plugins import find
from untrained.search.evolution import RegularisedEvolution
from untrained.search.given import Given
from untrained.search.pruning import PruningSearch
from untrained.search.random_search import RandomSearch
from untrained.search.searcher import Goal, Proposal, Searcher, Trial
from untrained.spaces.space import Space

__all__ = ["SEARCHERS", "Goal", "Proposal", "Searcher", "Setting", "Trial", "make_searcher"]

Setting = float | int | bool | str

SEARCHERS: dict[str, type[Searcher]] = {
    "pruning": PruningSearch,
    "random": RandomSearch,
    "evolution": RegularisedEvolution,
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
        ValueError: an unknown name or option, or an option of the wrong type.
    """
    kind = find("searcher", name, SEARCHERS)
    known = {f.name: f for f in fields(kind) if f.default is not MISSING}
    for option in options:
        if option not in known:
            near = get_close_matches(option, known, n=3, cutoff=0) or ["none"]
            raise ValueError(
                f"unknown option {option!r} of searcher {name!r}: expected {' or '.join(near)}"
            )
    return kind(space, goals, draws, **{o: _typed(name, known[o], v) for o, v in options.items()})


def _typed(searcher: str, option: Field[Any], value: Setting) -> Any:
    """The value as the option's own type: a command line cannot tell 3 from 3.0."""
    expected = type(option.default)
    if expected is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is expected or (expected is float and type(value) is int):
        return value
    raise ValueError(
        f"option {option.name!r} of searcher {searcher!r}: expected {expected.__name__}, "
        f"got {value!r}"
    )
