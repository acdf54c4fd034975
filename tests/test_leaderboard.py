"""Leaderboards of scores whose values are known, against loops and SciPy."""

import sys
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

import untrained
from untrained.benching import Leaderboard, rank_scores
from untrained.benching.leaderboard import SHORTENED
from untrained.benching.ranking import Known
from untrained.tables import groups, rank_agreement, tau_difference

N, DRAWS = 60, 3


def values() -> pl.DataFrame:
    """Accuracies; a good score with draws, a worse one where lower is better, two sizes."""
    rng = np.random.default_rng(0)
    accuracy = np.round(rng.normal(0.7, 0.1, N), 2)  # with ties
    rows = {
        "architecture": [f"a{i}" for i in range(N)] * DRAWS,
        "draw": np.repeat(range(DRAWS), N),
    }
    good = np.concatenate([accuracy + rng.normal(0, 0.05, N) for _ in range(DRAWS)])
    low = np.concatenate([-accuracy + rng.normal(0, 0.2, N) for _ in range(DRAWS)])
    size = np.round(10 * accuracy + rng.normal(0, 1, N))
    return pl.DataFrame(
        {
            **rows,
            "accuracy": np.tile(accuracy, DRAWS),
            "good": good,
            "low": low,
            "size": np.tile(size, DRAWS),
        }
    )


SCORES = {
    "low": Known(higher_is_better=False, seconds=1.0),
    "good": Known(seconds=2.0),
    "size": Known(kind="baseline", seconds=0.1),
}


def ranked(frame: pl.DataFrame, scores: dict[str, Known] = SCORES) -> Leaderboard:
    return rank_scores(
        frame, "accuracy", scores, population="made up", sizes=("size",), resamples=20
    )


def row(board: Leaderboard, score: str) -> dict[str, Any]:
    return board.scores.row(by_predicate=pl.col("score") == score, named=True)


def matrix_of(frame: pl.DataFrame, column: str) -> np.ndarray:
    return frame[column].to_numpy().reshape(DRAWS, N).T


def test_statistics_of_a_score_where_lower_is_better_against_scipy_and_loops() -> None:
    frame = values()
    y, x = matrix_of(frame, "accuracy")[:, 0], -matrix_of(frame, "low").mean(1)
    found = row(ranked(frame), "low")
    assert found["tau"] == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert found["rho"] == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found["pearson"] == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    chosen = sorted(range(N), key=lambda i: -x[i])
    best = max(y[i] for i in chosen[:10])
    assert found["discovered"] == best
    assert found["regret"] == pytest.approx(max(y) - best)
    assert found["best_rank"] == (1 + sum(a > best for a in y)) / N
    gains = rankdata(y) / N
    dcg = sum(gains[i] / log2(2 + place) for place, i in enumerate(chosen))
    ideal = sum(g / log2(2 + place) for place, g in enumerate(sorted(gains)[::-1]))
    assert found["ndcg"] == pytest.approx(dcg / ideal)
    for name, share in (("shared_top", 10), ("shared_half", 2)):
        k = N // share
        edge = sorted(y)[-k]
        least = sum(y[i] > edge for i in chosen[:k])  # ties at the edge go either way
        most = sum(y[i] >= edge for i in chosen[:k])
        assert least / k <= found[name] <= most / k
    median = float(np.quantile(y, 0.5))
    pairs = [(x[i], x[j]) for i in range(N) for j in range(N) if y[i] > median >= y[j]]
    better = np.mean([(a > b) + (a == b) / 2 for a, b in pairs])
    assert found[f"pqetp_{median:.4g}"] == pytest.approx(better)


def test_spread_over_draws_is_of_the_taus_of_single_draws() -> None:
    frame = values()
    y, draws = matrix_of(frame, "accuracy")[:, 0], matrix_of(frame, "good")
    taus = [kendalltau(draws[:, d], y).statistic for d in range(DRAWS)]
    board = ranked(frame)
    found = row(board, "good")
    assert found["tau_draws"] == pytest.approx(np.mean(taus))
    assert found["tau_spread"] == pytest.approx(np.std(taus, ddof=1))
    assert found["tau"] > found["tau_draws"]  # a mean has less noise than what it is of
    assert row(board, "size")["tau_spread"] is None  # all draws are one


def test_the_order_and_the_front_of_cost_and_tau() -> None:
    board = ranked(values())
    assert board.scores["score"].to_list() == ["good", "size", "low"]
    assert dict(board.scores.select("score", "on_front").iter_rows()) == {
        "good": True,
        "size": True,
        "low": False,  # dearer than the size, and worse
    }


def test_failures_are_counted_and_left_out_and_last_only_where_said() -> None:
    """The best by accuracy fails, in one draw of three: it has no value, by no means the best."""
    frame = values()
    y = matrix_of(frame, "accuracy")[:, 0]
    lost = int(y.argmax())
    gone = (pl.col("architecture") == f"a{lost}") & (pl.col("draw") == 1)
    failed = frame.with_columns(good=pl.when(~gone).then(pl.col("good")))
    found = row(ranked(failed), "good")
    assert (found["count"], found["failed"]) == (N - 1, 1)
    assert found["reason"] == "failed on 1 of 60 architectures"
    x, others = matrix_of(frame, "good").mean(1), np.arange(N) != lost
    assert found["tau"] == pytest.approx(kendalltau(x[others], y[others]).statistic)
    assert found["discovered"] < y[lost]
    x[lost] = -9
    assert found["tau_failed_last"] == pytest.approx(kendalltau(x, y).statistic)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("score", ["good", "low"])
def test_what_is_not_finite_is_a_failure_whatever_the_direction(score: str, odd: float) -> None:
    frame = values()
    worst = f"a{int(matrix_of(frame, 'accuracy')[:, 0].argmin())}"
    marked = pl.when(pl.col("architecture") == worst).then(odd).otherwise(pl.col(score))
    lost = pl.when(pl.col("architecture") != worst).then(pl.col(score))
    found = row(ranked(frame.with_columns(marked.alias(score))), score)
    assert found["failed"] == 1
    assert found == row(ranked(frame.with_columns(lost.alias(score))), score)


def test_a_score_without_statistics_says_why() -> None:
    frame = values().with_columns(good=None, low=pl.lit(3.0))
    scores = {**SCORES, "good": Known(reason="too large")}
    board = ranked(frame, scores)
    assert board.scores["score"].to_list()[0] == "size"
    assert row(board, "good")["reason"] == "failed on 60 of 60 architectures: too large"
    assert row(board, "low")["reason"] == "all values, or all accuracies beside them, are equal"
    assert row(board, "good")["tau"] is row(board, "good")["group"] is None
    assert not board.judged
    assert ranked(values()).judged


def test_a_score_that_fails_and_is_constant_says_both() -> None:
    first = pl.col("architecture") == "a0"
    frame = values().with_columns(good=pl.when(~first).then(5.0))
    found = row(ranked(frame, {**SCORES, "good": Known(reason="too large")}), "good")
    assert (found["count"], found["failed"], found["tau"]) == (N - 1, 1, None)
    assert found["reason"].startswith("failed on 1 of 60 architectures: too large; all values")


def test_accuracies_that_are_equal_where_a_score_has_a_value_rank_nothing() -> None:
    frame = values()
    high = pl.col("accuracy") > 0.7
    frame = frame.with_columns(
        accuracy=pl.when(high).then(0.9).otherwise("accuracy"),
        good=pl.when(high).then("good"),
    )
    found = row(ranked(frame), "good")
    assert found["count"] >= 20
    assert found["tau"] is found["group"] is None
    assert "all accuracies beside them, are equal" in found["reason"]


def test_a_failure_is_below_the_least_of_huge_values() -> None:
    """1 less than -1e20 is -1e20."""
    frame = values()
    y = matrix_of(frame, "accuracy")[:, 0]
    best, worst = int(y.argmax()), int(y.argmin())
    x = np.where(np.arange(N) == worst, -1e20, y)
    x[best] = np.nan
    frame = frame.with_columns(good=np.tile(x, DRAWS))
    x[best] = -np.finfo(float).max
    found = row(ranked(frame), "good")
    assert found["tau_failed_last"] == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


def test_quantiles_of_accuracies_that_are_equal_are_one_threshold() -> None:
    frame = values().with_columns(accuracy=pl.col("accuracy").clip(upper_bound=0.7))
    board = ranked(frame)
    named = [name for name in board.scores.columns if name.startswith("pqetp_")]
    assert 1 < len(named) < 5
    assert row(board, "good")["pqetp_0.7"] is None  # none exceeds it


def test_directions_are_not_chosen_by_accuracies() -> None:
    """A score that ranks in reverse has a negative tau, and stands last."""
    board = ranked(values(), {**SCORES, "good": Known(higher_is_better=False)})
    assert row(board, "good")["tau"] < -0.5
    assert board.scores["score"].to_list()[-1] == "good"


def test_what_is_known_beyond_size() -> None:
    frame = values()
    y, z = matrix_of(frame, "accuracy")[:, 0], matrix_of(frame, "size")[:, 0]
    x = matrix_of(frame, "good").mean(1)
    xy, xz, yz = (kendalltau(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    board = ranked(frame)
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert row(board, "good")["tau_given_size"] == pytest.approx(expected)
    assert row(board, "size")["tau_given_size"] is None


def test_a_size_that_all_share_is_left_out_of_what_is_given() -> None:
    """As the number of layers, in a space whose networks differ in width alone."""
    frame = values().with_columns(layers=pl.lit(18.0))
    scores = {**SCORES, "layers": Known(kind="baseline")}
    found, fewer = (
        rank_scores(frame, "accuracy", scores, population="", sizes=sizes, resamples=20)
        for sizes in (("size", "layers"), ("size",))
    )
    for name in ("tau_given_size", "rho_given_size", "rho_given_size_low"):
        assert row(found, "good")[name] == pytest.approx(row(fewer, "good")[name])


def test_the_matrix_is_of_pairs_that_both_scores_have() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 30))
    y[:5] = np.nan
    found = rank_agreement({"x": x, "y": y})
    assert found[0, 1] == found[1, 0] == kendalltau(x[5:], y[5:]).statistic
    assert (found[0, 0], found[1, 1]) == pytest.approx((1, 1))
    board = ranked(values())
    assert board.matrix.columns == ["score", "low", "good", "size"]
    assert board.matrix["good"][0] > 0.2  # directions count: both rank as accuracy does


def test_paired_differences_against_a_loop() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=40)
    one, other = y + rng.normal(size=40), y + 2 * rng.normal(size=40)
    found = tau_difference(one, other, y, resamples=400)
    chosen = [rng.integers(0, 40, 40) for _ in range(400)]
    taus = [
        kendalltau(one[c], y[c]).statistic - kendalltau(other[c], y[c]).statistic for c in chosen
    ]
    assert found.value == kendalltau(one, y).statistic - kendalltau(other, y).statistic
    assert found.interval == pytest.approx(np.quantile(taus, [0.025, 0.975]), abs=0.08)
    alike = tau_difference(one, one, y, resamples=50)
    assert alike == (0, (0, 0))
    assert not alike.told_apart


def test_groups_begin_where_a_leader_is_told_apart() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=200)
    noise = rng.normal(size=(4, 200))
    scores = {
        "chance": noise[0],
        "best": y + 0.1 * noise[1],
        "good": y + noise[2],
        "same": 3 * (y + noise[2]),
    }
    found = groups(scores, y, resamples=100)
    assert found == {"best": 1, "good": 2, "same": 2, "chance": 3}
    assert list(found) == ["best", "good", "same", "chance"]


def test_scores_with_too_few_architectures_in_common_are_not_told_apart() -> None:
    y = np.arange(40.0)
    scores = {"one": np.where(y < 25, y, np.nan), "other": np.where(y > 14, -y, np.nan)}
    assert groups(scores, y, resamples=10) == {"one": 1, "other": 1}
    with pytest.raises(ValueError, match="20 architectures or more with both scores, got 10"):
        tau_difference(scores["one"], scores["other"], y)
    frame = pl.DataFrame({"architecture": [f"a{i}" for i in range(40)], "accuracy": y, **scores})
    known = {"one": Known(), "other": Known(kind="baseline")}
    board = rank_scores(frame, "accuracy", known, population="", resamples=10)
    assert board.verdict == ""
    assert board.scores["count"].to_list() == [25, 25]


def test_the_verdict_is_about_the_best_score_and_the_best_baseline() -> None:
    frame = values()
    scores = {**SCORES, "size": Known(kind="baseline")}
    text = ranked(frame, scores).verdict
    y, x, z = (matrix_of(frame, name).mean(1) for name in ("accuracy", "good", "size"))
    found = tau_difference(x, z, y, resamples=20)
    assert text.startswith("good, the best of 2 by these accuracies, ")
    assert f"the best baseline, size: their taus differ by {found.value:+.2f}" in text
    assert ("cannot be told apart from" in text) is not found.told_apart


def test_files_hold_the_frames(tmp_path: Path) -> None:
    board = ranked(values(), {**SCORES, "good": Known(kind=SHORTENED)})
    paths = board.write(tmp_path / "new")
    assert pl.read_parquet(paths[1]).equals(board.scores)
    assert pl.read_parquet(paths[2]).equals(board.values)
    assert pl.read_csv(paths[0])["score"].to_list() == board.scores["score"].to_list()
    assert pl.read_csv(paths[3]).columns == board.matrix.columns


def test_fewer_than_twenty_architectures_are_refused() -> None:
    frame = values().filter(pl.col("architecture").is_in([f"a{i}" for i in range(19)]))
    with pytest.raises(ValueError, match="20 architectures or more with accuracies, got 3 and 19"):
        ranked(frame)
    with pytest.raises(ValueError, match=r"expected a score or more.*got 0 and 60"):
        ranked(values(), {})


def test_values_that_cannot_be_ranked_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many draws .* got 2 of some and 3 of others"):
        ranked(values()[1:])
    lost = pl.when(pl.col("architecture") != "a0").then("accuracy")
    with pytest.raises(ValueError, match="finite accuracies in 'accuracy', got 1 of 60"):
        ranked(values().with_columns(accuracy=lost))


def test_the_subpackage_can_be_called_as_its_function() -> None:
    module = sys.modules["untrained.bench"]
    assert callable(module)
    assert callable(untrained.bench)
    with pytest.raises(ValueError, match="got none; try condition_number"):
        module(untrained.BenchConfig(scores=()))


PUBLISHED = {"jacov": (0.818, 0.632), "nwot": (0.792, 0.603), "synflow": (0.732, 0.536)}


def test_published_correlations_of_published_values(data: Path) -> None:
    """NAS-Bench-Suite-Zero's, on the 9,445 networks of which it has values."""
    table = pl.read_parquet(data / "tables" / "nasbench201.parquet")
    proxies = pl.read_parquet(data / "tables" / "nasbench201_published_proxies.parquet")
    accuracy = "cifar10_valid_200_single"
    frame = proxies.filter(dataset="cifar10").join(
        table.select("index", "architecture", accuracy), on="index"
    )
    assert len(frame) == 9_445
    board = rank_scores(
        frame, accuracy, {name: Known() for name in PUBLISHED}, population="", resamples=2
    )
    for name, (rho, tau) in PUBLISHED.items():
        found = row(board, name)
        assert (round(found["rho"], 3), round(found["tau"], 3)) == (rho, tau)
        assert found["failed"] == 0
