"""What the scores said: means over draws, the way of the search, and the cloud of everything."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from untrained.runs import Reading
from untrained.runs.record import RunRecord, TrialRecord
from untrained.spaces import get_space, prunable

PARENT = "parent"
"The note of the partial architecture that a round of a pruning search starts from."


@dataclass(frozen=True)
class Estimate:
    """A mean over draws."""

    mean: float
    standard_error: float | None
    "None for a single draw."
    draws: int
    "How many draws gave a value."


def estimate(readings: Sequence[Reading]) -> Estimate | None:
    """Mean and standard error s / sqrt(n) of the n readings that have a value; None if n = 0.

    Example:
        >>> estimate((Reading(1.0), Reading(3.0), Reading(None, "not resolved")))
        Estimate(mean=2.0, standard_error=1.0, draws=2)
    """
    values = [reading.value for reading in readings if reading.value is not None]
    n = len(values)
    if n == 0:
        return None
    error = statistics.stdev(values) / math.sqrt(n) if n > 1 else None
    return Estimate(statistics.fmean(values), error, n)


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
    is_pick: bool


@dataclass(frozen=True)
class Failure:
    """Readings of one score that failed for one reason."""

    score: str
    reason: str
    count: int


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
    "Readings of `scores`, failed ones too."
    failures: tuple[Failure, ...]
    "The most frequent first."


def score_cloud(run: RunRecord) -> ScoreCloud:
    """The cloud of a run."""
    scores = tuple(run.directions)[:2]
    directions = tuple(run.directions[score] for score in scores)
    tried = pooled(latest(run.trials), lambda trial: trial.architecture)
    points = [point for trial in tried if (point := _point(run, trial, scores)) is not None]
    if len(scores) == 1:
        points.sort(key=lambda point: -directions[0] * point.estimates[0].mean)
    readings = [(name, r) for t in run.trials for name in scores for r in t.readings.get(name, ())]
    return ScoreCloud(
        scores,
        directions,
        tuple(points),
        missing=len(tried) - len(points),
        readings=len(readings),
        failures=_failures(readings),
    )


def _point(run: RunRecord, trial: TrialRecord, scores: Sequence[str]) -> Point | None:
    estimates = [estimate(trial.readings.get(score, ())) for score in scores]
    resolved = tuple(found for found in estimates if found is not None)
    if not scores or len(resolved) < len(scores):
        return None
    is_pick = trial.architecture == run.pick
    return Point(trial.number, trial.batch, trial.architecture, trial.note, resolved, is_pick)


def _failures(readings: Iterable[tuple[str, Reading]]) -> tuple[Failure, ...]:
    counts = Counter((name, r.reason) for name, r in readings if r.value is None)
    return tuple(Failure(*key, count) for key, count in counts.most_common())


@dataclass(frozen=True)
class Step:
    """One point on the way of the search."""

    label: str
    "The round from 1, or `pick`; the trial's number where the search has no rounds."
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


def trajectory(run: RunRecord) -> Trajectory:
    """Parents by round in a pruning search; every trial, and the best so far, in any other."""
    parents = pooled((t for t in run.trials if t.note == PARENT), lambda trial: trial.batch)
    trials = [*parents, *_measured_pick(run, parents)] if parents else list(run.trials)
    kind: Literal["round", "trial"] = "round" if parents else "trial"
    panels = [_panel(run, kind, score, trials) for score in _score_names(run, trials)]
    return Trajectory(kind, tuple(panel for panel in panels if panel.steps))


def _measured_pick(run: RunRecord, parents: Sequence[TrialRecord]) -> list[TrialRecord]:
    if any(parent.architecture == run.pick for parent in parents):
        return []
    return [trial for trial in run.trials if trial.architecture == run.pick][-1:]


def _score_names(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    measured = [name for trial in trials for name in trial.readings]
    return tuple(dict.fromkeys((*run.directions, *measured)))


def _panel(run: RunRecord, kind: str, score: str, trials: Sequence[TrialRecord]) -> Panel:
    steps = tuple(
        Step(_label(run, kind, trial), trial.architecture, found, trial.epochs)
        for trial in trials
        if (found := estimate(trial.readings.get(score, ()))) is not None
    )
    direction = run.directions.get(score)
    ranked = kind == "trial" and direction is not None
    return Panel(score, direction, steps, best_so_far(steps, direction or 1) if ranked else ())


def _label(run: RunRecord, kind: str, trial: TrialRecord) -> str:
    if kind == "trial":
        return str(trial.number)
    return "pick" if trial.architecture == run.pick else str(trial.batch + 1)


def best_so_far(steps: Sequence[Step], direction: int) -> tuple[float, ...]:
    """The best mean among the steps up to each, of those after as many epochs."""
    best: list[float] = []
    for before, step in zip((None, *steps), steps, strict=False):
        better, mean = max if direction > 0 else min, step.estimate.mean
        goes_on = before is not None and before.epochs == step.epochs
        best.append(better(best[-1], mean) if goes_on else mean)
    return tuple(best)


@dataclass(frozen=True)
class Pruning:
    """What one round of a pruning search removed."""

    round: int
    "From 1."
    candidates: int
    "Removals that were scored."
    removed: tuple[str, ...]
    "`nor_conv_1x1 on 0-1`."


def prunings(run: RunRecord) -> tuple[Pruning, ...]:
    """Each round's removals, from its parent and the next one; the last round's from the pick.

    Empty for other searches, and where the space cannot read its own text any more.
    """
    parents = {trial.batch: trial.architecture for trial in run.trials if trial.note == PARENT}
    candidates = Counter(trial.batch for trial in run.trials if trial.note != PARENT)
    ends = [*list(parents.values())[1:], *([run.pick] if run.pick is not None else [])]
    try:
        return tuple(
            Pruning(batch + 1, candidates[batch], _removed(run.space, parent, after))
            for (batch, parent), after in zip(parents.items(), ends, strict=False)
            if parent != after
        )
    except ValueError:
        return ()


def _removed(space_name: str, before: str, after: str) -> tuple[str, ...]:
    space = prunable(get_space(space_name))
    parent, child = space.parse(before), space.parse(after)
    return tuple(
        space.describe(choice)
        for choice in space.choices(parent)
        if space.without(child, choice) == child
    )


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
    "nngp_surprise": "Minus the logarithm of the density that the Gaussian process of a wide "
    "network gives the labels of held-out images. Lower is better.",
    "validation_accuracy": "Share of validation images classified right after a little training.",
    "validation_loss": "Cross-entropy of validation images after a little training. Lower is "
    "better.",
    "training_accuracy": "Share of training images classified right after a little training.",
    "training_loss": "Cross-entropy of training images after a little training. Lower is better.",
    "label_alignment": "How far the NTK of validation images looks like a matrix of 1 for two "
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
