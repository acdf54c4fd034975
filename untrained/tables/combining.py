"""Several scores of the same architectures as one.

Each score is an array, higher is better, not finite (NaN) where it failed. Raw values of
different scores are never added: they have no common unit.
"""

import numpy as np
from jaxtyping import Float, Real
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

Scores = Real[np.ndarray, " m"]
Combined = Float[np.ndarray, " m"]


def rank_sum(*scores: Scores) -> Combined:
    """Sum of ranks: TE-NAS's combination.

        c_i = sum_s r_s(i),  r_s(i) = 1 for the worst, ..., m for the best of score s

    Equal values share the mean of their ranks; failures are equal, and below all else.

    Raises:
        ValueError: no score, or scores of other lengths.

    Example:
        >>> rank_sum(np.array([0.1, 0.3, np.nan]), np.array([50.0, 10.0, 20.0]))
        array([5., 4., 3.])

    Source: Chen, Gong & Wang, "Neural Architecture Search on ImageNet in Four GPU Hours: A
    Theoretically Inspired Perspective", ICLR 2021, https://arxiv.org/abs/2102.11535.
    """
    return np.asarray(_ranks(*scores).sum(0))


def log_rank_sum(*scores: Scores) -> Combined:
    """Sum of logarithms of ranks: AZ-NAS's combination, harsher on being bad by one score.

        c_i = sum_s log(r_s(i) / m),  r_s(i) = 1 for the worst, ..., m for the best of score s

    Equal values and failures as in `rank_sum`.

    Raises:
        ValueError: no score, or scores of other lengths.

    Example:
        >>> int(log_rank_sum(np.array([0.1, 0.3, 0.2]), np.array([5.0, 4.0, 3.0])).argmax())
        1

    Source: Lee & Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search",
    CVPR 2024, https://arxiv.org/abs/2403.19232.
    """
    ranks = _ranks(*scores)
    return np.asarray(np.log(ranks / ranks.shape[1]).sum(0))


def z_sum(*scores: Scores) -> Combined:
    """Sum of z-scores.

        c_i = sum_s (s_i - mean of s) / standard deviation of s

    over the architectures where s is finite. Distances count here, and so do outliers: take the
    logarithm of a score that spans orders of magnitude first. NaN where any score failed.

    Raises:
        ValueError: no score, scores of other lengths, or one that is constant or failed
            throughout.

    Example:
        >>> z_sum(np.array([1.0, 2.0, 3.0]), np.array([9.0, 9.0, np.nan, 6.0])[[0, 3, 2]])
        array([-0.22474487, -1.        ,         nan])
    """
    values = _together(*scores)
    total = np.zeros(values.shape[1])
    for score in np.where(np.isfinite(values), values, np.nan):
        found = score[~np.isnan(score)]
        if not len(found) or np.ptp(found) == 0:
            raise ValueError(
                f"expected scores with values that differ, got one with {len(found)} finite "
                f"values, {'all equal' if len(found) else 'all failed'}: leave it out"
            )
        total += (score - found.mean()) / found.std()
    return total


def cross_fitted(
    scores: Real[np.ndarray, "m k"],
    accuracies: Scores,
    folds: int = 2,
    seed: int = 0,
) -> Combined:
    """The best linear combination of scores, each architecture's from accuracies of others.

    Architectures are split at random into `folds` parts. For each part P, a and b are fitted by
    least squares on all architectures outside P, and

        Phi^-1((rank of the accuracy outside P - 1/2) / number outside P) ~ a + b . u
        c_i = b . u_i  for i in P,  u_is = Phi^-1((r_s(i) - 1/2) / m)

    with r_s(i) the rank of score s among all, equal values and failures as in `rank_sum`, and
    Phi the standard normal distribution function. So no c_i has seen accuracy i. The parts are
    ranked together: their predictions are on a common scale, normal scores of the accuracies by
    normal scores of the scores, and a is left out, as it differs between parts by how good
    their scores happen to be.

    Args:
        scores: a column a score.
        accuracies: of the same architectures.
        folds: parts; 2 fits on one half and predicts the other, both ways.
        seed: of the split.

    Raises:
        ValueError: other lengths, accuracies that are not finite, fewer than two folds, or fewer
            than k + 2 architectures to fit on.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> skill, noise = rng.normal(size=(2, 200))
        >>> found = cross_fitted(np.stack([skill, noise], 1), np.exp(skill))
        >>> bool(np.corrcoef(found, skill)[0, 1] > 0.99)
        True

    Source: cross-fitting as in Chernozhukov et al., "Double/debiased machine learning",
    Econometrics Journal 2018.
    """
    m, k = scores.shape
    if m != len(accuracies) or not np.isfinite(accuracies).all():
        raise ValueError(
            f"expected a finite accuracy for each of {m} architectures, got {len(accuracies)}, "
            f"{np.isfinite(accuracies).sum()} of them finite: leave the others out"
        )
    if not 2 <= folds <= m or m - -(-m // folds) < k + 2:
        raise ValueError(
            f"expected 2 folds or more, and {k + 2} architectures or more to fit {k} scores on, "
            f"got {folds} folds of {m} architectures"
        )
    u = _normal_scores(_ranks(*scores.T)).T
    found = np.empty(m)
    for others, part in KFold(folds, shuffle=True, random_state=seed).split(u):
        targets = _normal_scores(rankdata(accuracies[others]))
        found[part] = u[part] @ LinearRegression().fit(u[others], targets).coef_
    return found


def _together(*scores: Scores) -> Float[np.ndarray, "s m"]:
    if not scores or len({len(score) for score in scores}) > 1:
        raise ValueError(
            f"expected one score or more, with a value for each architecture, got lengths "
            f"{[len(score) for score in scores]}: pass NaN where a score failed"
        )
    return np.stack(scores).astype(float)


def _ranks(*scores: Scores) -> Float[np.ndarray, "s m"]:
    """1 is the worst; failures are equal, and below all else."""
    values = _together(*scores)
    return np.asarray(rankdata(np.where(np.isfinite(values), values, -np.inf), axis=-1))


def _normal_scores(ranks: Float[np.ndarray, "*s m"]) -> Float[np.ndarray, "*s m"]:
    """Phi^-1((rank - 1/2) / m): ranks as quantiles of a standard normal."""
    return np.asarray(ndtri((ranks - 0.5) / ranks.shape[-1]))
