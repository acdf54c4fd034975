"""How well a score agrees with what training gave: correlations, what the best are worth, and
what the score knows beyond other signals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from scipy.stats import bootstrap, kendalltau, pearsonr, rankdata, spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score

Values = Real[np.ndarray, " n"]


@dataclass(frozen=True)
class Agreement:
    """Of a score, higher meaning better, with an accuracy, over n architectures."""

    count: int
    "Architectures, without those whose score failed: the population of all that follows."
    failed: int
    "Architectures whose score failed (NaN); they are left out."
    tau: float
    "Kendall's tau-b."
    tau_interval: tuple[float, float]
    "95 % percentile bootstrap interval of tau over architectures."
    rho: float
    "Spearman's."
    rho_interval: tuple[float, float]
    "The same of rho, from the same resamples."
    pearson: float
    "Pearson's r, of the values themselves."
    tau_top: float
    "Kendall's tau-b among the tenth of the architectures with the best accuracies."
    tau_half: float
    "Kendall's tau-b among the half with the best accuracies."
    shared_top: float
    "Share of the tenth with the best scores that is in the tenth with the best accuracies."
    discovered: float
    "The best accuracy among the ten best scores: an engineer's gain."
    regret: float
    "The best accuracy of the population minus `discovered`."
    best_rank: float
    "The best rank by accuracy, from 1, among the ten best scores, as a share of the population."
    ndcg: float
    """Normalised discounted cumulative gain of the order by score. With g_i = rank of the i-th
    accuracy / n, the best having n,

        nDCG = sum_i g_i / log2(1 + place of i by score) / the same by accuracy.

    Gains are ranks, as accuracies lie so close that any order would come near 1. Equal scores
    share the mean of their gains. An order by chance has about 0.90 at n = 1000, the reverse of
    the best 0.79."""


def agreement(scores: Values, accuracies: Values, *, resamples: int = 1000) -> Agreement:
    """Compares a score with accuracies, architecture by architecture.

    Args:
        scores: higher is better; NaN, or not finite, where the score failed.
        accuracies: of the same architectures.
        resamples: of the bootstrap, which is always seeded by 0.

    Raises:
        ValueError: other lengths, fewer than 20 scores that did not fail, or all of them equal.

    Example:
        >>> accuracies = np.linspace(0.0, 1.0, 100)
        >>> found = agreement(-accuracies, accuracies)
        >>> found.tau, found.best_rank
        (-1.0, 0.91)

    Source: nDCG as in Järvelin & Kekäläinen, ACM TOIS 2002, with sklearn's ties.
    """
    if len(scores) != len(accuracies) or np.isfinite(scores).sum() < 20:
        raise ValueError(
            f"expected as many scores as accuracies, and 20 finite ones or more, got "
            f"{len(scores)} and {len(accuracies)}, {np.isfinite(scores).sum()} of them finite"
        )
    sound = np.isfinite(scores)
    if np.ptp(scores[sound]) == 0:
        raise ValueError(
            f"expected scores that differ, got {scores[sound][0]} for all {sound.sum()} "
            f"architectures: there is nothing to rank by"
        )
    x, y = scores[sound].astype(float), accuracies[sound].astype(float)
    low, high = _interval(_tau_and_rho, (x, y), resamples, vectorized=True, axis=-1, batch=100)
    n, tenth = len(x), max(len(x) // 10, 2)
    best, chosen = np.argsort(-y, kind="stable"), np.argsort(-x, kind="stable")
    top, half = best[:tenth], best[: n // 2]
    discovered = float(y[chosen[:10]].max())
    return Agreement(
        count=n,
        failed=int((~sound).sum()),
        tau=float(kendalltau(x, y).statistic),
        tau_interval=(float(low[0]), float(high[0])),
        rho=float(spearmanr(x, y).statistic),
        rho_interval=(float(low[1]), float(high[1])),
        pearson=float(pearsonr(x, y).statistic),
        tau_top=float(kendalltau(x[top], y[top]).statistic),
        tau_half=float(kendalltau(x[half], y[half]).statistic),
        shared_top=len(set(top) & set(chosen[:tenth])) / tenth,
        discovered=discovered,
        regret=float(y.max()) - discovered,
        best_rank=(1 + int((y > discovered).sum())) / n,
        ndcg=float(ndcg_score([rankdata(y) / n], [x])),
    )


def exceedance(
    scores: Values, accuracies: Values, thresholds: Sequence[float | int]
) -> tuple[float | None, ...]:
    """PQETP: how well a score tells the architectures above a threshold from the others.

        PQETP(p) = P(score of one with accuracy > p  >  score of one with accuracy <= p),

    equal scores counting half: the area under the ROC curve of the event accuracy > p. 0.5 is
    chance.

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.
        thresholds: values of p.

    Returns:
        One value a threshold; None where all accuracies exceed it, or none.

    Raises:
        ValueError: other lengths.

    Example:
        >>> exceedance(np.array([1.0, 3.0, 2.0]), np.array([0.8, 0.9, 0.94]), (0.85, 0.93, 0.95))
        (1.0, 0.5, None)

    Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
    https://arxiv.org/abs/2011.06006; p = .85, .87, .89, .91, .93 on NAS-Bench-101.
    """
    _same_lengths(scores, accuracies)
    sound = np.isfinite(scores)
    events = [accuracies[sound] > p for p in thresholds]
    return tuple(
        float(roc_auc_score(event, scores[sound])) if 0 < event.sum() < len(event) else None
        for event in events
    )


@dataclass(frozen=True)
class Partial:
    """What a score knows of accuracies beyond other signals."""

    rho: float
    "Partial Spearman correlation."
    interval: tuple[float, float]
    "95 % percentile bootstrap interval of rho over architectures."
    count: int
    "Architectures, without those where the score or another signal failed."


def partial(
    scores: Values,
    accuracies: Values,
    given: Real[np.ndarray, "n k"],
    *,
    resamples: int = 1000,
) -> Partial:
    """Partial Spearman correlation of a score with accuracies, given other signals.

        x, y, Z  = ranks of scores, accuracies and each signal
        e_x, e_y = what is left of x and y after least squares on [1, Z]
        rho      = Pearson's r of e_x and e_y

    Signals that leave nothing of the score or of the accuracies have no partial correlation.

    Args:
        scores: higher is better; NaN, or not finite, where the score failed.
        accuracies: of the same architectures.
        given: a column a signal, such as parameters and multiply-adds; not finite where it
            failed. An architecture with any failure is left out.
        resamples: of the bootstrap, which is always seeded by 0 and ranks each resample anew.

    Raises:
        ValueError: other lengths, fewer than 20 architectures without a failure, or the ranks of
            the signals determine those of the scores or of the accuracies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> size, skill, noise = rng.normal(size=(3, 500))
        >>> accuracies = size + skill
        >>> partial(size + skill / 2, accuracies, size[:, None]).rho > 0.8
        True
        >>> abs(partial(size + noise, accuracies, size[:, None]).rho) < 0.1
        True
    """
    _same_lengths(scores, accuracies, given)
    sound = np.isfinite(scores) & np.isfinite(given).all(1)
    if sound.sum() < 20:
        raise ValueError(
            f"expected 20 architectures or more whose score and given signals are finite, got "
            f"{sound.sum()} of {len(scores)}"
        )
    parts = (scores[sound], accuracies[sound], *given[sound].T)
    rho = _partial_rho(*parts)
    if np.isnan(rho):
        raise ValueError(
            f"expected given signals that leave something of the scores' and the accuracies' "
            f"ranks, got {given.shape[1]} that determine one of them: leave some out"
        )
    low, high = _interval(_partial_rho, parts, resamples, vectorized=False)
    return Partial(rho, (float(low), float(high)), int(sound.sum()))


def partial_tau(scores: Values, accuracies: Values, given: Values) -> float:
    """Kendall's partial tau of a score x with accuracies y, given one other signal z.

        tau_xy.z = (tau_xy - tau_xz tau_yz) / sqrt((1 - tau_xz^2) (1 - tau_yz^2))

    with tau-b throughout.

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.
        given: the other signal; architectures without a finite one are left out.

    Raises:
        ValueError: other lengths, one of the three is constant, or `given` orders architectures
            as the scores or the accuracies do, or in reverse.

    Example:
        >>> x, y, z = np.array([[1.0, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]])
        >>> round(partial_tau(x, y, z), 3)  # (2/3 - 2/3 * 1/3) / sqrt(5/9 * 8/9)
        0.632

    Source: Kendall, "Partial Rank Correlation", Biometrika 1942.
    """
    _same_lengths(scores, accuracies, given)
    sound = np.isfinite(scores) & np.isfinite(given)
    x, y, z = scores[sound], accuracies[sound], given[sound]
    xy, xz, yz = (float(kendalltau(a, b).statistic) for a, b in ((x, y), (x, z), (y, z)))
    left = (1 - xz**2) * (1 - yz**2)
    if not left > 1e-12:  # NaN too
        raise ValueError(
            f"expected a given signal that orders architectures otherwise than scores and "
            f"accuracies, and none of them constant, got tau {xz} with scores and {yz} with "
            f"accuracies"
        )
    return float((xy - xz * yz) / np.sqrt(left))


def _same_lengths(*values: np.ndarray) -> None:
    lengths = [len(v) for v in values]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"expected one value an architecture in each array, got lengths {lengths}: pass "
            f"NaN where a score failed"
        )


def _interval(
    statistic: Callable[..., Any], parts: Sequence[np.ndarray], resamples: int, **how: object
) -> tuple[Any, Any]:
    """95 % percentile bootstrap over architectures, seeded by 0: NaN where some resample has no
    value, as one with equal scores alone."""
    interval = bootstrap(
        parts,
        statistic,
        paired=True,
        n_resamples=resamples,
        method="percentile",
        random_state=np.random.default_rng(0),
        **how,
    ).confidence_interval
    return interval.low, interval.high


def _tau_and_rho(
    x: Float[np.ndarray, "*b n"], y: Float[np.ndarray, "*b n"], axis: int
) -> Float[np.ndarray, "2 *b"]:
    """Kendall's tau-b and Spearman's rho of each resample: one row of x and y."""
    pairs = zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), strict=True)
    taus = [kendalltau(a, b).statistic for a, b in pairs]
    ranks = (rankdata(x, axis=axis), rankdata(y, axis=axis))
    return np.stack([np.reshape(taus, x.shape[:-1]), _pearson(*ranks)])


def _pearson(
    x: Float[np.ndarray, "*b n"], y: Float[np.ndarray, "*b n"]
) -> Float[np.ndarray, " *b"]:
    """r along the last axis; NaN, without a warning, where one of them is constant."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def _partial_rho(*parts: Values) -> float:
    """Of scores, accuracies and given signals; NaN where the latter leave nothing of either."""
    ranks = rankdata(parts, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)  # stands for the intercept
    pair, signals = ranks[:2].T, ranks[2:].T
    left = pair - signals @ np.linalg.lstsq(signals, pair)[0]
    if (np.linalg.norm(left, axis=0) <= 1e-9 * np.linalg.norm(pair, axis=0)).any():
        return float("nan")
    return float(_pearson(*left.T))
