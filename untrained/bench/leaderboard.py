"""Scores in the order in which they rank architectures, with every statistic of a ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from untrained.bench.config import BASELINES, LEAST
from untrained.bench.judging import STATISTICS, Judge
from untrained.runs.session import OnProgress, Progress, ignore
from untrained.tables.differences import groups, rank_agreement, tau_difference

SHORTENED = "shortened training"
"The kind of what is no score of an untrained network, but what it competes with."


@dataclass(frozen=True)
class Leaderboard:
    """What `bench` found; `scores` is the table that is shown."""

    scores: pl.DataFrame
    """One row a score, the best by tau first. Beside the fields of `tables.Agreement`, whose
    intervals are two columns each:

    `score`; `kind`: score, baseline or shortened training; `higher_is_better`;
    `tau_failed_last`: tau with failed scores ranked below all others;
    `tau_draws`, `tau_spread`: mean and standard deviation of tau over single draws;
    `tau_given_size`, `rho_given_size` (with `_low` and `_high`): partial, given the baselines;
    `pqetp_P`: for each threshold P;
    `group`: of scores that cannot be told apart, as of `tables.groups`;
    `seconds`: per architecture, all draws; of a shortened training, those of its table;
    `on_front`: no measured score is both cheaper and better by tau;
    `reason`: on how many architectures it failed and why most often, or why there are no
    statistics."""
    matrix: pl.DataFrame
    "Kendall's tau-b between any two of the scores, higher meaning better: `score`, and one each."
    values: pl.DataFrame
    "One row for each draw of an architecture: its accuracy, and every score as it was measured."
    accuracy: str
    "Column of `values` that scores are judged by: `cifar10_test_200`."
    population: str
    "What the architectures stand for, in words."
    resamples: int
    "Of each bootstrap interval, 95 %, over architectures."
    verdict: str = ""
    "Whether the best score that was asked for ranks better than the best baseline, in a sentence."
    notes: tuple[str, ...] = ()
    "What else must be known to read the numbers."
    folder: Path | None = None
    "Where `write` has put it."
    command: str = ""
    "The command line that makes it again; empty if it is not known."

    @property
    def judged(self) -> bool:
        """Whether some score that was asked for has statistics."""
        asked = self.scores.filter(pl.col("kind") != SHORTENED)
        own = asked.filter(pl.col("kind") == "score")
        return bool((own if len(own) else asked)["tau"].is_not_null().any())

    def points(self, score: str) -> pl.DataFrame:
        """`architecture`, `accuracy` and `value` of a score, as measured: the mean of the draws,
        null where one of them failed."""
        each = pl.col(score).cast(pl.Float64)  # a column of nulls alone has no type
        value = pl.when(each.is_finite().all()).then(each.mean())
        return self.values.group_by("architecture", maintain_order=True).agg(
            pl.col(self.accuracy).first().alias("accuracy"),
            pl.when(pl.col(score).null_count() == 0).then(value).alias("value"),
        )

    def write(self, folder: Path) -> list[Path]:
        """Writes leaderboard.csv, leaderboard.parquet, values.parquet and matrix.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in FILES]
        self.scores.write_csv(paths[0])
        self.scores.write_parquet(paths[1])
        self.values.write_parquet(paths[2])
        self.matrix.write_csv(paths[3])
        return paths


FILES = ("leaderboard.csv", "leaderboard.parquet", "values.parquet", "matrix.csv")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"Of accuracies: thresholds where none are given."


@dataclass(frozen=True)
class Known:
    """What is known of a score beside its values."""

    higher_is_better: bool = True
    kind: str = "score"
    seconds: float | None = None
    reason: str = ""
    "Why it failed, most often."


def rank_scores(
    values: pl.DataFrame,
    accuracy: str,
    scores: Mapping[str, Known],
    *,
    population: str,
    sizes: Sequence[str] = BASELINES,
    thresholds: Sequence[float] = (),
    resamples: int = 1000,
    notes: Sequence[str] = (),
    on_progress: OnProgress = ignore,
) -> Leaderboard:
    """The leaderboard of scores by the accuracies beside them.

    A score's value for an architecture is the mean of its draws; it failed where one of them did
    or is not finite. A failure is left out of the statistics, and counted. Directions are those
    given, and never chosen by accuracies.

    Args:
        values: one row for each draw of each architecture, equally many draws of all: a column
            `architecture`, that of accuracies, and one for each score, null where it failed.
        accuracy: name of the column of accuracies, finite and equal in all draws.
        scores: name of column -> what is known of the score.
        population: what the architectures stand for, in words.
        sizes: those of the scores that partial correlations are given.
        thresholds: accuracies p of PQETP(p); by default five quantiles.
        resamples: of each bootstrap interval.
        notes: what else must be known to read the numbers.
        on_progress: called as scores are judged, which takes seconds each.

    Raises:
        ValueError: no score, or fewer than 20 architectures.
    """
    y = np.array(_by_architecture(values, accuracy))[:, 0]
    if len(y) < LEAST or not scores:
        raise ValueError(
            f"expected a score or more, and {LEAST} architectures or more with accuracies, got "
            f"{len(scores)} and {len(y)}"
        )
    draws = {name: _higher_is_better(values, name, scores[name]) for name in scores}
    means = {name: each.mean(1) for name, each in draws.items()}
    given = [means[name] for name in sizes if name in means]
    judge = Judge(
        accuracies=y,
        sizes=np.stack(given, 1) if given else np.empty((len(y), 0)),
        thresholds=tuple(thresholds) or tuple(np.quantile(y, QUANTILES).tolist()),
        resamples=resamples,
    )
    rows: list[dict[str, Any]] = []
    for name, known in scores.items():
        on_progress(Progress("judging scores", len(rows), len(scores)))
        rows.append(
            _row(name, known, *judge.statistics(draws[name], given_size=name not in sizes))
        )
    judged = {row["score"]: means[row["score"]] for row in rows if row["tau"] is not None}
    grouped, front = groups(judged, y, resamples=resamples), _front(rows)
    on_progress(Progress("judging scores", len(rows), len(scores)))
    for row in rows:
        row |= {"group": grouped.get(row["score"]), "on_front": row["score"] in front}
    return Leaderboard(
        scores=pl.DataFrame(rows, schema_overrides=_types(rows), infer_schema_length=None)
        .fill_nan(None)
        .sort("tau", descending=True, nulls_last=True, maintain_order=True),
        matrix=pl.DataFrame({"score": [*means]}).hstack(
            pl.DataFrame(rank_agreement(means), schema=[*means]).fill_nan(None)
        ),
        values=values,
        accuracy=accuracy,
        population=population,
        resamples=resamples,
        verdict=_verdict(rows, means, y, resamples),
        notes=tuple(notes),
    )


def _verdict(
    rows: Sequence[Mapping[str, Any]],
    means: Mapping[str, Float[np.ndarray, " n"]],
    accuracies: Float[np.ndarray, " n"],
    resamples: int,
) -> str:
    """The best score against the best baseline; empty where there is none of either."""
    best = {
        kind: max(found, key=lambda row: row["tau"])["score"]
        for kind in ("score", "baseline")
        if (found := [row for row in rows if row["kind"] == kind and row["tau"] is not None])
    }
    if len(best) < 2:
        return ""
    score, baseline = best["score"], best["baseline"]
    x, other = means[score], means[baseline]
    if (np.isfinite(x) & np.isfinite(other)).sum() < LEAST:
        return ""
    value, (low, high) = difference = tau_difference(x, other, accuracies, resamples=resamples)
    how = "better than" if value > 0 else "worse than"
    how = f"ranks {how}" if difference.told_apart else "cannot be told apart from"
    several = sum(row["kind"] == "score" and row["tau"] is not None for row in rows)
    chosen = f", the best of {several} by these accuracies," if several > 1 else ""
    return (
        f"{score}{chosen} {how} the best baseline, {baseline}: their taus differ by "
        f"{value:+.2f} (95 % interval {low:+.2f} to {high:+.2f})."
    )


def _row(
    name: str, known: Known, statistics: Mapping[str, float | int | None], reason: str
) -> dict[str, Any]:
    return {
        "score": name,
        "kind": known.kind,
        "higher_is_better": known.higher_is_better,
        **statistics,
        "seconds": known.seconds,
        "reason": ": ".join(filter(None, (reason, reason and known.reason))),
    }


def _types(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of columns that may be empty."""
    whole = {"count", "failed", "group"}
    named = {name for name in rows[0] if name in STATISTICS or name.startswith("pqetp")}
    return {
        name: pl.Int64 if name in whole else pl.Float64 for name in {*named, "seconds", "group"}
    }


def _higher_is_better(values: pl.DataFrame, name: str, known: Known) -> Float[np.ndarray, "n d"]:
    """A score's draws, higher meaning better; NaN where it failed or is not finite."""
    found = np.array(_by_architecture(values, name), dtype=float)  # None becomes NaN
    return np.where(np.isfinite(found), found if known.higher_is_better else -found, np.nan)


def _by_architecture(values: pl.DataFrame, name: str) -> list[list[float | None]]:
    """A column's values, draw by draw, of each architecture in the order of the frame."""
    grouped = values.group_by("architecture", maintain_order=True).agg(name)
    return grouped[name].to_list()


def _front(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Measured scores to which no other is preferable in both seconds and tau."""
    points = [
        (row["seconds"], row["tau"], row["score"])
        for row in rows
        if row["kind"] != SHORTENED and None not in (row["seconds"], row["tau"])
    ]
    return {
        name
        for seconds, tau, name in points
        if not any(s <= seconds and t >= tau and (s, t) != (seconds, tau) for s, t, _ in points)
    }
