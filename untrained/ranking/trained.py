"""Models that were trained briefly, and whether what ranks them agrees with their accuracies."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from untrained.benching.config import LEAST_TRAINED
from untrained.benching.judging import Judge
from untrained.ranking.standing import Draws
from untrained.runs.record import TrainingRecord

ACCURACY, SECONDS = "accuracy", "training_seconds"
"Columns of a ranking whose models were trained."
STATISTICS = ("tau", "tau_low", "tau_high", "p_value")
"Of `Judge`, that are shown of each score."
RESAMPLES = 1000
"Of models, for intervals from 20 on."


class Trained(NamedTuple):
    """What a model's trainings came to."""

    accuracy: float | None
    "Mean on the test images; None where one failed, as those left would flatter it."
    seconds: float | None
    "Of all of them."
    reason: str
    "Why one failed; empty if none did."

    @classmethod
    def of(cls, trainings: Sequence[TrainingRecord]) -> "Trained":
        """Those of one model, which are none where it could not be built."""
        if not trainings:
            return cls(None, None, "")
        known = [each.test_accuracy for each in trainings if each.test_accuracy is not None]
        reason = next((each.reason for each in trainings if each.reason), "")
        mean = fmean(known) if len(known) == len(trainings) else None
        seconds = sum(each.seconds for each in trainings)
        return cls(mean, seconds, reason and f"training: {reason}")


def agreement(merits: Mapping[str, Draws], accuracies: Float[np.ndarray, " n"]) -> pl.DataFrame:
    """How well each score and size ranks the models by accuracy.

    Args:
        merits: score -> its draws, a row for each model, higher meaning better.
        accuracies: of the models; NaN of those without one, which are left out.

    Returns:
        A row for each: `score`; `count`, of the models that have it; Kendall's `tau`, its 95 %
        interval from `tau_low` to `tau_high`, and `p_value`, the share of random orders that
        agree as much. Missing where fewer than 3 models, or all of them alike, say nothing.
    """
    sound = np.isfinite(accuracies)
    judge = Judge(accuracies[sound], np.empty((sound.sum(), 0)), (), RESAMPLES, LEAST_TRAINED)
    rows = []
    for score, draws in merits.items():
        found = judge.statistics(draws[sound], given_size=False)
        rows.append({"score": score, "count": found["count"], **{n: found[n] for n in STATISTICS}})
    types = {"score": pl.String, "count": pl.Int64, **dict.fromkeys(STATISTICS, pl.Float64)}
    return pl.DataFrame(rows, schema=types)
