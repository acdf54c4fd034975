"""What small samples tell of a score, against enumeration, SciPy and simulated coverage."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kendalltau

from untrained.tables import (
    agreement,
    joint_test,
    least_told_apart,
    p_value,
    rank_test,
    small_sample_interval,
)


def test_p_with_ties_is_the_share_of_all_orders_that_agree_or_oppose_as_much() -> None:
    x, y = np.array([3.0, 1, 1, 2, 5, 4]), np.array([0.7, 0.7, 0.5, 0.6, 0.9, 0.7])
    seen = abs(kendalltau(x, y).statistic)
    as_much = [abs(kendalltau(x, order).statistic) >= seen - 1e-12 for order in permutations(y)]
    assert p_value(x, y) == pytest.approx(np.mean(as_much))
    assert p_value(-x, y) == p_value(x, y)
    assert p_value(np.exp(x), y) == p_value(x, y)


def test_p_is_scipys_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8))
    assert p_value(x, y) == pytest.approx(kendalltau(x, y, method="exact").pvalue)
    x, y = rng.normal(size=(2, 19))
    exact = kendalltau(x, x + y, method="exact").pvalue
    assert 0.001 < exact < 0.5
    assert p_value(x, x + y) == pytest.approx(exact, abs=4 * (exact / 10_000) ** 0.5)
    x, y = rng.normal(size=(2, 80))
    assert p_value(x, y) == pytest.approx(kendalltau(x, y).pvalue)


def test_what_failed_is_left_out_and_what_is_constant_is_chance() -> None:
    x, y = np.array([np.nan, 1.0, 2, 3, 4, 5]), np.arange(6.0)
    assert p_value(x, y) == 2 / 120
    assert small_sample_interval(x, y) == small_sample_interval(x[1:], y[1:])
    assert p_value(np.ones(6), y) == p_value(np.ones(80), np.arange(80.0)) == 1
    for x, said in ((np.ones(6), "that differ, got 6 of 6"), (y[:2], "got 2 of 2")):
        with pytest.raises(ValueError, match=said):
            small_sample_interval(x, y[: len(x)])


@pytest.mark.parametrize(
    ("n", "tau"), [(5, 1.0), (6, 0.867), (8, 0.643), (10, 0.511), (12, 0.455)]
)
def test_critical_values_are_those_of_the_published_tables(n: int, tau: float) -> None:
    """Of a two-sided test at 5 %: 10, 13, 18, 23 and 30 more pairs agree than do not."""
    assert least_told_apart(n) == pytest.approx(tau, abs=5e-4)


def test_the_least_tau_told_apart_agrees_with_p() -> None:
    orders = [np.array(order, float) for order in permutations(range(6))]
    taus = {round(kendalltau(np.arange(6.0), o).statistic, 9): p_value(np.arange(6.0), o) for o in
            orders[::7]}  # fmt: skip
    least = least_told_apart(6)
    assert least is not None
    assert all((abs(tau) >= least - 1e-9) == (p <= 0.05) for tau, p in taus.items())
    assert [least_told_apart(n) for n in (0, 1, 2, 3, 4)] == [None] * 5
    near = least_told_apart(60), least_told_apart(61)
    assert near == pytest.approx((0.173, 0.173), abs=0.002)


@pytest.mark.parametrize(("n", "r"), [(5, 0.0), (8, 0.5), (8, -0.9), (15, 0.8)])
def test_intervals_hold_the_true_tau_in_95_of_100_samples(n: int, r: float) -> None:
    """Of pairs that are normal after a monotone change; more samples, as tau takes few values."""
    rng = np.random.default_rng(1)
    true, known, held = 2 / np.pi * np.arcsin(r), {}, 0
    for _ in range(600):
        x, z = rng.normal(size=(2, n))
        y = np.exp(r * x + (1 - r * r) ** 0.5 * z)
        seen = round(kendalltau(x, y).statistic, 9)
        if seen not in known:
            known[seen] = small_sample_interval(x, y)
        low, high = known[seen]
        assert low < seen < high or abs(seen) == 1
        held += low <= true <= high
    assert held / 600 > 0.935


def test_an_interval_leaves_out_0_where_p_is_small() -> None:
    for order in [*permutations(range(7))][::50]:
        x, y = np.arange(7.0), np.array(order, float)
        low, high = small_sample_interval(x, y)
        p = p_value(x, y)
        if abs(p - 0.05) > 0.01:  # the interval is simulated
            assert (low > 0 or high < 0) == (p < 0.05)
    rising = small_sample_interval(np.arange(7.0), np.arange(7.0))
    falling = small_sample_interval(np.arange(7.0), -np.arange(7.0))
    assert rising[1] == -falling[0] == 1
    assert rising[0] == pytest.approx(-falling[1], abs=0.03)


def test_between_two_numbers_of_pairs_ties_take_the_outer_bounds() -> None:
    y, swapped = np.arange(8.0), np.array([0.0, 2, 1, 3, 4, 5, 6, 7])
    tied = np.array([0.0, 1.5, 1.5, 3, 4.5, 4.5, 6, 7])
    below, seen = (kendalltau(x, y).statistic for x in (swapped, tied))
    assert below < seen < 1
    expected = small_sample_interval(swapped, y)[0], small_sample_interval(y, y)[1]
    assert small_sample_interval(tied, y) == expected


def test_a_rank_test_is_of_few_or_of_many() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20)
    tau, interval, p = rank_test(x[:19], y[:19])
    assert tau == kendalltau(x[:19], y[:19]).statistic
    assert interval == small_sample_interval(x[:19], y[:19])
    assert p == p_value(x[:19], y[:19])
    assert rank_test(x, y, resamples=100).interval == agreement(x, y, resamples=100).tau_interval
    assert rank_test(np.append(x, np.nan), np.append(y, 0.0), resamples=100) == rank_test(
        x, y, resamples=100
    )


def test_joint_p_is_the_share_of_all_orders_in_which_some_score_agrees_as_much() -> None:
    rng = np.random.default_rng(3)
    y = np.array([0.5, 0.6, 0.6, 0.7, 0.8, 0.9])
    scores = [y + 0.1 * rng.normal(size=6), rng.normal(size=6), np.array([1.0, 1, 2, 2, 3, 3])]
    largest = [
        max(abs(kendalltau(x, order).statistic) for x in scores) for order in permutations(y)
    ]
    found = joint_test(scores, y)
    for x, p in zip(scores, found.p, strict=True):
        seen = abs(kendalltau(x, y).statistic)
        assert p == pytest.approx(np.mean(np.array(largest) >= seen - 1e-9))
        assert p >= p_value(x, y)
    told = [tau for tau in sorted(largest) if np.mean(np.array(largest) >= tau - 1e-9) <= 0.05]
    assert found.least == pytest.approx(told[0])


def test_one_score_alone_is_not_corrected_and_equal_ones_count_once() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 7))
    for scores in ([x], [x, x, -x, np.exp(x)]):
        found = joint_test(scores, y)
        assert set(found.p) == {p_value(x, y)}
        assert found.least == pytest.approx(least_told_apart(7))
    assert joint_test([y[:4]], y[:4]).least is None
    assert joint_test([np.ones(5), np.full(5, np.nan)], y[:5]) == ((1.0, 1.0), None)
    assert joint_test([], y) == ((), None)


def test_where_nothing_ranks_some_score_is_told_in_5_of_100_samples() -> None:
    """Of ten scores that are tested one by one, it would be 40."""
    rng = np.random.default_rng(5)
    told = sum(
        min(joint_test([*rng.normal(size=(10, 6))], rng.normal(size=6)).p) <= 0.05
        for _ in range(100)
    )
    assert 0 < told <= 11


def test_where_a_score_failed_it_agrees_with_nothing() -> None:
    y = np.arange(6.0)
    x = np.array([0.0, 2, 1, 3, 4, np.nan])
    seen = kendalltau(x[:5], y[:5]).statistic
    taus = [abs(kendalltau(x[:5], order[:5]).statistic) for order in permutations(y)]
    assert joint_test([x], y).p[0] == pytest.approx(np.mean(np.array(taus) >= seen - 1e-9))
