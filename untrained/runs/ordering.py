"""Trials in the order in which a search that sums ranks sees them."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from untrained.searchers.ranks import dense_ranks
from untrained.storage.trial_record import Reading, TrialRecord


def best_first(
    trials: Sequence[TrialRecord], directions: Mapping[str, int]
) -> tuple[list[TrialRecord], int]:
    """The trials by the sum of their ranks, those of which a reading failed last.

    Args:
        trials: in the order of the run, which stays among equals.
        directions: score that is ranked by -> +1 where higher is better, -1 where lower is.

    Returns:
        The trials, and how many have all readings.
    """
    means = [[mean_of(trial.readings.get(name, ())) for name in directions] for trial in trials]
    sound = [k for k, row in enumerate(means) if None not in row]
    sums = dict.fromkeys(sound, 0)
    for column, direction in enumerate(directions.values()):
        values = [means[k][column] for k in sound]
        ranks = dense_ranks(values, higher_is_better=direction > 0) if sound else []
        for k, rank in zip(sound, ranks, strict=True):
            sums[k] += rank
    failed = [k for k in range(len(trials)) if k not in sums]
    return [trials[k] for k in (*sorted(sound, key=sums.__getitem__), *failed)], len(sound)


def mean_of(readings: Sequence[Reading]) -> float | None:
    """Mean over the draws; None if there is none, or any failed."""
    values = [reading.value for reading in readings if reading.value is not None]
    return fmean(values) if values and len(values) == len(readings) else None
