"""Combinations of scores as rows of a leaderboard, against loops."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau, rankdata

from untrained.benching import BenchConfig, Known, rank_scores
from untrained.benching.combination import METHODS, Combination
from untrained.benching.combined import with_combinations
from untrained.tables import cross_fitted

N, DRAWS = 40, 2
SCORES = {"one": Known(seconds=1.0), "low": Known(higher_is_better=False, seconds=0.5)}


def values() -> pl.DataFrame:
    """Two scores, one where lower is better and some failed; draws of an architecture together."""
    rng = np.random.default_rng(0)
    y = np.repeat(rng.uniform(size=N), DRAWS)
    low = -y + rng.normal(0, 0.4, N * DRAWS)
    return pl.DataFrame(
        {
            "architecture": [f"a{i // DRAWS}" for i in range(N * DRAWS)],
            "draw": [i % DRAWS for i in range(N * DRAWS)],
            "accuracy": y,
            "one": y + rng.normal(0, 0.4, N * DRAWS),
            "low": [None if i in (4, 9, 10) else v for i, v in enumerate(low.tolist())],
        }
    )


def arrays(draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracies and both scores of a draw, higher is better, failures least."""
    rows = values().filter(draw=draw)
    low = -rows["low"].cast(float).fill_null(np.inf).to_numpy()
    return rows["accuracy"].to_numpy(), rows["one"].to_numpy(), low


def combined(text: str) -> tuple[pl.DataFrame, dict[str, Known]]:
    return with_combinations(values(), "accuracy", SCORES, [Combination.parse(text)])


@pytest.mark.parametrize("draw", range(DRAWS))
def test_sums_of_ranks_are_those_of_each_draw(draw: int) -> None:
    _, one, low = arrays(draw)
    ranks = rankdata(one), rankdata(low)
    frame, _ = combined("rank_sum(one, low)")
    assert frame.filter(draw=draw)["rank_sum(one, low)"].to_list() == list(ranks[0] + ranks[1])
    frame, _ = combined("log_rank_sum(low,one)")
    found = frame.filter(draw=draw)["log_rank_sum(low, one)"].to_numpy()
    assert found == pytest.approx(np.log(ranks[0] / N) + np.log(ranks[1] / N))


def test_z_scores_have_no_value_where_a_score_has_none() -> None:
    frame, _ = combined("z_sum(one, low)")
    failed = values()["low"].is_null()
    assert frame["z_sum(one, low)"].is_null().to_list() == failed.to_list()


def test_nothing_is_judged_on_what_it_was_fitted_on() -> None:
    name = "cross_fitted(one, low)"
    frame, _ = combined(name)
    y, one, low = arrays(0)
    pair = np.stack([one, low], 1)
    assert frame.filter(draw=0)[name].to_numpy() == pytest.approx(cross_fitted(pair, y))
    changed = values().with_columns(
        accuracy=pl.when(architecture="a7").then(0.0).otherwise("accuracy")
    )
    other, _ = with_combinations(changed, "accuracy", SCORES, [Combination.parse(name)])
    own = pl.col("architecture") == "a7"
    assert other.filter(own)[name].to_list() == frame.filter(own)[name].to_list()
    assert other[name].to_list() != frame[name].to_list()


def test_a_row_of_the_leaderboard() -> None:
    name = "rank_sum(one, low)"
    frame, known = combined(name)
    assert known[name].seconds == 1.5
    board = rank_scores(frame, "accuracy", known, population="", resamples=20)
    row = board.scores.row(by_predicate=pl.col("score") == name, named=True)
    assert (row["kind"], row["failed"], row["higher_is_better"]) == ("combination", 0, True)
    sums = np.mean([rankdata(a) + rankdata(b) for _, a, b in map(arrays, range(DRAWS))], axis=0)
    assert row["tau"] == pytest.approx(kendalltau(sums, arrays(0)[0]).statistic)
    assert row["tau"] > board.scores.filter(score="one")["tau"].item()


def test_without_one_of_its_scores_a_combination_fails_and_says_which() -> None:
    frame = values().with_columns(low=None)
    known = SCORES | {"low": Known(reason="too large", seconds=None)}
    both = [Combination.parse("rank_sum(one, low)")]
    frame, known = with_combinations(frame, "accuracy", known, both)
    board = rank_scores(frame, "accuracy", known, population="", resamples=20)
    row = board.scores.row(by_predicate=pl.col("kind") == "combination", named=True)
    assert (row["tau"], row["failed"], row["seconds"]) == (None, N, None)
    assert row["reason"] == "failed on 40 of 40 architectures: low failed throughout: too large"


def test_a_combination_that_cannot_be_made_fails_in_a_line() -> None:
    frame = values().with_columns(low=1.0).head(6)
    frame, known = with_combinations(
        frame, "accuracy", SCORES, [Combination.parse(f"{m}(one, low)") for m in METHODS]
    )
    assert frame["rank_sum(one, low)"].is_not_null().all()
    assert frame["z_sum(one, low)"].is_null().all()
    assert "all equal" in known["z_sum(one, low)"].reason
    assert "4 architectures or more to fit 2 scores" in known["cross_fitted(one, low)"].reason


def test_what_is_combined_is_measured_once() -> None:
    config = BenchConfig(
        scores=("swap",), combine=("rank_sum(swap, naswot)", "z_sum(naswot,macs)")
    )
    assert config.measured == ("swap", "naswot", "macs", "parameters", "trainable_layers")


@pytest.mark.parametrize(
    "text",
    ["sum(a, b)", "rank_sum", "rank_sum(a)", "rank_sum(a, a)", "rank_sum(a, b", "a + b", "",
     "rank_sum(a, rank_sum(b, c))", "rank_sum(a,)"],
)  # fmt: skip
def test_other_forms_are_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"combine: expected rank_sum or .*'rank_sum") as raised:
        BenchConfig(combine=(text,)).check()
    assert "\n" not in str(raised.value)


def test_a_score_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="combine: expected scores among one, low, got 'two' in"):
        combined("rank_sum(one, two)")
