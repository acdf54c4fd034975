"""Where models stand: against scipy's paired t test, and by hand."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from untrained.ranking.standing import Interval, rank_sums, standings, told_apart


def test_models_are_told_apart_as_by_a_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, 6)  # what a draw does to all models alike
    values = shared + rng.normal(np.linspace(0, 2, 12)[:, None], 1.0, (12, 6))
    for one in values:
        for other in values:
            if one is not other:
                assert told_apart(one, other) == (ttest_rel(one, other).pvalue < 0.05)


def test_an_interval_is_that_of_a_t_test() -> None:
    values = np.array([3.0, 5.0, 4.0, 8.0])
    found = Interval.of(values)
    expected = ttest_rel(values, np.zeros(4)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert Interval.of(values[:1]) == Interval(3.0, None, None)
    assert Interval.of(np.array([np.nan, 2.0, 2.0])) == Interval(None, None, None)


def test_a_group_ends_where_its_leader_is_told_apart() -> None:
    noise = np.array([-1.0, 0.0, 1.0])
    turned = noise[[1, 2, 0]]
    draws = np.array([10 + noise, 9.9 + turned, 5 + noise, 4.9 + turned, 9.8 + noise])
    found = [(each.model, each.group) for each in standings(draws)]
    # 10 leads; 9.9 is not told apart from it; 9.8 is, with the same noise.
    assert found == [(0, 1), (1, 1), (4, 2), (2, 3), (3, 3)]


def test_a_failure_has_no_place_and_one_draw_no_groups() -> None:
    draws = np.array([[np.nan, 9.0], [1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])
    assert standings(draws) == [(3, 1, 1), (1, 2, 2), (0, None, None), (2, None, None)]
    assert [each.group for each in standings(np.array([[1.0], [2.0]]))] == [None, None]


def test_ranks_are_summed_draw_by_draw_among_those_that_have_all() -> None:
    one = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0], [9.0, np.nan]])
    other = np.array([[5.0, 5.0], [5.0, 6.0], [4.0, 4.0], [9.0, 9.0]])
    # by one: 3, 2, 1 and 3, 1, 2; by other: 1.5, 1.5, 3 and 2, 1, 3
    expected = -np.array([[4.5, 5.0], [3.5, 2.0], [4.0, 5.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(rank_sums([one, other]), expected)
    assert np.isnan(rank_sums([np.full((2, 2), np.nan)])).all()
