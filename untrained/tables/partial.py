"""What a score knows of accuracies beyond other scores: partial correlations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Real
from scipy.stats import kendalltau, rankdata

from untrained.tables.agreement import Values, check_lengths, interval_of, pearson_of


@dataclass(frozen=True)
class Partial:
    """What a score knows of accuracies beyond other scores."""

    rho: float
    "Partial Spearman correlation."
    interval: tuple[float, float]
    "95 % percentile bootstrap interval of rho over architectures."
    count: int
    "Architectures, without those where the score or another score failed."


def partial(
    scores: Values,
    accuracies: Values,
    given: Real[np.ndarray, "n k"],
    *,
    resamples: int = 1000,
) -> Partial:
    """Partial Spearman correlation of a score with accuracies, given other scores.

        x, y, Z  = ranks of scores, accuracies and each score
        e_x, e_y = what is left of x and y after least squares on [1, Z]
        rho      = Pearson's r of e_x and e_y

    Scores that leave nothing of the score or of the accuracies have no partial correlation.

    Args:
        scores: higher is better; NaN, or not finite, where the score failed.
        accuracies: of the same architectures.
        given: a column a score, such as parameters and multiply-adds; not finite where it
            failed. An architecture with any failure is left out.
        resamples: of the bootstrap, which is always seeded by 0 and ranks each resample anew.

    Raises:
        ValueError: other lengths, fewer than 20 architectures without a failure, or the ranks of
            the scores determine those of the scores or of the accuracies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> size, skill, noise = rng.normal(size=(3, 500))
        >>> accuracies = size + skill
        >>> partial(size + skill / 2, accuracies, size[:, None]).rho > 0.8
        True
        >>> abs(partial(size + noise, accuracies, size[:, None]).rho) < 0.1
        True
    """
    check_lengths(scores, accuracies, given)
    sound = np.isfinite(scores) & np.isfinite(given).all(1)
    if sound.sum() < 20:
        raise ValueError(
            f"expected 20 architectures or more whose score and given scores are finite, got "
            f"{sound.sum()} of {len(scores)}"
        )
    parts = (scores[sound], accuracies[sound], *given[sound].T)
    rho = _partial_rho(*parts)
    if np.isnan(rho):
        raise ValueError(
            f"expected given scores that leave something of the scores' and the accuracies' "
            f"ranks, got {given.shape[1]} that determine one of them: leave some out"
        )
    low, high = interval_of(_partial_rho, parts, resamples, vectorized=False)
    return Partial(rho, (float(low), float(high)), int(sound.sum()))


def partial_tau(
    scores: Values, accuracies: Values, given: Real[np.ndarray, " n"] | Real[np.ndarray, "n k"]
) -> float:
    """Kendall's partial tau of a score x with accuracies y, given other scores Z.

        t_xy.Z      = tau_xy - tau_xZ tau_ZZ^-1 tau_Zy
        tau partial = t_xy.Z / sqrt(t_xx.Z t_yy.Z)

    with tau-b throughout. Given one score z, that is

        (tau_xy - tau_xz tau_yz) / sqrt((1 - tau_xz^2) (1 - tau_yz^2)).

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.
        given: another score, or a column for each of several; architectures without finite ones
            are left out.

    Raises:
        ValueError: other lengths, a constant among them, or `given` leaves nothing of the order
            by the scores or by the accuracies.

    Example:
        >>> x, y, z = np.array([[1.0, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]])
        >>> round(partial_tau(x, y, z), 3)  # (2/3 - 2/3 * 1/3) / sqrt(5/9 * 8/9)
        0.632

    Source: Kendall, "Partial Rank Correlation", Biometrika 1942; given several, by the recursion
    of Pearson's partial correlations.
    """
    check_lengths(scores, accuracies, given)
    given = given.reshape(len(given), -1)
    sound = np.isfinite(scores) & np.isfinite(given).all(1)
    columns = scores[sound], accuracies[sound], *given[sound].T
    taus = np.array([[kendalltau(a, b).statistic for a in columns] for b in columns])
    left = np.full((2, 2), np.nan)  # the first two are x and y
    if not np.isnan(taus).any():  # equal given scores make tau_ZZ singular, which lstsq allows
        left = (
            taus[:2, :2]
            - taus[:2, 2:] @ np.linalg.lstsq(taus[2:, 2:], taus[2:, :2], rcond=None)[0]
        )
    if not left[0, 0] * left[1, 1] > 1e-12:  # NaN too
        raise ValueError(
            f"expected given scores that order architectures otherwise than scores and "
            f"accuracies, and none of them constant, got tau {taus[0, 2:]} with scores and "
            f"{taus[1, 2:]} with accuracies"
        )
    return float(left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]))


def _partial_rho(*parts: Values) -> float:
    """Of scores, accuracies and given scores; NaN where the latter leave nothing of either."""
    ranks = rankdata(parts, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)  # stands for the intercept
    pair, scores = ranks[:2].T, ranks[2:].T
    left = pair - scores @ np.linalg.lstsq(scores, pair, rcond=None)[0]
    if (np.linalg.norm(left, axis=0) <= 1e-9 * np.linalg.norm(pair, axis=0)).any():
        return float("nan")
    return float(pearson_of(*left.T))
