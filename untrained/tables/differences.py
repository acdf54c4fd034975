"""Which of two scores ranks better, on the same architectures."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau

from untrained.tables.agreement import Values, check_lengths, interval_of

LEAST = 20
"Architectures, below which two scores are not compared."


class Difference(NamedTuple):
    """Kendall's tau-b of one score minus that of another."""

    value: float
    interval: tuple[float, float]
    "95 % percentile bootstrap interval over architectures."

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0; not where it is not known."""
        return self.interval[0] > 0 or self.interval[1] < 0


def tau_difference(
    one: Values, other: Values, accuracies: Values, *, resamples: int = 1000
) -> Difference:
    """tau of one score minus that of another, with a paired bootstrap: each resample of
    architectures ranks by both.

    Args:
        one: higher is better; architectures where it or `other` is not finite are left out.
        other: the other score of the same architectures.
        accuracies: of the same architectures.
        resamples: of the bootstrap, which is always seeded by 0.

    Raises:
        ValueError: other lengths, or fewer than 20 architectures with both scores.

    Example:
        >>> accuracies = np.linspace(0.0, 1.0, 50)
        >>> tau_difference(accuracies, accuracies**2, accuracies, resamples=10)
        Difference(value=0.0, interval=(0.0, 0.0))
    """
    check_lengths(one, other, accuracies)
    sound = np.isfinite(one) & np.isfinite(other)
    if sound.sum() < LEAST:
        raise ValueError(
            f"expected {LEAST} architectures or more with both scores, got {sound.sum()} of "
            f"{len(one)}"
        )
    parts = one[sound], other[sound], accuracies[sound]
    low, high = interval_of(_difference, parts, resamples, vectorized=False)
    return Difference(_difference(*parts), (float(low), float(high)))


def groups(
    scores: Mapping[str, Values], accuracies: Values, *, resamples: int = 1000
) -> dict[str, int]:
    """Groups of scores that cannot be told apart, numbered from 1, the best by tau first.

    The score with the highest tau leads the first group. In order of tau, each score joins the
    group under way unless its tau and the leader's are told apart by `tau_difference`; then it
    leads the next. So two neighbours may be told apart from different leaders, and not from
    each other. Scores with fewer than 20 architectures in common are not told apart. No
    correction is made for the number of comparisons.

    Args:
        scores: name -> values, as of `tau_difference`.
        accuracies: of the same architectures.
        resamples: as of `tau_difference`.

    Raises:
        ValueError: other lengths.
    """
    check_lengths(accuracies, *scores.values())
    taus = {name: _tau(values, accuracies) for name, values in scores.items()}
    found: dict[str, int] = {}
    leader, group = None, 0
    for name in sorted(scores, key=lambda name: -taus[name]):
        if leader is None or _told_apart(scores[leader], scores[name], accuracies, resamples):
            leader, group = name, group + 1
        found[name] = group
    return found


def rank_agreement(scores: Mapping[str, Values]) -> Float[np.ndarray, "s s"]:
    """Kendall's tau-b between any two scores, on the architectures where both are finite.

    NaN where there are fewer than two such architectures, or one of the two is constant on them.
    """
    return np.array([[_tau(a, b) for b in scores.values()] for a in scores.values()])


def _told_apart(one: Values, other: Values, accuracies: Values, resamples: int) -> bool:
    common = int((np.isfinite(one) & np.isfinite(other)).sum())
    return (
        common >= LEAST and tau_difference(one, other, accuracies, resamples=resamples).told_apart
    )


def _tau(x: Values, y: Values) -> float:
    sound = np.isfinite(x) & np.isfinite(y)
    if sound.sum() < 2:
        return float("nan")
    return float(kendalltau(x[sound], y[sound]).statistic)


def _difference(one: Values, other: Values, accuracies: Values) -> float:
    return _tau(one, accuracies) - _tau(other, accuracies)
