"""What the scores said: means over draws, the way of the search, and the cloud of everything."""

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from untrained.report.pruned import parents
from untrained.runs import Reading
from untrained.runs.record import RunRecord, TrialRecord
from untrained.spaces import Space


@dataclass(frozen=True)
class Estimate:
    """A mean over draws."""

    mean: float
    standard_error: float | None
    "None for a single draw."
    draws: int
    "How many draws gave a value."
    is_count: bool = False
    "Whether it is of a score that counts something."


def estimate(readings: Sequence[Reading], is_count: bool = False) -> Estimate | None:
    """Mean and standard error s / sqrt(n) of the n readings that have a value; None if n = 0.

    Example:
        >>> estimate((Reading(1.0), Reading(3.0), Reading(None, "not resolved")))
        Estimate(mean=2.0, standard_error=1.0, draws=2, is_count=False)
    """
    values = [reading.value for reading in readings if reading.value is not None]
    n = len(values)
    if n == 0:
        return None
    error = statistics.stdev(values) / math.sqrt(n) if n > 1 else None
    return Estimate(statistics.fmean(values), error, n, is_count)


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
    """One architecture with the scores that a figure shows."""

    trial: int
    "The first that proposed it."
    batch: int
    architecture: str
    note: str
    estimates: tuple[Estimate, ...]
    "One for each score of the figure."
    is_selected: bool


@dataclass(frozen=True)
class Failure:
    """Readings of one score that failed for one reason."""

    score: str
    reason: str
    count: int
    architectures: tuple[str, ...]
    "That they were of, in the order of trials."


def failures(run: RunRecord) -> tuple[Failure, ...]:
    """Why readings of all scores failed, the most frequent reason first."""
    found: dict[tuple[str, str], list[str]] = {}
    for trial in run.trials:
        for score, readings in trial.readings.items():
            for reading in readings:
                if reading.value is None:
                    found.setdefault((score, reading.reason), []).append(trial.architecture)
    groups = sorted(found.items(), key=lambda group: -len(group[1]))
    return tuple(
        Failure(score, reason, len(at), tuple(dict.fromkeys(at))) for (score, reason), at in groups
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
    points = [point for trial in tried if (point := _point(run, trial, scores)) is not None]
    if len(scores) == 1:
        points.sort(key=lambda point: -directions[0] * point.estimates[0].mean)
    return ScoreCloud(
        scores,
        directions,
        tuple(points),
        missing=len(tried) - len(points),
        readings=sum(len(r) for trial in run.trials for r in trial.readings.values()),
    )


def _point(run: RunRecord, trial: TrialRecord, scores: Sequence[str]) -> Point | None:
    estimates = [_estimate_of(run, trial, score) for score in scores]
    resolved = tuple(found for found in estimates if found is not None)
    if not scores or len(resolved) < len(scores):
        return None
    is_selected = trial.architecture == run.selected
    return Point(trial.number, trial.batch, trial.architecture, trial.note, resolved, is_selected)


def _estimate_of(run: RunRecord, trial: TrialRecord, score: str) -> Estimate | None:
    return estimate(trial.readings.get(score, ()), score in run.counts)


@dataclass(frozen=True)
class Step:
    """One point on the way of the search."""

    label: str
    "The round from 1, or `selected`; the trial's number where the search has no rounds."
    architecture: str
    estimate: Estimate
    epochs: int | None = None
    "Of training before the score, where the searcher chose them."


@dataclass(frozen=True)
class Panel:
    """One score along the search."""

    score: str
    direction: int | None
    "None if the search did not rank by it."
    steps: tuple[Step, ...]
    best: tuple[float, ...]
    """Best mean so far after as many epochs, at each step; empty in a pruning search and for
    scores not ranked."""


@dataclass(frozen=True)
class Trajectory:
    """The way of the search, a panel for each score."""

    kind: Literal["round", "trial"]
    "`round` in a pruning search, whose rounds each start from one parent."
    panels: tuple[Panel, ...]


def trajectory(run: RunRecord, space: Space[Any] | None) -> Trajectory:
    """Parents by round in a pruning search; every trial, and the best so far, in any other."""
    starts = parents(run, space)
    measured = (t for t in run.trials if t.architecture == starts.get(t.batch))
    rounds = pooled(measured, lambda trial: trial.batch)
    trials = [*rounds, *_measured_selected(run)] if rounds else list(run.trials)
    kind: Literal["round", "trial"] = "round" if rounds else "trial"
    panels = [_panel(run, kind, score, trials) for score in _score_names(run, trials)]
    return Trajectory(kind, tuple(panel for panel in panels if panel.steps))


def _measured_selected(run: RunRecord) -> list[TrialRecord]:
    return [trial for trial in run.trials if trial.architecture == run.selected][-1:]


def _score_names(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    measured = [name for trial in trials for name in trial.readings]
    return tuple(dict.fromkeys((*run.directions, *measured)))


def _panel(run: RunRecord, kind: str, score: str, trials: Sequence[TrialRecord]) -> Panel:
    steps = tuple(
        Step(_label(run, kind, trial), trial.architecture, found, trial.epochs)
        for trial in trials
        if (found := _estimate_of(run, trial, score)) is not None
    )
    direction = run.directions.get(score)
    ranked = kind == "trial" and direction is not None
    return Panel(score, direction, steps, best_so_far(steps, direction or 1) if ranked else ())


def _label(run: RunRecord, kind: str, trial: TrialRecord) -> str:
    if kind == "trial":
        return str(trial.number)
    return "selected" if trial.architecture == run.selected else str(trial.batch + 1)


def best_so_far(steps: Sequence[Step], direction: int) -> tuple[float, ...]:
    """The best mean among the steps up to each, of those after as many epochs."""
    best: list[float] = []
    for before, step in zip((None, *steps), steps, strict=False):
        better, mean = max if direction > 0 else min, step.estimate.mean
        goes_on = before is not None and before.epochs == step.epochs
        best.append(better(best[-1], mean) if goes_on else mean)
    return tuple(best)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether positive values reach over more than two decades, so that a log axis helps."""
    return bool(values) and min(values) > 0 and max(values) > 100 * min(values)


MEANINGS: Mapping[str, str] = {
    "condition_number": "Largest eigenvalue of the neural tangent kernel (NTK) divided by the "
    "smallest. Lower is better: gradient descent then learns all directions at a similar pace.",
    "linear_regions": "Distinct patterns of active and inactive units over the inputs shown. "
    "Higher is better: the network can tell more inputs apart.",
    "nngp_likelihood": "How likely the images' labels are to the Gaussian process that a wide "
    "network is before training. Higher is better.",
    "nngp_leave_one_out": "Share of images whose label the Gaussian process that a wide network "
    "is before training tells from all others. Higher is better.",
    "nngp_accuracy": "Share of held-out images that the Gaussian process that a wide network is "
    "before training classifies right. Higher is better.",
    "nngp_published": "The same accuracy at the best ridge for these very images, as published: "
    "it is too high. Higher is better.",
    "nngp_squared_error": "Mean squared error, on held-out images, of the Gaussian process that a "
    "wide network is before training. Lower is better.",
    "nngp_nll": "Minus the logarithm of the density that the Gaussian process of a wide "
    "network gives the labels of held-out images. Lower is better.",
    "validation_accuracy": "Share of validation images classified right after a little training.",
    "validation_loss": "Cross-entropy of validation images after a little training. Lower is "
    "better.",
    "training_accuracy": "Share of training images classified right after a little training.",
    "training_loss": "Cross-entropy of training images after a little training. Lower is better.",
    "label_alignment": "How far the NTK of validation images resembles a matrix of 1 for two "
    "images of one class and -1 otherwise (LGA). Higher is better: what is learnt from an image "
    "is learnt for its class.",
    "label_alignment_normalised": "The same, with every image's own entry brought to 1. Higher is "
    "better.",
    "label_alignment_centred": "The same, with the kernel's rows and columns centred. Higher is "
    "better.",
    "ntk_norm": "Frobenius norm of the NTK. Higher is better, its authors say.",
    "ntk_mean": "Mean entry of the NTK: how far images' gradients agree (KNAS). Higher is better, "
    "its authors say.",
    "ntk_trace": "Sum of the NTK's diagonal: squared norms of the images' gradients (NASI). "
    "Higher is better, its authors say.",
}
"What a score measures, in plain words."
