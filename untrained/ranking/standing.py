"""Where models stand by draws of scores: an order, intervals, and what cannot be told apart.

Draws are common to all models: the same images, and the same streams of weights. So models are
compared draw by draw, and what a draw does to all of them alike is no error of their difference.
With differences d_1 .. d_D of two models' values,

    mean(d) -+ t_{D-1}(.975) sd(d) / sqrt D

is a 95 % interval of what it comes to over all draws; they are told apart where it leaves out 0.
It says nothing of how well the score agrees with accuracies.
"""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata, t

Draws = Float[np.ndarray, "n d"]
"A row for each model, a column for each draw, higher meaning better; NaN where a score failed."


class Interval(NamedTuple):
    """The mean of some draws, and a 95 % interval of what it is over all."""

    mean: float | None
    "None where some draw failed: those left would flatter it."
    low: float | None
    "None for one draw too."
    high: float | None

    @classmethod
    def of(cls, values: Float[np.ndarray, " d"]) -> "Interval":
        """Over all of the draws."""
        n, mean = len(values), float(values.mean())
        if not isfinite(mean):
            return cls(None, None, None)
        if n < 2:
            return cls(mean, None, None)
        half = float(t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / sqrt(n)
        return cls(mean, mean - half, mean + half)


class Standing(NamedTuple):
    """Where one of several models stands."""

    model: int
    "Its row."
    place: int | None
    "From 1, the best; None where some draw failed."
    group: int | None
    """From 1; models of a group cannot be told apart from its first. None where there is no place,
    or only one draw, which does not tell."""


def standings(draws: Draws) -> list[Standing]:
    """The models in order, the best mean first, those that failed last, as they came.

    The best leads the first group; each other joins the group under way unless it is told apart
    from its leader, and else leads the next. No correction is made for the number of models.

    Example:
        >>> found = standings(np.array([[1.0, 1.1, 0.9], [5.0, 5.2, 5.1], [4.9, 5.3, 5.0]]))
        >>> [(each.model, each.place, each.group) for each in found]
        [(1, 1, 1), (2, 2, 1), (0, 3, 2)]
    """
    valued = sound(draws)
    order = sorted(np.flatnonzero(valued).tolist(), key=lambda i: -draws[i].mean())
    found: list[Standing] = []
    leader, group = -1, 0
    for place, model in enumerate(order, 1):
        if leader < 0 or told_apart(draws[leader], draws[model]):
            leader, group = model, group + 1
        found.append(Standing(model, place, group if draws.shape[1] > 1 else None))
    return found + [Standing(i, None, None) for i in np.flatnonzero(~valued).tolist()]


def told_apart(one: Float[np.ndarray, " d"], other: Float[np.ndarray, " d"]) -> bool:
    """Whether the interval of the mean difference leaves out 0; not where one draw is all."""
    _, low, high = Interval.of(one - other)
    return low is not None and high is not None and (low > 0 or high < 0)


def rank_sums(scores: Sequence[Draws]) -> Draws:
    """Draw by draw, minus the sum over scores of a model's rank: higher is better.

    Ranks are among the models that have every score on every draw; others have none.
    """
    whole = np.logical_and.reduce([sound(values) for values in scores])
    total = np.full(scores[0].shape, np.nan)
    if whole.any():
        total[whole] = -sum(rankdata(-values[whole], axis=0) for values in scores)
    return total


def sound(draws: Draws) -> Bool[np.ndarray, " n"]:
    """Which models have a value on every draw."""
    return np.isfinite(draws).all(1)
