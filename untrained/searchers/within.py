"""The discrete architectures that a space's supernet holds; all of a space without supernets."""

import random
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

from untrained.spaces.restricted import RestrictedSpace
from untrained.spaces.space import Architecture, PrunableSpace, Space, anything


def sample_within(
    space: Space[Any], rng: random.Random, parent: Architecture | None = None
) -> Architecture:
    """One of them, or of those that a partial architecture holds.

    Raises:
        NothingKept: of a restricted space, where none was found.
    """
    if not isinstance(space, PrunableSpace):
        return space.sample(rng)
    parent = parent or space.supernet()
    everything = set(space.kept(parent))
    return space.drawn(
        partial(_one_of, space, parent, rng),
        rng,
        lambda architecture: everything.issuperset(space.kept(architecture)),
    )


def _one_of(space: PrunableSpace[Any], parent: Architecture, rng: random.Random) -> Architecture:
    """On each edge one operation, into each node as many edges as it keeps."""
    edges = [list(group) for _, group in groupby(space.choices(parent), key=lambda c: c.edge)]
    kept = {rng.choice(choices) for choices in edges}
    parent = space.without(parent, *(c for choices in edges for c in choices if c not in kept))
    for crowd in space.crowded(parent):
        lost = rng.sample(crowd.choices, len(crowd.choices) - crowd.keep)
        parent = space.without(parent, *lost)
    return parent


def neighbours_within(space: Space[Any], architecture: Architecture) -> list[Architecture]:
    """The neighbours of one of them that are so too."""
    if not isinstance(space, PrunableSpace):
        return [*space.neighbours(architecture)]
    everything = set(space.kept(space.supernet()))
    return [a for a in space.neighbours(architecture) if everything.issuperset(space.kept(a))]


def unrestricted(space: Space[Any]) -> tuple[Space[Any], Callable[[Architecture], bool]]:
    """The space with what is not kept of it, and what says whether an architecture is.

    To ask may take as long as to build and time a network; what is cheap is asked first.
    """
    if not isinstance(space, RestrictedSpace):
        return space, anything
    whole, kept = unrestricted(space.whole)
    return whole, lambda architecture: kept(architecture) and space.keeps((architecture,))[0]
