"""Scores ranked by the accuracies beside them: from draws to a leaderboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from untrained.benching.config import LEAST, LEAST_TRAINED
from untrained.benching.judging import STATISTICS, Judge, Statistics
from untrained.benching.leaderboard import SHORTENED, Leaderboard
from untrained.runs.config import BASELINES
from untrained.runs.session import OnProgress, Progress, ignore
from untrained.tables.differences import groups, rank_agreement, tau_difference

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"Of accuracies: thresholds where none are given."
SAME = "all values, or all accuracies beside them, are equal"
"Why a score that has values has no statistics."


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
    few: bool = False,
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
        few: whether fewer than 20 architectures will do, 3 at least: then all that is said of a
            score is tau, with its `tables.small_sample_interval` and p, and rho.
        on_progress: called as scores are judged, which takes seconds each.

    Raises:
        ValueError: no score, fewer than 20 architectures (3 where `few` will do), more draws of
            some than of others, or accuracies that are missing or not finite.
    """
    y = _accuracies(values, accuracy)
    least = LEAST_TRAINED if few else LEAST
    if len(y) < least or not scores:
        raise ValueError(
            f"expected a score or more, and {least} architectures or more with accuracies, got "
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
        least=least,
    )
    rows = _rows(scores, draws, judge, sizes, on_progress)
    placed = _placed(rows, means, judge)
    on_progress(Progress("judging scores", len(rows), len(scores)))
    return Leaderboard(
        scores=_ordered(placed),
        matrix=_matrix(means),
        values=values,
        accuracy=accuracy,
        population=population,
        resamples=resamples,
        verdict=_verdict(rows, means, y, resamples),
        notes=tuple(notes),
    )


def _rows(
    scores: Mapping[str, Known],
    draws: Mapping[str, Float[np.ndarray, "n d"]],
    judge: Judge,
    sizes: Sequence[str],
    on_progress: OnProgress,
) -> list[dict[str, Any]]:
    """A row for each score by itself, in their order."""
    rows: list[dict[str, Any]] = []
    for name, known in scores.items():
        on_progress(Progress("judging scores", len(rows), len(scores)))
        statistics = judge.statistics(draws[name], given_size=name not in sizes)
        rows.append(_row(name, known, statistics, judge.least))
    return rows


def _placed(
    rows: Sequence[dict[str, Any]], means: Mapping[str, Float[np.ndarray, " n"]], judge: Judge
) -> list[dict[str, Any]]:
    """The rows with what a score is beside the others: its group, and whether it is on the front
    of cost and tau."""
    judged = {row["score"]: means[row["score"]] for row in rows if row["tau"] is not None}
    y, front = judge.accuracies, _front(rows)
    grouped = groups(judged, y, resamples=judge.resamples) if len(y) >= LEAST else {}
    return [
        row | {"group": grouped.get(row["score"]), "on_front": row["score"] in front}
        for row in rows
    ]


def _verdict(
    rows: Sequence[Mapping[str, Any]],
    means: Mapping[str, Float[np.ndarray, " n"]],
    accuracies: Float[np.ndarray, " n"],
    resamples: int,
) -> str:
    """The best score against the best baseline; empty where there is none of either."""
    known = [row for row in rows if row["tau"] is not None]
    asked = [row for row in known if row["kind"] not in (SHORTENED, "baseline")]
    baselines = [row for row in known if row["kind"] == "baseline"]
    if not asked or not baselines:
        return ""
    score, baseline = (
        max(some, key=lambda row: row["tau"])["score"] for some in (asked, baselines)
    )
    x, other = means[score], means[baseline]
    if (np.isfinite(x) & np.isfinite(other)).sum() < LEAST:
        return ""
    value, (low, high) = difference = tau_difference(x, other, accuracies, resamples=resamples)
    how = "better than" if value > 0 else "worse than"
    how = f"ranks {how}" if difference.told_apart else "cannot be told apart from"
    chosen = f", the best of {len(asked)} by these accuracies," if len(asked) > 1 else ""
    return (
        f"{score}{chosen} {how} the best baseline, {baseline}: their taus differ by "
        f"{value:+.2f} (95 % interval {low:+.2f} to {high:+.2f})."
    )


def _row(name: str, known: Known, statistics: Statistics, least: int) -> dict[str, Any]:
    return {
        "score": name,
        "kind": known.kind,
        "higher_is_better": known.higher_is_better,
        **statistics,
        "seconds": known.seconds,
        "reason": _reason(known, statistics, least),
    }


def _reason(known: Known, statistics: Statistics, least: int) -> str:
    """What failed, and why there are no statistics where that is not for want of values."""
    count, failed = int(statistics["count"] or 0), int(statistics["failed"] or 0)
    lost = f"failed on {failed:,} of {count + failed:,} architectures" if failed else ""
    why = ": ".join(filter(None, (lost, lost and known.reason)))
    unranked = count >= least and statistics["tau"] is None
    return "; ".join(filter(None, (why, SAME if unranked else "")))


def _ordered(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The best by tau first."""
    return (
        pl.DataFrame(rows, schema_overrides=_types(rows), infer_schema_length=None)
        .fill_nan(None)
        .sort("tau", descending=True, nulls_last=True, maintain_order=True)
    )


def _matrix(means: Mapping[str, Float[np.ndarray, " n"]]) -> pl.DataFrame:
    """How scores agree with each other."""
    found = pl.DataFrame(rank_agreement(means), schema=[*means]).fill_nan(None)
    return pl.DataFrame({"score": [*means]}).hstack(found)


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


def _accuracies(values: pl.DataFrame, name: str) -> Float[np.ndarray, " n"]:
    """One for each architecture, in the order of the frame."""
    found = _by_architecture(values, name)
    if len(draws := {len(each) for each in found}) > 1:
        raise ValueError(
            f"expected equally many draws of every architecture, got {min(draws)} of some and "
            f"{max(draws)} of others; fill in null where a score failed"
        )
    y = np.array([each[0] for each in found], dtype=float)
    if not np.isfinite(y).all():
        raise ValueError(
            f"expected finite accuracies in {name!r}, got {(~np.isfinite(y)).sum()} of {len(y)} "
            f"that are missing or not finite; leave those architectures out"
        )
    return y


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
