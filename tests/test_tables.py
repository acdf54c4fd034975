"""The table against the published optima; agreement of scores against loops and hand counts."""

from dataclasses import replace
from itertools import combinations
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from untrained.tables import NASBench201Table, agreement, standings
from untrained.tables.nasbench201 import DATA


@pytest.fixture(scope="module")
def table(data: Path) -> NASBench201Table:
    return NASBench201Table(data / "tables" / "nasbench201.parquet")


@pytest.mark.parametrize(
    ("column", "index", "accuracy"),
    [("cifar10", 6111, 0.943733), ("cifar100", 9930, 0.735133), ("imagenet16_120", 857, 0.473111)],
)
def test_published_optima(
    table: NASBench201Table, column: str, index: int, accuracy: float
) -> None:
    row = table.frame.filter(table.frame["index"] == index)
    assert row[f"{column}_test_200"].item() == pytest.approx(accuracy, abs=5e-7)
    found = {(s.data, s.population): s for s in table.standings(row["architecture"].item())}
    best = found[DATA[column], "all"]
    assert best.rank == 1
    assert best.accuracy == best.best
    assert best.percentile == 100
    assert best.size == 15_625


def test_none_free_population_has_4096_architectures(table: NASBench201Table) -> None:
    cell = "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|"
    cell += "+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|"
    sizes = {s.population: s.size for s in table.standings(cell)}
    assert sizes == {"all": 15_625, "none-free": 4_096}


def test_an_architecture_with_none_stands_among_all_only(table: NASBench201Table) -> None:
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert {s.population for s in table.standings(cell)} == {"all"}


def test_a_missing_row_raises(table: NASBench201Table) -> None:
    partial = "|nor_conv_1x1,nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    with pytest.raises(KeyError, match="no row"):
        table.row(partial)


def test_no_table_is_no_standing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path))
    assert standings("nasbench201", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|") == ()
    with pytest.raises(FileNotFoundError, match="UNTRAINED_DATA"):
        NASBench201Table()


# Agreement of a score with accuracies


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
