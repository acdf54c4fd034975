"""Combined scores and smaller spaces, against loops and closed forms."""

from collections.abc import Callable
from inspect import unwrap
from math import comb, log, sqrt
from statistics import NormalDist, fmean, pstdev

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.model_selection import KFold

from untrained.tables import (
    cross_fitted,
    log_rank_sum,
    rank_sum,
    search_within,
    shrink,
    z_sum,
)


def scores(seed: int, m: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """One with ties, one that failed thrice."""
    rng = np.random.default_rng(seed)
    first, second = np.round(rng.normal(size=m), 1), rng.normal(size=m)
    second[:3] = np.nan, np.nan, -np.inf
    return first, second


def naive_ranks(score: np.ndarray) -> list[float]:
    """1 is the worst; failures are equal and below all else; ties share their mean."""
    values = [float(v) if np.isfinite(v) else float("-inf") for v in score]
    return [
        1 + sum(v < value for v in values) + (sum(v == value for v in values) - 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_ranks_against_loops(seed: int) -> None:
    both = scores(seed)
    ranks = list(zip(*map(naive_ranks, both), strict=True))
    assert rank_sum(*both).tolist() == [a + b for a, b in ranks]
    expected = [log(a / 40) + log(b / 40) for a, b in ranks]
    assert log_rank_sum(*both) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_z_sum_against_a_loop(seed: int) -> None:
    first, second = scores(seed)
    found = z_sum(first, second)
    assert np.isnan(found[:3]).all()
    sound = [float(v) for v in second[3:]]
    expected = [
        (a - fmean(first)) / pstdev(first) + (b - fmean(sound)) / pstdev(sound)
        for a, b in zip(first[3:], sound, strict=True)
    ]
    assert found[3:] == pytest.approx(expected, abs=1e-12)


def test_what_each_sum_prefers() -> None:
    """Bad by one score counts more by logarithms; distances count by z-scores only."""
    first = np.array([1.0, 2, 3, 4, 5])
    second = np.array([4.9, 2, 3, 4, 1])
    assert rank_sum(first, second)[0] == rank_sum(first, second)[2] == 6
    assert log_rank_sum(first, second)[0] < log_rank_sum(first, second)[2]
    assert rank_sum(first**9, second).tolist() == rank_sum(first, second).tolist()
    z, far = z_sum(first, second), z_sum(first**9, second)
    assert z[3] > z[4]
    assert far[3] < far[4]


@pytest.mark.parametrize("combine", [rank_sum, log_rank_sum, z_sum])
def test_one_signal_keeps_its_order(combine: Callable[..., np.ndarray]) -> None:
    score = np.random.default_rng(0).permutation(30)  # whole numbers
    assert (np.argsort(combine(score)) == np.argsort(score)).all()
    assert combine(score, -score) == pytest.approx(combine(-score, score))


def test_signals_that_cannot_be_summed() -> None:
    with pytest.raises(ValueError, match=r"one score or more.*got lengths \[\]"):
        rank_sum()
    with pytest.raises(ValueError, match="3 finite values, all equal: leave it out"):
        z_sum(np.array([2.0, 2, 2, np.nan]))
    with pytest.raises(ValueError, match="0 finite values, all failed"):
        z_sum(np.arange(3.0), np.full(3, np.nan))


# Cross-fitting


@pytest.mark.parametrize("seed", range(3))
def test_cross_fitting_by_hand(seed: int) -> None:
    """Normal scores by the standard library, slopes by the normal equations."""
    rng = np.random.default_rng(seed)
    first, second = scores(seed)
    accuracies = np.round(first + rng.normal(size=40), 1)
    phi = NormalDist().inv_cdf
    u = np.array([[phi((r - 0.5) / 40) for r in naive_ranks(s)] for s in (first, second)]).T
    expected = np.empty(40)
    for others, part in KFold(2, shuffle=True, random_state=7).split(u):
        targets = np.array([phi((r - 0.5) / 20) for r in naive_ranks(accuracies[others])])
        centred = u[others] - u[others].mean(0)
        expected[part] = u[part] @ np.linalg.solve(centred.T @ centred, centred.T @ targets)
    found = cross_fitted(np.stack([first, second], 1), accuracies, seed=7)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("folds", [2, 5])
def test_a_prediction_has_not_seen_its_own_accuracy(folds: int) -> None:
    rng = np.random.default_rng(0)
    columns, accuracies = rng.normal(size=(50, 3)), rng.normal(size=50)
    found = cross_fitted(columns, accuracies, folds)
    for i in range(0, 50, 7):
        others = accuracies.copy()
        others[i] = -99 if accuracies[i] > 0 else 99
        again = cross_fitted(columns, others, folds)
        assert again[i] == found[i]
        assert (again != found).any()


def test_cross_fitting_weighs_signals_and_gains_nothing_from_noise() -> None:
    rng = np.random.default_rng(0)
    skill, size, noise = rng.normal(size=(3, 600))
    accuracies = 0.9 + 0.01 * np.tanh(2 * skill + size)
    columns = np.stack([skill, size, -noise], 1)
    tau = kendalltau(cross_fitted(columns, accuracies), accuracies).statistic
    assert tau > 0.9
    assert tau > kendalltau(rank_sum(*columns.T), accuracies).statistic + 0.2
    reverse = cross_fitted(-columns, accuracies)  # directions are learnt too
    assert kendalltau(reverse, accuracies).statistic == pytest.approx(tau, abs=1e-9)
    taus = [
        kendalltau(cross_fitted(rng.normal(size=(60, 6)), y), y).statistic
        for y in rng.normal(size=(40, 60))
    ]
    assert abs(fmean(taus)) < 3 * 0.089 / sqrt(40)  # 0.089: of tau under independence, n = 60


def test_cross_fitting_that_cannot_be() -> None:
    columns, accuracies = np.random.default_rng(0).normal(size=(9, 3)), np.arange(9.0)
    with pytest.raises(ValueError, match=r"5 architectures or more to fit 3 scores.*2 folds of 9"):
        cross_fitted(columns, accuracies)
    assert np.isfinite(cross_fitted(columns, accuracies, folds=3)).all()
    with pytest.raises(ValueError, match=r"expected 2 folds or more.*got 1 folds"):
        cross_fitted(columns, accuracies, folds=1)
    accuracies[0] = np.nan
    with pytest.raises(ValueError, match=r"finite accuracy for each of 9.*8 of them finite"):
        cross_fitted(columns, accuracies, folds=3)
    with pytest.raises(ValueError, match="each of 9 architectures, got 8"):
        unwrap(cross_fitted)(columns, accuracies[1:])


# A smaller space


@pytest.mark.parametrize(("seed", "share"), [(0, 0.05), (1, 0.3), (2, 1)])
def test_shrinking_against_loops(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    accuracies = rng.random(400)
    score = accuracies + 0.2 * rng.normal(size=400)
    score[::50] = np.nan
    found = shrink(score, accuracies, share)
    values = [float(v) if np.isfinite(v) else float("-inf") for v in score]
    count = round(400 * share)
    kept = sorted(range(400), key=lambda i: -values[i])[:count]
    best = sorted(range(400), key=lambda i: -accuracies[i])
    assert found.kept == count
    assert found.mean == pytest.approx(fmean(accuracies[kept]))
    assert found.mean_all == pytest.approx(fmean(accuracies))
    assert found.best == max(accuracies[kept])
    assert found.best_all == max(accuracies)
    assert found.top_share == len(set(best[:4]) & set(kept)) / 4
    assert found.top_ten == len(set(best[:10]) & set(kept))


def test_shrinking_by_a_constant_keeps_a_random_share() -> None:
    """Of 4,000 in order of accuracy; the mean of a random tenth is normal about 1/2."""
    accuracies = np.arange(4000) / 4000
    found = shrink(np.zeros(4000), accuracies, 0.1)
    assert abs(found.mean - 0.5) < 4 * sqrt(1 / 12 / 400)
    assert shrink(np.zeros(4000), accuracies, 0.1) == found
    assert shrink(accuracies, accuracies, 1e-9).kept == 1
    assert shrink(-accuracies, accuracies, 0.5).top_ten == 0


def expected_best(values: np.ndarray, budget: int) -> tuple[float, float]:
    """Of a draw of `budget` from values in order of preference, best first: the i-th is selected
    where the rest of the draw comes after it. Mean and standard deviation."""
    n = len(values)
    weights = np.array([comb(n - 1 - i, budget - 1) / comb(n, budget) for i in range(n)])
    assert weights.sum() == pytest.approx(1)
    mean = weights @ values
    return float(mean), sqrt(weights @ (values - mean) ** 2)


@pytest.mark.parametrize(("share", "budget"), [(1, 1), (1, 10), (0.2, 10), (0.2, 40)])
def test_search_against_the_closed_form(share: float, budget: int) -> None:
    rng = np.random.default_rng(0)
    accuracies = rng.random(200)
    cheap, expensive = accuracies + 0.3 * rng.normal(size=(2, 200))
    kept = np.argsort(-cheap)[: round(200 * share)]
    order = kept[np.argsort(-expensive[kept])]
    mean, deviation = expected_best(accuracies[order], budget)
    found = search_within(cheap, expensive, accuracies, share, budget, repeats=4000)
    assert found.kept == len(kept)
    assert found.mean == pytest.approx(mean, abs=4 * deviation / sqrt(4000) + 1e-12)
    assert found.deviation == pytest.approx(deviation, rel=0.1, abs=1e-12)
    assert found.standard_error == pytest.approx(found.deviation / sqrt(4000))
    again = search_within(cheap, expensive, accuracies, share, budget, repeats=4000)
    assert again == found
    if budget < len(kept):
        other = search_within(cheap, expensive, accuracies, share, budget, repeats=4000, seed=1)
        assert other.mean != found.mean


def test_search_by_a_signal_that_ties_or_failed() -> None:
    accuracies = np.arange(200) / 200
    ties = search_within(accuracies, np.zeros(200), accuracies, 1, 20)
    assert abs(ties.mean - 0.5) < 4 * ties.standard_error
    failing = np.where(accuracies < 0.5, accuracies, np.nan)
    assert search_within(accuracies, failing, accuracies, 1, 150).mean < 0.5


def test_what_cannot_be_shrunk_or_searched() -> None:
    x = np.arange(50) / 50
    for share in (0, 1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"above 0 and at most 1, got {share}"):
            shrink(x, x, share)
    with pytest.raises(ValueError, match=r"finite accuracy.*got 50 and 50, 49 of the latter"):
        shrink(x, np.append(x[1:], np.nan), 0.1)
    with pytest.raises(ValueError, match="got 0 and 0"):
        shrink(x[:0], x[:0], 0.1)
    with pytest.raises(ValueError, match="got 50 values, the accuracies themselves"):
        search_within(-x, x, x, 0.5, 5)
    with pytest.raises(ValueError, match="got 49 values"):
        unwrap(search_within)(-x, x[1:], x, 0.5, 5)
    with pytest.raises(ValueError, match=r"budget of 1 to 25, which share 0.5 keeps.*of 26 and"):
        search_within(x, -x, x, 0.5, 26)
    with pytest.raises(ValueError, match="5 and 1 repeats"):
        search_within(x, -x, x, 0.5, 5, repeats=1)
