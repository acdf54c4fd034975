"""Agreement of a score with accuracies, against loops, closed forms and hand counts."""

import tracemalloc
from dataclasses import replace
from inspect import unwrap
from itertools import combinations
from math import log2, sqrt

import numpy as np
import pytest
from scipy.stats import bootstrap, kendalltau, spearmanr

from untrained.tables import agreement, exceedance, partial, partial_tau


def noisy(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties and accuracies that go along with them."""
    rng = np.random.default_rng(seed)
    accuracies = rng.normal(size=n)
    return np.round(accuracies + rng.normal(size=n)), accuracies


def naive_tau(x: np.ndarray, y: np.ndarray) -> float:
    """tau-b = (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y)."""
    signs = [
        (np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)
    ]
    untied = sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    return float(sum(a * b for a, b in signs) / untied)


def naive_ranks(x: np.ndarray) -> list[float]:
    """Of each value, how many are below, and half of those equal to it."""
    return [float(sum(x < value) + sum(x == value) / 2) for value in x]


@pytest.mark.parametrize("seed", range(3))
def test_correlations_against_loops_and_scipy(seed: int) -> None:
    x, y = noisy(seed)
    found = agreement(x, y, resamples=50)
    assert found.tau == pytest.approx(naive_tau(x, y), abs=1e-12)
    assert found.tau == kendalltau(x, y).statistic
    a, b = naive_ranks(x), naive_ranks(y)
    assert found.rho == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    assert found.rho == spearmanr(x, y).statistic
    top = sorted(range(60), key=lambda i: -y[i])[:6]
    assert found.tau_top == pytest.approx(naive_tau(x[top], y[top]), abs=1e-12)


def test_failed_scores_are_counted_and_left_out() -> None:
    x, y = noisy(0)
    with_failures = np.insert(x, [0, 30, 60], np.nan)
    accuracies = np.insert(y, [0, 30, 60], [9.0, -9.0, 9.0])  # the best, had they a score
    found = agreement(with_failures, accuracies, resamples=50)
    without = agreement(x, y, resamples=50)
    assert (found.failed, without.failed) == (3, 0)
    assert replace(found, failed=0) == without
    assert without.count == 60


def test_the_top_by_hand() -> None:
    """Forty accuracies in order; the scores agree but among the four best."""
    accuracies = np.arange(40) / 100
    scores = np.arange(40.0)
    scores[36:] = 37, 39, 38, 0.5  # two of six pairs as they should be: 36-37 and 36-38
    found = agreement(scores, accuracies, resamples=50)
    assert found.tau_top == pytest.approx((2 - 4) / 6)
    assert found.shared_top == 3 / 4  # 35 stands in the place of 39
    assert found.discovered == 0.38  # 39 is not among the ten best scores
    # Discordant: 37-38, and 39 with all others but 0.
    assert found.tau == pytest.approx(1 - 2 * (1 + 38) / (40 * 39 / 2))


def test_perfect_and_reversed() -> None:
    accuracies = np.linspace(0.1, 0.9, 50)
    same, reverse = (agreement(s * accuracies, accuracies, resamples=50) for s in (1, -1))
    assert (same.tau, same.rho, same.tau_top, same.shared_top) == pytest.approx((1, 1, 1, 1))
    assert (reverse.tau, reverse.rho, reverse.tau_top) == pytest.approx((-1, -1, -1))
    assert same.tau_interval == pytest.approx((1, 1))
    assert (same.discovered, reverse.shared_top) == (0.9, 0)
    assert reverse.discovered == accuracies[9]


def test_the_interval_of_tau() -> None:
    """Around nothing for noise, and about as wide as theory has it; narrower if they agree more.

    Under independence tau has the variance 2 (2 n + 5) / (9 n (n - 1)) (Kendall 1938).
    """
    n = 100
    x, y = np.random.default_rng(1).normal(size=(2, n))
    found = agreement(x, y, resamples=400)
    low, high = found.tau_interval
    assert low < 0 < high
    assert low < found.tau < high
    assert high - found.tau == pytest.approx(found.tau - low, rel=0.35)
    width = 2 * 1.96 * sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
    assert high - low == pytest.approx(width, rel=0.3)
    close = agreement(x, x + 0.3 * y, resamples=400)
    assert close.tau_interval[0] < close.tau < close.tau_interval[1]
    assert close.tau_interval[1] - close.tau_interval[0] < 0.7 * (high - low)
    assert agreement(x, y, resamples=400) == found


@pytest.mark.parametrize(
    ("scores", "accuracies", "came"),
    [
        (np.zeros(19), np.zeros(19), "got 19 and 19, 19 of them finite"),
        (np.r_[np.arange(19.0), [np.nan] * 9], np.zeros(28), "got 28 and 28, 19 of them finite"),
    ],
)
def test_too_few_to_agree(scores: np.ndarray, accuracies: np.ndarray, came: str) -> None:
    with pytest.raises(ValueError, match=f"as many scores as accuracies, and 20.*{came}"):
        agreement(scores, accuracies)


# What the best are worth


def test_both_intervals_are_those_of_each_statistic_alone() -> None:
    """One bootstrap of both gives what scipy's gives for each, resample by resample."""
    x, y = noisy(5)
    found = agreement(x, y, resamples=130)
    for statistic, interval in (
        (kendalltau, found.tau_interval),
        (spearmanr, found.rho_interval),
    ):
        alone = bootstrap(
            (x, y),
            lambda a, b, of=statistic: of(a, b).statistic,
            paired=True,
            vectorized=False,
            n_resamples=130,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
        assert interval == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_the_memory_of_a_bootstrap_does_not_grow_with_its_resamples() -> None:
    x, y = noisy(5, n=2000)
    peaks = []
    for resamples in (200, 800):
        tracemalloc.start()
        partial(x, y, x[:, None] + y[:, None], resamples=resamples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("seed", range(3))
def test_pearson_and_the_best_half_against_loops(seed: int) -> None:
    x, y = noisy(seed, n=41)
    found = agreement(x, y, resamples=20)
    a, b = x - sum(x) / 41, y - sum(y) / 41
    assert found.pearson == pytest.approx(sum(a * b) / sqrt(sum(a * a) * sum(b * b)), abs=1e-12)
    half = sorted(range(41), key=lambda i: -y[i])[:20]
    assert found.tau_half == pytest.approx(naive_tau(x[half], y[half]), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_discovery_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 200))
    found = agreement(x, y, resamples=20)
    by_score = sorted(range(200), key=lambda i: -x[i])
    by_accuracy = sorted(range(200), key=lambda i: -y[i])
    places = [by_accuracy.index(i) + 1 for i in by_score[:10]]
    assert found.best_rank == min(places) / 200
    assert found.discovered == y[by_accuracy[min(places) - 1]]
    assert found.regret == pytest.approx(y[by_accuracy[0]] - found.discovered, abs=1e-12)
    assert found.regret > 0


def naive_ndcg(x: np.ndarray, y: np.ndarray) -> float:
    """With equal scores in every order, each as likely: the mean of their gains at each place."""
    n = len(x)
    gains = [(rank + 0.5) / n for rank in naive_ranks(y)]
    shared = [np.mean([gains[j] for j in range(n) if x[j] == x[i]]) for i in range(n)]
    by_score = sorted(range(n), key=lambda i: -x[i])
    dcg = sum(shared[i] / log2(2 + place) for place, i in enumerate(by_score))
    ideal = sum(gain / log2(2 + place) for place, gain in enumerate(sorted(gains, reverse=True)))
    return float(dcg / ideal)


@pytest.mark.parametrize("seed", range(3))
def test_ndcg_against_a_loop(seed: int) -> None:
    x, y = noisy(seed)
    assert agreement(x, y, resamples=20).ndcg == pytest.approx(naive_ndcg(x, y), abs=1e-12)
    assert agreement(x, np.exp(y), resamples=20).ndcg == agreement(x, y, resamples=20).ndcg


def test_the_best_by_a_perfect_and_a_reversed_score() -> None:
    accuracies = np.linspace(0.1, 0.9, 50)
    same, reverse = (agreement(s * accuracies, accuracies, resamples=20) for s in (1, -1))
    assert (same.pearson, same.tau_half, same.ndcg) == pytest.approx((1, 1, 1))
    assert (same.regret, same.best_rank) == (0, 1 / 50)
    assert (reverse.pearson, reverse.tau_half) == pytest.approx((-1, -1))
    assert reverse.best_rank == 41 / 50
    assert reverse.regret == pytest.approx(0.8 * 40 / 49)
    assert reverse.ndcg < 0.8


def test_whole_numbers_agree_as_floats_do() -> None:
    x, y = noisy(0)
    assert agreement(x.astype(int), y, resamples=20) == agreement(x, y, resamples=20)


# Above a threshold


@pytest.mark.parametrize("seed", range(3))
def test_exceedance_against_a_loop(seed: int) -> None:
    x, y = noisy(seed)
    for p, found in zip((-1, 0, 0.5), exceedance(x, y, (-1, 0, 0.5)), strict=True):
        above, below = x[y > p], x[y <= p]
        pairs = [(a > b) + (a == b) / 2 for a in above for b in below]
        assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_exceedance_of_all_of_none_and_of_failures() -> None:
    y = np.array([0.80, 0.86, 0.88, 0.94])
    assert exceedance(y, y, (0.5, 0.80, 0.93, 0.94)) == (None, 1, 1, None)  # above, not equal
    assert exceedance(-y, y, (0.87,)) == (0,)
    failing = np.array([np.nan, 0.9, 0.8, np.nan])
    assert exceedance(failing, y, (0.80, 0.87)) == (None, 0)
    assert exceedance(np.full(4, np.nan), y, (0.87,)) == (None,)


# Beyond other scores


@pytest.mark.parametrize("k", [1, 2, 3])
def test_partial_rho_from_the_inverse_of_the_correlations(k: int) -> None:
    """-P_xy / sqrt(P_xx P_yy) with P the inverse of Spearman's correlations of all."""
    rng = np.random.default_rng(k)
    others = rng.normal(size=(90, k))
    x, y = (np.round(others.sum(1) + rng.normal(size=90), 1) for _ in range(2))
    ranks = [naive_ranks(column) for column in (x, y, *others.T)]
    precision = np.linalg.inv(np.corrcoef(ranks))
    expected = -precision[0, 1] / sqrt(precision[0, 0] * precision[1, 1])
    found = partial(x, y, others, resamples=30)
    assert found.rho == pytest.approx(expected, abs=1e-12)
    assert found.count == 90
    assert partial(x, np.exp(y), -(others**3), resamples=30).rho == pytest.approx(expected)


def test_the_interval_of_partial_rho() -> None:
    """About as wide as under independence: 1 / sqrt(n - k - 1) (Fisher 1924)."""
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 200))
    found = partial(x + z, y + z, z[:, None], resamples=300)
    low, high = found.interval
    assert low < found.rho < high
    assert low < 0 < high
    assert high - low == pytest.approx(2 * 1.96 / sqrt(198), rel=0.3)
    assert partial(x + z, y + z, z[:, None], resamples=300) == found


def test_partial_leaves_failures_out() -> None:
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 60))
    without = partial(x[2:], y[2:], z[2:, None], resamples=30)
    x[0] = z[1] = np.nan
    assert partial(x, y, z[:, None], resamples=30) == without
    assert without.count == 58


@pytest.mark.parametrize("seed", range(3))
def test_partial_tau_against_loops(seed: int) -> None:
    x, y = noisy(seed)
    z = np.round(x + np.random.default_rng(seed + 10).normal(size=60))
    xy, xz, yz = naive_tau(x, y), naive_tau(x, z), naive_tau(y, z)
    expected = (xy - xz * yz) / sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_tau(x, y, z) == pytest.approx(expected, abs=1e-12)
    failed = np.append(z, np.nan)
    assert partial_tau(np.append(x, 9), np.append(y, 9), failed) == partial_tau(x, y, z)


@pytest.mark.parametrize("seed", range(3))
def test_partial_tau_given_two_by_the_recursion_of_partial_correlations(seed: int) -> None:
    x, y = noisy(seed)
    z, w = np.round(x + np.random.default_rng(seed + 10).normal(size=(2, 60)))
    xy, xw, yw = (partial_tau(a, b, z) for a, b in ((x, y), (x, w), (y, w)))
    expected = (xy - xw * yw) / sqrt((1 - xw**2) * (1 - yw**2))
    assert partial_tau(x, y, np.stack([z, w], 1)) == pytest.approx(expected, abs=1e-12)
    assert partial_tau(x, y, np.stack([z, 2 * z], 1)) == pytest.approx(xy, abs=1e-12)


def test_equal_scores_share_the_top_by_lot_and_not_by_their_place() -> None:
    """Accuracies in order, best first, and scores that say nothing but for one pair."""
    accuracies = np.linspace(1.0, 0.0, 1000)
    scores = np.zeros(1000)
    scores[-1] = -1
    found = agreement(scores, accuracies, resamples=10)
    assert found.shared_top == pytest.approx(0.1, abs=0.05)
    assert found.shared_half == pytest.approx(0.5, abs=0.06)
    assert found.discovered < 1


def test_nothing_left_by_the_given_signals() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    given = np.stack([np.exp(x), y**2], 1)
    with pytest.raises(ValueError, match="got 2 that determine one of them: leave some out"):
        partial(x, y, given)
    with pytest.raises(ValueError, match="got 1 that determine"):
        partial(y, x, np.exp(x)[:, None])
    with pytest.raises(ValueError, match="order architectures otherwise"):
        partial_tau(x, y, -x)
    with pytest.raises(ValueError, match="none of them constant"):
        partial_tau(x, y, np.ones(40))
    with pytest.raises(ValueError, match=r"expected 20 architectures or more.*got 19 of 19"):
        partial(x[:19], y[:19], y[:19, None])


def test_other_lengths() -> None:
    """Without the tests' check of shapes, which would come first."""
    x = np.arange(30.0)
    with pytest.raises(ValueError, match=r"got lengths \[30, 29\]"):
        unwrap(exceedance)(x, x[1:], (3,))
    with pytest.raises(ValueError, match=r"got lengths \[30, 30, 29\]"):
        unwrap(partial)(x, x, x[1:, None])
    with pytest.raises(ValueError, match=r"got lengths \[30, 29, 30\]"):
        unwrap(partial_tau)(x, x[1:], x)


def test_a_row_has_two_columns_for_an_interval() -> None:
    accuracies = np.linspace(0.0, 1.0, 100)
    found = agreement(accuracies**2, accuracies, resamples=50)
    row = found.row()
    assert (row["tau_low"], row["tau_high"]) == found.tau_interval
    assert (row["rho_low"], row["rho_high"]) == found.rho_interval
    assert {*row} - {"tau_low", "tau_high", "rho_low", "rho_high"} == {*vars(found)} - {
        "tau_interval",
        "rho_interval",
    }
