"""What the scores said: means over draws, the way of the search, and the cloud of everything."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from untrained.estimate import Estimate, estimate
from untrained.pages.pruned import parents
from untrained.runs import RunRecord
from untrained.spaces import Space
from untrained.storage import Reading, TrialRecord


def pooled(
    trials: Iterable[TrialRecord], key: Callable[[TrialRecord], Hashable]
) -> list[TrialRecord]:
    """The first trial of each `key`, with the readings of all that share it.

    A pruning search may measure a parent on several sets of draws, each as a trial of its own.
    """
    groups: dict[Hashable, list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return [replace(group[0], readings=_all_readings(group)) for group in groups.values()]


def latest(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Of each architecture, the trials after the most epochs: others do not compare with them."""
    most: dict[str, int] = {}
    for trial in trials:
        most[trial.architecture] = max(trial.epochs or 0, most.get(trial.architecture, 0))
    return [trial for trial in trials if (trial.epochs or 0) == most[trial.architecture]]


def _all_readings(trials: Sequence[TrialRecord]) -> dict[str, tuple[Reading, ...]]:
    names = dict.fromkeys(name for trial in trials for name in trial.readings)
    return {name: tuple(r for t in trials for r in t.readings.get(name, ())) for name in names}


@dataclass(frozen=True)
class Point:
    """One trial with the scores that a figure shows."""

    trial: TrialRecord
    "With the readings of all that are shown as one; the first of them."
    estimates: tuple[Estimate, ...]
    "One for each score of the figure."
    is_selected: bool


@dataclass(frozen=True)
class FailedReadings:
    """Readings of one score that failed for one reason."""

    score: str
    reason: str
    count: int
    architectures: tuple[str, ...]
    "That they were of, in the order of trials."


def failures(run: RunRecord) -> tuple[FailedReadings, ...]:
    """Why readings of all scores failed, the most frequent reason first."""
    found: dict[tuple[str, str], list[str]] = {}
    for trial in run.trials:
        for score, readings in trial.readings.items():
            for reading in readings:
                if reading.value is None:
                    found.setdefault((score, reading.reason), []).append(trial.architecture)
    groups = sorted(found.items(), key=lambda group: -len(group[1]))
    return tuple(
        FailedReadings(score, reason, len(at), tuple(dict.fromkeys(at)))
        for (score, reason), at in groups
    )


def any_scored(run: RunRecord) -> bool:
    """Whether any reading of any score has a value."""
    readings = (r for trial in run.trials for column in trial.readings.values() for r in column)
    return any(reading.value is not None for reading in readings)


@dataclass(frozen=True)
class ScoreCloud:
    """Everything tried, by the first two ranked scores, or by the only one."""

    scores: tuple[str, ...]
    "Two names, one, or none where nothing is ranked."
    directions: tuple[int, ...]
    "+1 where higher is better, -1 where lower is."
    points: tuple[Point, ...]
    "Architectures with a value for each of `scores`; of one score, best first."
    missing: int
    "Architectures without a value for one of `scores`."
    readings: int
    "Readings of all scores, failed ones too."


def score_cloud(run: RunRecord) -> ScoreCloud:
    """The cloud of a run."""
    scores = tuple(run.directions)[:2]
    directions = tuple(run.directions[score] for score in scores)
    tried = pooled(latest(run.trials), lambda trial: trial.architecture)
    points = _points(run, tried, scores) if scores else []
    if len(scores) == 1:
        points.sort(key=lambda point: -directions[0] * point.estimates[0].value)
    return ScoreCloud(
        scores,
        directions,
        tuple(points),
        missing=len(tried) - len(points),
        readings=sum(len(r) for trial in run.trials for r in trial.readings.values()),
    )


def _points(run: RunRecord, trials: Iterable[TrialRecord], scores: Sequence[str]) -> list[Point]:
    """The trials that have a value for each of the scores."""
    found = []
    for trial in trials:
        estimates = tuple(
            estimated(trial.readings.get(score, ()), is_count=score in run.counts)
            for score in scores
        )
        if all(each.draws for each in estimates):
            found.append(Point(trial, estimates, trial.architecture == run.selected))
    return found


def estimated(readings: Sequence[Reading], *, is_count: bool = False) -> Estimate:
    """Mean and standard error over the readings that have a value."""
    return estimate(((r.value, r.reason) for r in readings), is_count=is_count)


@dataclass(frozen=True)
class ScoreCurve:
    """One score along the search."""

    score: str
    direction: int | None
    "None if the search did not rank by it."
    kind: Literal["round", "trial"]
    "What follows one another: `round` in a pruning search, each of which has one parent."
    points: tuple[Point, ...]
    best: tuple[float, ...]
    """Best mean so far after as many epochs, at each point; empty in a pruning search and for
    scores not ranked."""


def trajectory(run: RunRecord, space: Space[Any] | None) -> tuple[ScoreCurve, ...]:
    """The way of the search by each score that has a value.

    Parents by round in a pruning search; every trial, and the best so far, in any other.
    """
    starts = parents(run, space)
    measured = (t for t in run.trials if t.architecture == starts.get(t.batch))
    rounds = pooled(measured, lambda trial: trial.batch)
    trials = [*rounds, *_measured_selected(run)] if rounds else list(run.trials)
    curves = (
        _curve(run, "round" if rounds else "trial", score, trials)
        for score in _score_names(run, trials)
    )
    return tuple(curve for curve in curves if curve.points)


def _measured_selected(run: RunRecord) -> list[TrialRecord]:
    return [trial for trial in run.trials if trial.architecture == run.selected][-1:]


def _score_names(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    measured = [name for trial in trials for name in trial.readings]
    return tuple(dict.fromkeys((*run.directions, *measured)))


def _curve(
    run: RunRecord, kind: Literal["round", "trial"], score: str, trials: Sequence[TrialRecord]
) -> ScoreCurve:
    points, direction = tuple(_points(run, trials, (score,))), run.directions.get(score)
    ranked = kind == "trial" and direction is not None
    best = best_so_far(points, direction or 1) if ranked else ()
    return ScoreCurve(score, direction, kind, points, best)


def best_so_far(points: Sequence[Point], direction: int) -> tuple[float, ...]:
    """The best mean among the points up to each, of those after as many epochs."""
    best: list[float] = []
    for before, point in zip((None, *points), points, strict=False):
        better, mean = max if direction > 0 else min, point.estimates[0].value
        goes_on = before is not None and before.trial.epochs == point.trial.epochs
        best.append(better(best[-1], mean) if goes_on else mean)
    return tuple(best)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether positive values reach over more than two decades, so that a log axis helps."""
    return bool(values) and min(values) > 0 and max(values) > 100 * min(values)
