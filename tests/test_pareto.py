"""Pareto fronts against loops and grids, and NSGA-II against a front that is known."""

import itertools
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from untrained.pages import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.runs.fronts import front_of
from untrained.runs.presets import resolve
from untrained.searchers import Goal, History, Trial, make_searcher
from untrained.searchers.pareto import chosen, crowding, front, hypervolume, knee, points_of, ranks
from untrained.spaces import Architecture, get_space

SPACE = get_space("nasbench201")
GOALS = (Goal("good", True), Goal("cost", False))


def better(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether a dominates b, by the definition."""
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def some_points(n: int, d: int, seed: int, levels: int = 6) -> np.ndarray:
    """On a grid, so that some are equal on an axis, and some altogether."""
    return np.random.default_rng(seed).integers(0, levels, (n, d)).astype(float)


# Fronts


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_the_front_is_what_nothing_dominates(n: int, d: int) -> None:
    points = some_points(n, d, seed=n + d)
    assert front(points).tolist() == [not any(better(q, p) for q in points) for p in points]


@pytest.mark.parametrize("d", [2, 3])
def test_fronts_are_peeled_off_one_by_one(d: int) -> None:
    points = some_points(50, d, seed=d)
    left, number, found = list(range(50)), 0, ranks(points)
    while left:
        peeled = [i for i in left if not any(better(points[j], points[i]) for j in left)]
        assert found[peeled].tolist() == [number] * len(peeled)
        left, number = [i for i in left if i not in peeled], number + 1


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [0, 1, 3, 15])
def test_hypervolume_counts_unit_cells(n: int, d: int) -> None:
    """Of whole numbers, the volume is the number of cells whose lower corner is dominated."""
    points = some_points(n, d, seed=10 * n + d, levels=5)
    cells = itertools.product(range(5), repeat=d)
    count = sum(any(np.all(p <= cell) for p in points) for cell in cells)
    assert hypervolume(points, (5.0,) * d) == count


def test_beyond_the_reference_nothing_counts() -> None:
    points = np.array([[1.0, 3.0], [3.0, 1.0], [0.0, 9.0], [4.0, 0.0]])
    assert hypervolume(points, (4.0, 4.0)) == hypervolume(points[:2], (4.0, 4.0)) == 5
    with pytest.raises(ValueError, match="a reference of as many, got points of shape"):
        hypervolume(points, (4.0,))


def test_crowding_is_what_lies_between_the_neighbours() -> None:
    points = np.array([[0.0, 10.0], [1.0, 6.0], [2.0, 5.0], [4.0, 0.0]])
    expected = [2 / 4 + 5 / 10, 3 / 4 + 6 / 10]
    assert crowding(points)[1:3].tolist() == pytest.approx(expected)
    assert np.isinf(crowding(points)[[0, 3]]).all()
    flat = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])  # alike: none matters between
    assert crowding(flat).tolist().count(0.0) == 1
    assert len(crowding(np.empty((0, 2)))) == 0


def test_the_knee_is_below_the_line_through_the_ends() -> None:
    x = np.linspace(0, 1, 101)
    convex = np.stack([x, (1 - np.sqrt(x)) ** 2], 1)  # sqrt x + sqrt y = 1: nearest where x = y
    assert x[knee(convex)] == pytest.approx(0.25)
    assert knee(np.array([[3.0, 2.0]])) == 0
    assert knee(convex * [1000, 1e-6] + [5, -3]) == knee(convex)


# Of trials


def trial(number: int, good: float | None, cost: float, **about: Any) -> Trial:
    a = SPACE.sample(random.Random(number))
    return Trial(a, (0,), "", {"good": (good,), "cost": (cost,)}, **about)


def test_what_is_chosen_of_a_front() -> None:
    trials = [
        trial(0, 0.9, 10.0),
        trial(1, 0.85, 3.0),
        trial(2, 0.2, 1.0),
        trial(3, 0.8, 9.0),
        trial(4, None, 0.0),
        trial(5, 0.9, 12.0),  # as good as the first, and dearer
    ]
    a = [each.architecture for each in trials]
    assert points_of(trials[:2], GOALS).tolist() == [[-0.9, 10.0], [-0.85, 3.0]]
    assert chosen(trials, GOALS) == a[1]
    assert chosen(trials, GOALS, "good") == a[0]
    assert chosen(trials, GOALS, "cost") == a[2]
    assert chosen(trials[4:5], GOALS) is None
    longer = [*trials, trial(6, 0.1, 50.0, epochs=3)]  # alone after as many epochs
    assert chosen(longer, GOALS, "good") == longer[6].architecture


# NSGA-II


def zdt(architecture: Architecture) -> tuple[float, float]:
    """ZDT1 of six choices: x from the first edge's, g from how far the others are from theirs.

    f1 = x, f2 = g (1 - sqrt(x / g)), whose front is that of g = 1.
    """
    edges = architecture.edges  # type: ignore[attr-defined]
    places = [OPERATIONS.index(operation) for (operation,) in edges]
    x = (5 * places[0] + places[1]) / 24
    g = 1 + 9 * sum(places[2:]) / 16
    return x, g * (1 - np.sqrt(x / g))


OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class Distinct(type(SPACE)):  # type: ignore[misc]
    """Every architecture counts by itself."""

    def canonical(self, architecture: Any) -> Any:
        return architecture


def finish(name: str, evaluations: int, seed: int) -> np.ndarray:
    """The points of everything that a searcher tried on `zdt`, of which the second is turned."""
    goals = (Goal("f1", False), Goal("f2", True))
    space = Distinct()
    searcher = make_searcher(name, space, goals, 1, {"evaluations": evaluations})
    history = History(space)
    while proposals := searcher.propose(history, 8, random.Random(f"{seed}/{len(history)}")):
        for proposal in proposals:
            f1, f2 = zdt(proposal.architecture)
            history.append(Trial(**vars(proposal), values={"f1": (f1,), "f2": (-f2,)}))
    assert len(history) == evaluations
    assert len({each.architecture for each in history}) == evaluations
    return points_of(history, goals)


def test_nsga2_finds_a_known_front() -> None:
    """Of 15,625, by 600 evaluations; random search does not."""
    x = np.arange(25) / 24
    known = np.stack([x, 1 - np.sqrt(x)], 1)
    whole = np.array([zdt(a) for a in SPACE.enumerate()])
    on_front = np.unique(whole[front(whole)], axis=0)
    np.testing.assert_allclose(on_front, known, atol=1e-12)
    reference = (1.1, 1.1)
    best = hypervolume(known, reference)
    for seed in range(3):
        found = hypervolume(finish("nsga2", 600, seed), reference) / best
        by_chance = hypervolume(finish("random", 600, seed), reference) / best
        assert found > 0.97
        assert found > by_chance + 0.1


def test_it_needs_two_scores() -> None:
    with pytest.raises(ValueError, match="nsga2 seeks a front between two scores or more, got"):
        make_searcher("nsga2", SPACE, GOALS[:1], 1, {})


# Runs


def asked(out: Path, **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "searcher": "nsga2", "options": {"evaluations": 24, "population": 8}, "draws": 1,
        "scores": ("effective_depth", "parameters"), "workers": 0, "out": out, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def test_sizes_are_costs_of_a_front_and_the_page_shows_it(tmp_path: Path) -> None:
    folder = run(asked(tmp_path))
    record = load_record(folder.store, folder.name)
    assert record.directions == {"effective_depth": 1, "parameters": -1}
    found = front_of(record)
    assert found is not None
    points = np.array([[-p.estimates[0].value, p.estimates[1].value] for p in found.placed])
    assert [p.on_front for p in found.placed] == front(points).tolist()
    assert record.selected in [p.trial.architecture for p in found.members]
    page = report_run(folder).read_text("utf-8")
    assert "<h2>Pareto front</h2>" in page
    assert page.count('<details class="more" id="front-') == len(found.members)
    assert f"{found.members[-1].estimates[1].value:,.0f}" in page


@pytest.mark.parametrize("by", ["knee", "effective_depth", "parameters"])
def test_what_is_selected_is_asked_for(tmp_path: Path, by: str) -> None:
    """Of what any searcher tried."""
    options = {"evaluations": 12}
    folder = run(asked(tmp_path, searcher="random", options=options, select=by))
    record = load_record(folder.store, folder.name)
    found = front_of(record)
    assert found is not None
    [selected] = [p for p in found.placed if p.trial.architecture == record.selected]
    assert selected.on_front
    depth, size = (e.value for e in selected.estimates)
    if by == "effective_depth":
        assert depth == max(p.estimates[0].value for p in found.placed)
    if by == "parameters":
        assert size == min(p.estimates[1].value for p in found.placed)


def test_a_search_for_the_largest_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"evaluations": 2}
    with caplog.at_level(logging.WARNING):
        run(asked(tmp_path, options=options))
        given = {"searcher": "given", "options": {"architectures": str(next(SPACE.enumerate()))}}
        run(asked(tmp_path, **given))
        assert not caplog.records
        run(asked(tmp_path, searcher="random", options=options))
    assert "prefers the largest networks; to keep them small, try --limit parameters=" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"select": "elbow"}, "select: expected knee or effective_depth or parameters, got 'elb"),
        ({"scores": ("macs",), "select": "knee"}, "select: expected two scores or more, .* macs;"),
        ({"scores": ("macs",)}, "nsga2 seeks a front between two scores or more, got only macs"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(tmp_path, **change))
    assert "\n" not in str(raised.value)


def test_a_search_without_a_selection_is_named_as_ever(tmp_path: Path) -> None:
    plain = resolve(asked(tmp_path))
    assert "select" in plain.plain()
    assert plain.identity("f", "c") != resolve(asked(tmp_path, select="knee")).identity("f", "c")
