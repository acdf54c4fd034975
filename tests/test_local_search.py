"""Local search against its loops written out, and on landscapes whose optimum is known."""

import random
from collections.abc import Callable, Sequence

import pytest

from untrained.searchers import Goal, History, Proposal, Trial
from untrained.searchers.local_search import START, LocalSearch
from untrained.spaces import SPACES, Architecture, get_space
from untrained.spaces.space import prunable

SPACE = prunable(get_space("nasbench201"))
GOALS = (Goal("worth", True),)
Value = Callable[[Architecture], float | None]


def table(seed: int) -> Value:
    """A hidden worth of every operation on every edge, added up."""
    rng = random.Random(seed)
    worth = {choice: rng.random() for choice in SPACE.kept(SPACE.everything())}
    return lambda architecture: sum(worth[choice] for choice in SPACE.kept(architecture))


def rugged(architecture: Architecture) -> float:
    """Without any structure, but equal for equal canonical forms."""
    return random.Random(str(SPACE.canonical(architecture))).random()


def trial(proposal: Proposal, value: Value) -> Trial:
    values = {"worth": (value(proposal.architecture),) * len(proposal.draws)}
    return Trial(**vars(proposal), values=values)


def climb(
    searcher: LocalSearch, value: Value, count: int = 1, history: Sequence[Trial] = ()
) -> list[Trial]:
    trials = History(searcher.space, history)
    while batch := searcher.propose(trials, count, random.Random(len(trials))):
        trials += [trial(proposal, value) for proposal in batch]
    return trials


def climbs(history: list[Trial]) -> list[list[Trial]]:
    """Cut at each start."""
    starts = [i for i, t in enumerate(history) if t.role == START]
    return [history[a:b] for a, b in zip(starts, [*starts[1:], len(history)], strict=True)]


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("count", [3, 8])
def test_the_optimum_of_a_sum_over_edges_is_found(greedy: bool, count: int) -> None:
    value = table(seed=3)
    optimum = max(SPACE.enumerate(), key=lambda a: value(a) or 0.0)
    searcher = LocalSearch(SPACE, GOALS, 1, evaluations=200, greedy=greedy)
    history = climb(searcher, value, count)
    assert searcher.select(history) == optimum
    assert len(history) == 200


def test_most_convolutions_are_found() -> None:
    searcher = LocalSearch(SPACE, GOALS, 1, evaluations=160)
    selected = searcher.select(climb(searcher, lambda a: float(str(a).count("nor_conv_3x3"))))
    assert str(selected).count("nor_conv_3x3") == 6


def test_climbs_equal_the_loops_written_out() -> None:
    """Algorithm 1 with a value of a canonical form known for ever."""
    searcher = LocalSearch(SPACE, GOALS, 1, evaluations=300)
    history = climb(searcher, rugged, count=8)
    known: set[Architecture] = set()
    assert len(climbs(history)) > 2
    for one in climbs(history)[:-1]:
        here, expected = one[0].architecture, set()
        known.add(SPACE.canonical(here))
        while True:
            near = SPACE.neighbours(here)
            expected |= {SPACE.canonical(a) for a in near} - known
            known |= expected
            top = max(near, key=rugged)
            if rugged(top) <= rugged(here):
                break
            here = top
        assert {SPACE.canonical(t.architecture) for t in one[1:]} == expected


def test_the_greedy_climb_moves_to_the_first_that_is_better() -> None:
    searcher = LocalSearch(SPACE, GOALS, 1, evaluations=100, greedy=True)
    history = climb(searcher, rugged)
    for one in climbs(history):
        measured = {SPACE.canonical(t.architecture) for t in history[: history.index(one[0])]}
        here = one[0].architecture
        for t in one:
            # where the climb could go by what was known before this trial, it has gone
            while better := [
                a
                for a in SPACE.neighbours(here)
                if SPACE.canonical(a) in measured and rugged(a) > rugged(here)
            ]:
                here = max(better, key=rugged)
            assert t is one[0] or t.architecture in SPACE.neighbours(here)
            measured.add(SPACE.canonical(t.architecture))


@pytest.mark.parametrize("greedy", [False, True])
def test_nothing_is_measured_twice(greedy: bool) -> None:
    history = climb(LocalSearch(SPACE, GOALS, 1, 300, greedy=greedy), rugged, count=8)
    assert len({SPACE.canonical(t.architecture) for t in history}) == 300


@pytest.mark.parametrize("greedy", [False, True])
def test_a_resumed_search_is_the_unbroken_one(greedy: bool) -> None:
    whole: list[Trial] = []
    starts = []
    while batch := LocalSearch(SPACE, GOALS, 1, 60, greedy=greedy).propose(
        whole, 8, random.Random(len(whole))
    ):
        starts.append(len(whole))
        whole += [trial(proposal, rugged) for proposal in batch]
    for start in starts[::2]:
        again = climb(LocalSearch(SPACE, GOALS, 1, 60, greedy=greedy), rugged, 8, whole[:start])
        assert again == whole


def test_a_failure_is_left_and_never_selected() -> None:
    def value(architecture: Architecture) -> float | None:
        """Highest with `none` on every edge, if only it could be measured there."""
        nones = str(architecture).count("none")
        return None if nones > 2 else float(nones)

    searcher = LocalSearch(SPACE, GOALS, 2, evaluations=120)
    history = climb(searcher, value, count=8)
    assert any(t.mean("worth") is None for t in history)
    selected = searcher.select(history)
    assert selected is not None
    assert value(selected) == 2.0
    failed = climb(searcher, lambda architecture: None, count=8)
    assert len(failed) == 120
    assert searcher.select(failed) is None


def test_several_goals_are_compared_by_ranks_and_not_by_values() -> None:
    """A goal of another unit does not count more: values times a million, the same path."""
    goals = (Goal("a", True), Goal("b", False))
    paths = []
    for unit in (1.0, 1e6):
        searcher = LocalSearch(SPACE, goals, 1, evaluations=80)
        history: list[Trial] = []
        while batch := searcher.propose(history, 8, random.Random(len(history))):
            for p in batch:
                values = {
                    "a": (float(str(p.architecture).count("nor_conv_3x3")),),
                    "b": (unit * str(p.architecture).count("avg_pool_3x3"),),
                }
                history.append(Trial(**vars(p), values=values))
        paths.append([t.architecture for t in history])
        selected = searcher.select(history)
        assert str(selected).count("nor_conv_3x3") == 6
    assert paths[0] == paths[1]


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_climbed(name: str) -> None:
    space = SPACES[name]
    searcher = LocalSearch(space, GOALS, 1, evaluations=40, greedy=True)
    history = climb(searcher, lambda a: float(sum(map(ord, str(a)))), count=8)
    assert len({space.canonical(t.architecture) for t in history}) == 40
    assert not any(t.architecture.partial for t in history)
