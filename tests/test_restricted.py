"""A part of a space: what is kept is drawn uniformly, else walked to; nothing else comes out."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any

import pytest
from test_search import finish

from untrained.searchers import SEARCHERS, Goal, Trial, make_searcher
from untrained.searchers.pruning import PruningSearch
from untrained.searchers.surrogate import SurrogateSearch
from untrained.searchers.within import neighbours_within, sample_within
from untrained.spaces import NothingKept, RestrictedSpace, get_space, prunable, restricted

SPACE = prunable(get_space("nasbench201"))
GOALS = (Goal("kappa", False), Goal("regions", True))


def convolutions(architecture: Any) -> int:
    return str(architecture).count("conv")


def at_most(count: int, tries: int = 10, block: int = 1) -> RestrictedSpace:
    """Of NAS-Bench-201, at most so many convolutions."""

    def over(architectures: Sequence[Any]) -> list[float]:
        return [float(max(convolutions(a) - count, 0)) for a in architectures]

    return restricted(
        SPACE, over, block=block, tries=tries, nothing=lambda a: f"nothing: {convolutions(a)}"
    )


def only(*kept: Any, **changes: Any) -> RestrictedSpace:
    """Without a word on how far others are."""

    def over(architectures: Sequence[Any]) -> list[float]:
        return [0.0 if a in kept else inf for a in architectures]

    return restricted(SPACE, over, nothing=lambda a: "nothing is kept", **changes)


@pytest.mark.parametrize("block", [1, 3])
def test_it_has_what_is_kept_and_nothing_else(block: int) -> None:
    space, rng = at_most(1, block=block), random.Random(0)
    some = [space.sample(rng) for _ in range(20)]
    assert all(convolutions(a) <= 1 for a in some)
    assert len(set(some)) > 15
    for one in some:
        near = space.neighbours(one)
        assert near == tuple(a for a in SPACE.neighbours(one) if convolutions(a) <= 1)
        assert space.mutate(one, rng) in near
    whole = [a for a in SPACE.enumerate() if convolutions(a) <= 1]
    assert list(space.enumerate()) == whole
    assert (space.name, space.scales) == (SPACE.name, SPACE.scales)
    assert space.canonical(some[0]) == SPACE.canonical(some[0])


def test_with_tries_enough_it_is_uniform() -> None:
    """No convolution on any of six edges: (3/5)^6 of the space, and 729 architectures."""
    space, rng = at_most(0, tries=1000), random.Random(0)
    counts = Counter(space.sample(rng) for _ in range(7290))
    squares = sum((counts[a] - 10) ** 2 / 10 for a in space.enumerate())
    assert len(counts) > 725
    assert abs(squares - 728) < 4 * (2 * 728) ** 0.5  # chi square of 728 degrees of freedom


def test_what_is_rare_is_walked_to() -> None:
    """One in 15,625, and every neighbour nearer by one edge is on the way."""
    [rare] = [a for a in SPACE.enumerate() if str(a).count("avg_pool") == 6]

    def over(architectures: Sequence[Any]) -> list[float]:
        return [float(6 - str(a).count("avg_pool")) for a in architectures]

    space = restricted(SPACE, over, tries=2, nothing=lambda a: "none")
    assert space.sample(random.Random(0)) == rare


def test_where_no_neighbour_is_kept_another_architecture_is_drawn() -> None:
    one, other = (SPACE.sample(random.Random(seed)) for seed in (0, 1))
    pair = only(one, other, block=500, tries=50_000)
    assert pair.mutate(one, random.Random(0)) in (one, other)


def test_nothing_is_kept() -> None:
    with pytest.raises(NothingKept, match="nothing is kept"):
        only(tries=3).sample(random.Random(0))
    with pytest.raises(NothingKept, match="nothing: 0"):  # the nearest found
        at_most(-1).sample(random.Random(0))


def test_a_part_of_a_part() -> None:
    half = at_most(2)
    space = restricted(
        half,
        lambda some: [float(max(str(a).count("skip") - 1, 0)) for a in some],
        tries=5,
        nothing=lambda a: "none",
    )
    rng = random.Random(0)
    for _ in range(50):
        found = space.sample(rng)
        assert convolutions(found) <= 2
        assert str(found).count("skip") <= 1
        within = sample_within(space, rng)
        assert "none" not in str(within)
        assert convolutions(within) <= 2


def test_of_the_supernet_alone() -> None:
    space, rng = at_most(1), random.Random(0)
    for _ in range(50):
        found = sample_within(space, rng)
        assert "none" not in str(found)
        assert convolutions(found) <= 1
        near = neighbours_within(space, found)
        assert all(convolutions(a) <= 1 and "none" not in str(a) for a in near)


def test_a_whole_space_draws_as_ever() -> None:
    """Random numbers are those of before, on which stored results depend."""
    rng = random.Random(7)
    drawn = SPACE.drawn(lambda: SPACE.sample(rng), rng)
    assert drawn == SPACE.sample(random.Random(7))


# Searchers


def test_a_surrogate_asks_of_few_whether_they_are_kept() -> None:
    """Each may have to be built and timed; the proposals are those of asking all neighbours."""
    asked: list[Any] = []

    def over(architectures: Sequence[Any]) -> list[float]:
        asked.extend(architectures)
        return [float(max(convolutions(a) - 3, 0)) for a in architectures]

    space = restricted(SPACE, over, tries=100, nothing=lambda a: "nothing")
    rng = random.Random(0)
    tried = [sample_within(space, rng) for _ in range(40)]
    history = [
        Trial(a, (0,), "", values={"kappa": (-float(convolutions(a)),), "regions": (1.0 + i % 7,)})
        for i, a in enumerate(tried)
    ]
    searcher = make_searcher("surrogate", space, GOALS, 1, {"evaluations": 80, "explore": 40})
    assert isinstance(searcher, SurrogateSearch)
    asked.clear()
    found = searcher.propose(history, 8, rng)
    few, kept = (
        len(set(asked)),
        [a for a in searcher.predicted_best(history) if convolutions(a) < 4],
    )
    new = dict.fromkeys(space.canonical(a) for a in kept)
    for each in tried:
        new.pop(space.canonical(each), None)
    assert [space.canonical(p.architecture) for p in found] == [*new][: len(found)]
    assert len(found) == 20
    neighbours = {a for each in tried for a in SPACE.neighbours(each)}
    assert few < len(neighbours) / 4


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"given"}))
@pytest.mark.parametrize("most", [0, 2])
def test_no_searcher_leaves_it(name: str, most: int) -> None:
    options = {} if name == "pruning" else {"evaluations": 30}
    searcher = make_searcher(name, at_most(most), GOALS, 3, options)
    history = finish(searcher)
    discrete = [t.architecture for t in history if not t.architecture.partial]
    assert discrete
    assert all(convolutions(a) <= most for a in discrete if name != "pruning")
    selected = searcher.select(history)
    assert selected is not None
    assert convolutions(selected) <= most


def test_pruning_ends_within_and_as_near_as_it_can_to_where_it_would() -> None:
    """Every parent holds an architecture within; where all is within, nothing is changed."""
    free = make_searcher("pruning", SPACE, GOALS, 3, {})
    wide = make_searcher("pruning", at_most(6), GOALS, 3, {})
    assert wide.select(finish(wide)) == free.select(finish(free))
    assert convolutions(free.select(finish(free))) > 1
    tight = make_searcher("pruning", at_most(1), GOALS, 3, {})
    assert isinstance(tight, PruningSearch)
    history = finish(tight)
    parents = list(dict.fromkeys(t.architecture for t in history if t.role == "parent"))
    assert len(parents) == 4
    for parent, child in pairwise(parents):
        assert set(SPACE.kept(child)) < set(SPACE.kept(parent))
        assert len(SPACE.kept(child)) == len(SPACE.kept(parent)) - 6
    assert convolutions(parents[-1]) <= 1
