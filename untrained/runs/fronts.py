"""The Pareto front of a run: what no other network tried is better than in every score."""

from dataclasses import dataclass

import numpy as np

from untrained.estimate import Estimate, estimate
from untrained.runs.record import RunRecord
from untrained.searchers.pareto import front, hypervolume
from untrained.storage.trial_record import TrialRecord

AXES = 4
"Of a hypervolume, at most."


@dataclass(frozen=True)
class Placed:
    """A network tried, with a value for each score."""

    trial: TrialRecord
    estimates: tuple[Estimate, ...]
    "In the order of `Front.scores`."
    on_front: bool


@dataclass(frozen=True)
class Front:
    """Everything tried that has a value for each score."""

    scores: tuple[str, ...]
    directions: tuple[int, ...]
    "+1 where higher is better, -1 where lower is."
    placed: tuple[Placed, ...]
    "By the first score, the best first; each architecture once."
    share: float | None
    """Of the box between the worst and the best value of each score, what the front dominates;
    None where the box is flat, or has more than four axes."""

    @property
    def members(self) -> tuple[Placed, ...]:
        """Those on the front."""
        return tuple(each for each in self.placed if each.on_front)


def front_of(run: RunRecord) -> Front | None:
    """The front of a run that seeks or selects from one; None for any other, or without values."""
    scores = tuple(run.directions)
    if len(scores) < 2 or not (run.searcher == "nsga2" or run.config.get("select")):
        return None
    longest = max((trial.epochs or 0 for trial in run.trials), default=0)
    tried = {
        trial.architecture: (trial, _estimates(run, trial))
        for trial in run.trials
        if (trial.epochs or 0) == longest
    }
    whole = [
        (trial, estimates)
        for trial, estimates in tried.values()
        if all(found.draws == len(trial.draws) for found in estimates)
    ]
    if not whole:
        return None
    signs = tuple(run.directions.values())
    points = np.array(
        [[-s * e.value for s, e in zip(signs, its, strict=True)] for _, its in whole]
    )
    on_front = front(points)
    placed = [Placed(*each, bool(its)) for each, its in zip(whole, on_front, strict=True)]
    placed.sort(key=lambda each: -signs[0] * each.estimates[0].value)
    return Front(scores, signs, tuple(placed), _share(points))


def _estimates(run: RunRecord, trial: TrialRecord) -> tuple[Estimate, ...]:
    return tuple(
        estimate(
            ((reading.value, reading.reason) for reading in trial.readings[score]),
            is_count=score in run.counts,
        )
        for score in run.directions
    )


def _share(points: np.ndarray) -> float | None:
    low, spread = points.min(0), np.ptp(points, axis=0)
    if points.shape[1] > AXES or not spread.all():
        return None
    return hypervolume((points - low) / spread, (1.0,) * points.shape[1])
