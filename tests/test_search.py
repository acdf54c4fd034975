"""Searchers: pure, and equal to their definitions on a made-up measurement."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from untrained.searchers import (
    SEARCHERS,
    Goal,
    Proposal,
    Searcher,
    Trial,
    make_searcher,
    surrogate,
)
from untrained.searchers.pruning import Contest, PruningSearch, combined, least_missed
from untrained.searchers.ranks import best, dense_ranks, rank_sums
from untrained.searchers.surrogate import RIDGES, SurrogateSearch, dual, overlaps
from untrained.searchers.within import neighbours_within, sample_within
from untrained.spaces import Architecture, Choice, get_space, prunable

SPACE = prunable(get_space("nasbench201"))
GOALS = (Goal("kappa", False), Goal("regions", True))
WORTH = {"skip_connect": 3.0, "nor_conv_1x1": 2.0, "nor_conv_3x3": 5.0, "avg_pool_3x3": 1.0}


def measured(proposal: Proposal) -> Trial:
    """A smooth made-up truth, with noise that depends on the draw alone."""
    architecture: Any = proposal.architecture
    edges = [sum(WORTH.get(o, 0) for o in kept) / len(kept) for kept in architecture.edges]
    weights = (1.0, 1.3, 0.7, 1.1, 0.9, 1.5)
    worth = sum(w * e for w, e in zip(weights, edges, strict=True))
    noise = [random.Random(d).uniform(0.9, 1.1) for d in proposal.draws]
    values = {
        "kappa": tuple(1000 * n / (1 + worth) for n in noise),
        "regions": tuple(round(100 * worth * n) for n in noise),
    }
    return Trial(**vars(proposal), values=values)


def finish(searcher: Searcher, count: int = 8) -> list[Trial]:
    history: list[Trial] = []
    while batch := searcher.propose(history, count, random.Random(len(history))):
        history += [measured(proposal) for proposal in batch]
    return history


def make(name: str, **options: float | bool | str) -> Searcher:
    if name == "given":
        options = {"architectures": "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"}
    elif name != "pruning":
        options = {"evaluations": 30, **options}
    return make_searcher(name, SPACE, GOALS, 3, options)


@pytest.mark.parametrize("name", SEARCHERS)
def test_proposals_are_a_function_of_history_and_rng(name: str) -> None:
    history = finish(make(name))
    for cut in range(0, len(history), 7):
        first, second = (
            make(name).propose(history[:cut], 8, random.Random(cut)) for _ in range(2)
        )
        assert first == second


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_search_ends_with_a_discrete_architecture(name: str) -> None:
    searcher = make(name)
    history = finish(searcher)
    assert searcher.propose(history, 8, random.Random(0)) == []
    selected = searcher.select(history)
    assert selected is not None
    assert not selected.partial
    assert selected in [trial.architecture for trial in history]


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"pruning", "given"}))
def test_the_number_of_evaluations_is_kept(name: str) -> None:
    history = finish(make(name, evaluations=21))
    assert len([trial for trial in history if trial.epochs in (None, 1)]) == 21


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"pruning", "given", "halving"}))
def test_beyond_the_number_of_evaluations_nothing_is_proposed(name: str) -> None:
    history = finish(make(name))
    assert make(name, evaluations=7).propose(history, 8, random.Random(0)) == []


@pytest.mark.parametrize("name", SEARCHERS)
def test_nothing_is_selected_where_a_score_always_fails(name: str) -> None:
    searcher = make(name)
    history: list[Trial] = []
    while batch := searcher.propose(history, 8, random.Random(len(history))):
        trials = [measured(proposal) for proposal in batch]
        failed = (None,) * 3
        history += [replace(trial, values={**trial.values, "kappa": failed}) for trial in trials]
    assert searcher.select(history) is None


def test_nothing_is_selected_without_a_sound_measurement() -> None:
    searcher = make("random")
    failed = [
        Trial(
            SPACE.sample(random.Random(i)), (0,), "random", {"kappa": (None,), "regions": (1.0,)}
        )
        for i in range(3)
    ]
    assert searcher.select(failed) is None


# The pruning search


def numbers(trial: Trial, goal: str) -> list[float]:
    return [value for value in trial.values[goal] if value is not None]


def mean_loss(before: Trial, after: Trial, goal: str) -> float:
    pairs = zip(numbers(before, goal), numbers(after, goal), strict=True)
    return round(sum(round((x - y) / x, 3) for x, y in pairs) / 3, 6)


def naive_pruning(score: Callable[[Architecture, Sequence[int]], Trial]) -> Architecture:
    """Algorithm 1 with its loops written out: no history, no replay."""
    parent, number = SPACE.supernet(), 0
    while parent.partial:
        draws = tuple(range(3000 * number, 3000 * number + 3))
        changes = {}
        for edge, kept in enumerate(parent.edges):
            for operation in kept if len(kept) > 1 else ():
                fewer = SPACE.without(parent, Choice(edge, operation))
                a, b = score(parent, draws), score(fewer, draws)
                changes[edge, operation] = tuple(mean_loss(a, b, g) for g in ("kappa", "regions"))
        by_kappa = sorted({k for k, _ in changes.values()}, reverse=True)
        by_lost = sorted({r for _, r in changes.values()})
        summed = {c: by_kappa.index(k) + by_lost.index(r) for c, (k, r) in changes.items()}
        for edge in {edge for edge, _ in summed}:
            here = {o: s for (e, o), s in summed.items() if e == edge}
            parent = SPACE.without(parent, Choice(edge, min(here, key=here.__getitem__)))
        number += 1
    return parent


@pytest.mark.parametrize("common", [True, False])
def test_pruning_evaluates_54_operations(common: bool) -> None:
    history = finish(make("pruning", common=common))
    assert sum(t.note.startswith("without") for t in history) == 24 + 18 + 12
    parents = [t for t in history if t.role == "parent"]
    assert len(parents) == (4 if common else 24 + 18 + 12 + 1)


def test_pruning_equals_the_loops_written_out() -> None:
    searcher = make("pruning")
    selected = searcher.select(finish(searcher))
    assert selected == naive_pruning(lambda a, draws: measured(Proposal(a, tuple(draws), "")))


def test_rounds_draw_weights_of_their_own() -> None:
    history = finish(make("pruning"))
    by_kept: dict[int, set[tuple[int, ...]]] = {}
    for trial in history:
        if trial.role == "parent":
            architecture: Any = trial.architecture
            by_kept.setdefault(sum(map(len, architecture.edges)), set()).add(trial.draws)
    assert len(set.union(*by_kept.values())) == 4


def test_an_operation_whose_removal_fails_stays() -> None:
    a, b, c = (Choice(0, operation) for operation in "abc")
    contest = [Contest((a, b, c), 1)]
    assert least_missed(contest, [[None, -0.5, 0.0], [9.9, -0.4, -0.4]]) == (c,)
    assert least_missed(contest, [[None, None, None], [0.1, 0.3, 0.2]]) == (b,)


def test_combinations_of_gains_and_their_ranks() -> None:
    gains = [[0.5, -0.1, 0.2, 0.2], [-0.3, 0.4, 0.0, -0.1]]  # ranks 1 3 2 2 and 4 1 2 3
    assert combined(gains, "sum") == [5, 4, 4, 5]
    assert combined(gains, "min") == [1, 1, 2, 2]
    assert combined(gains, "max") == [4, 3, 2, 3]
    assert combined(gains, "raw") == pytest.approx([-0.2, -0.3, -0.2, -0.1])


def test_a_contest_loses_as_many_as_it_must() -> None:
    choices = [Choice(e, o) for e in (0, 1) for o in "abc"]
    contests = [Contest(tuple(choices[:3]), 2), Contest(tuple(choices[3:]), 1)]
    gains = [[0.1, 0.3, 0.2, 0.0, -1.0, 0.9]]
    assert least_missed(contests, gains) == (choices[1], choices[2], choices[5])


def test_a_draw_that_fails_without_the_operation_is_no_gain() -> None:
    searcher = make("pruning")
    assert isinstance(searcher, PruningSearch)
    a = SPACE.supernet()
    parent = Trial(a, (0, 1, 2), "", {"kappa": (100.0, None, 200.0)})
    child = Trial(a, (0, 1, 2), "", {"kappa": (50.0, 10.0, 250.0)})
    assert searcher._gain(GOALS[0], parent, child) == pytest.approx((0.5 - 0.25) / 2)
    child = Trial(a, (0, 1, 2), "", {"kappa": (50.0, 10.0, None)})
    assert searcher._gain(GOALS[0], parent, child) is None


@pytest.mark.parametrize(("prune", "operations"), [(3, 332), (2, 444)])
def test_pruning_of_darts_evaluates_as_many_operations_as_published(
    prune: int, operations: int
) -> None:
    darts = prunable(get_space("darts"))
    searcher = PruningSearch(darts, GOALS, 1, prune=prune)
    history: list[Trial] = []
    while batch := searcher.propose(history, 8, random.Random(0)):
        for proposal in batch:
            kept = sum(len(c.operation) + c.edge for c in darts.kept(proposal.architecture))
            values = {"kappa": (1000.0 + kept,), "regions": (float(kept**2 % 101),)}
            history.append(Trial(**vars(proposal), values=values))
    assert sum(t.note.startswith("without") for t in history) == operations
    selected = searcher.select(history)
    assert selected is not None
    assert not selected.partial


def test_the_last_round_keeps_the_edges_that_are_missed_most() -> None:
    darts = prunable(get_space("darts"))
    one_each = darts.without(
        darts.supernet(),
        *(c for c in darts.choices(darts.supernet()) if c.operation != "sep_conv_3x3"),
    )
    searcher = PruningSearch(darts, (Goal("edges", True),), 1)
    contests = searcher._contests(one_each)
    assert [len(c.choices) - c.losers for c in contests] == [2] * 6
    worth = {c: 10.0 * c.edge for contest in contests for c in contest.choices}
    gains = [[-worth[c] for contest in contests for c in contest.choices]]
    left = darts.kept(darts.without(one_each, *least_missed(contests, gains)))
    for contest in contests:
        edges = sorted(c.edge for c in contest.choices)
        assert [c.edge for c in left if c.edge in edges] == edges[-2:]


# The surrogate


def test_the_surrogate_finds_the_best_under_noise() -> None:
    def value(architecture: Architecture) -> float:
        worth = [WORTH[c.operation] * (1 + c.edge) for c in SPACE.kept(architecture)]
        return sum(worth) + 8 * (worth[0] > 3) * (worth[5] > 3 * 6)

    searcher = SurrogateSearch(SPACE, (Goal("worth", True),), 1, evaluations=120, explore=80)
    history: list[Trial] = []
    while batch := searcher.propose(history, 8, random.Random(len(history))):
        for p in batch:
            noise = random.Random(str(p.architecture)).gauss(0, 15) + 40 * p.draws[0]
            values = {"worth": (value(p.architecture) + noise,)}
            history.append(Trial(**vars(p), values=values))
    assert len(history) == 120
    assert len({trial.architecture for trial in history}) == 120
    selected = searcher.select(history)
    assert selected is not None
    everything = sorted(map(value, filter(none_free, SPACE.enumerate())), reverse=True)
    assert value(selected) >= everything[10]


def test_a_surrogate_that_has_tried_all_it_may_follows_no_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within limits, that would be to build and to time whatever is met on the way."""
    searcher = SurrogateSearch(SPACE, GOALS, 1, evaluations=2, explore=2)
    history = [measured(proposal) for proposal in searcher.propose([], 8, random.Random(0))]

    def refused(*_: object) -> None:
        raise AssertionError("a prediction that nobody asked for")

    monkeypatch.setattr(SurrogateSearch, "predicted_best", refused)
    assert len(history) == 2
    assert searcher.propose(history, 8, random.Random(1)) == []


def test_of_very_many_trials_the_last_are_regressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And all are compared, in portions."""
    searcher = SurrogateSearch(SPACE, GOALS, 1, evaluations=120, explore=120)
    history = finish(searcher)
    last = searcher._fitted(history[-50:])
    wanted = searcher.predicted_best(history[-50:])
    expected = last([trial.architecture for trial in history])
    monkeypatch.setattr(surrogate, "MOST", 50)
    assert searcher.predicted_best(history) == wanted
    np.testing.assert_allclose(
        searcher._fitted(history)([trial.architecture for trial in history]), expected
    )
    best = max(range(len(history)), key=expected.__getitem__)
    assert searcher.select(history) == history[best].architecture


def none_free(architecture: Architecture) -> bool:
    return all(choice.operation != "none" for choice in SPACE.kept(architecture))


def test_overlaps_count_operations_and_pairs_shared() -> None:
    rng = random.Random(0)
    architectures = [SPACE.sample(rng) for _ in range(6)]
    rows = [frozenset(SPACE.kept(architecture)) for architecture in architectures]
    features = [SPACE.features(architecture) for architecture in architectures]
    found = overlaps(features, features)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            pairs = {frozenset(p) for p in combinations(a, 2)}
            shared = pairs & {frozenset(p) for p in combinations(b, 2)}
            assert found[i, j] == len(a & b) + len(shared)


def test_overlaps_of_numbers_fall_with_the_levels_between_them() -> None:
    rows: list[dict[str, float | str]] = [
        {"width": w, "norm": n} for w in (16.0, 24.0, 64.0) for n in ("batch", "layer")
    ]
    level = {16.0: 0, 24.0: 1, 64.0: 2}
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            near = 1 - abs(level[float(a["width"])] - level[float(b["width"])]) / 2
            shared = near + (a["norm"] == b["norm"])
            assert overlaps(rows, rows)[i, j] == pytest.approx(shared * (shared + 1) / 2)
    assert np.linalg.eigvalsh(overlaps(rows, rows)).min() > -1e-9


def test_the_ridge_is_chosen_by_leaving_one_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5))
    y = x[:, 0] + rng.normal(size=30)
    gram = x @ x.T

    def left_out(ridge: float) -> float:
        errors = []
        for i in range(30):
            rest = np.arange(30) != i
            k = gram[np.ix_(rest, rest)] + ridge * np.eye(29)
            errors.append(y[i] - y.mean() - gram[i, rest] @ np.linalg.solve(k, y[rest] - y.mean()))
        return float(np.mean(np.square(errors)))

    ridge = min(RIDGES, key=left_out)
    expected = gram @ np.linalg.solve(gram + ridge * np.eye(30), y - y.mean())
    alpha = dual(*np.linalg.eigh(gram), y)
    np.testing.assert_allclose(gram @ alpha, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_what_is_sampled_within_lies_within(name: str) -> None:
    space, rng = prunable(get_space(name)), random.Random(0)
    everything = set(space.kept(space.supernet()))
    for _ in range(20):
        architecture = sample_within(space, rng)
        assert not architecture.partial
        near = neighbours_within(space, architecture)
        assert near
        for one in (architecture, *near):
            assert everything.issuperset(space.kept(one))


# Ranks


def test_dense_ranks_share_and_put_missing_last() -> None:
    assert dense_ranks([3.0, 1.0, None, 1.0], higher_is_better=False) == [2, 1, 3, 1]


def test_rank_sums_and_best() -> None:
    def trial(kappa: float | None, regions: float) -> Trial:
        return Trial(SPACE.supernet(), (0,), "", {"kappa": (kappa,), "regions": (regions,)})

    trials = [trial(10.0, 5.0), trial(20.0, 9.0), trial(None, 100.0), trial(5.0, 4.0)]
    assert rank_sums(trials, GOALS) == [2 + 3, 3 + 2, 4 + 1, 1 + 4]
    assert best(trials, GOALS) is trials[0]
    assert best([trials[2]], GOALS) is None


# Options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("prunning", {}, "'pruning'"),
        ("random", {"evaluation": 3}, "evaluations"),
        ("random", {"evaluations": "many"}, "expected a whole number"),
        ("random", {"evaluations": 2.5}, "expected a whole number"),
        ("random", {"evaluations": 7.0}, "expected a whole number"),
        ("random", {"evaluations": True}, "expected a whole number"),
        ("random", {"evaluations": 10**12}, "at most"),
        ("reinforce", {"momentum": float("nan")}, "expected a finite number"),
        ("random", {"evaluations": -3}, "at least 1"),
        ("pruning", {"common": 3.0}, "expected true or false"),
    ],
)
def test_wrong_options(name: str, options: dict[str, float | bool | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_searcher(name, SPACE, GOALS, 3, options)
