"""How well a score agrees with what training gave: correlations, and what the best achieve."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from scipy.stats import DegenerateDataWarning, bootstrap, kendalltau, pearsonr, rankdata, spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score

Values = Real[np.ndarray, " n"]

BATCH = 100
"Resamples of a bootstrap that are in memory at a time."


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
    shared_half: float
    "The same of the halves."
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

    def row(self) -> dict[str, float | int]:
        """Itself as a row of a table: an interval is two columns, `tau_low` and `tau_high`."""
        found = asdict(self)
        for name in ("tau", "rho"):
            found[f"{name}_low"], found[f"{name}_high"] = found.pop(f"{name}_interval")
        return found


def agreement(scores: Values, accuracies: Values, *, resamples: int = 1000) -> Agreement:
    """Compares a score with accuracies, architecture by architecture.

    Which of equal scores are the best is told by lot, seeded by 0, as tables have an order of
    their own; and so, by other lots, with equal accuracies.

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
    low, high = interval_of(_tau_and_rho, (x, y), resamples, vectorized=True, axis=-1)
    n, tenth, half = len(x), len(x) // 10, len(x) // 2
    lots = np.random.default_rng(0)
    best, chosen = (np.lexsort((lots.permutation(n), -values)) for values in (y, x))
    top, upper = best[:tenth], best[:half]
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
        tau_half=float(kendalltau(x[upper], y[upper]).statistic),
        shared_top=len(set(top) & set(chosen[:tenth])) / tenth,
        shared_half=len(set(upper) & set(chosen[:half])) / half,
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
        One value per threshold; None where all accuracies exceed it, or none.

    Raises:
        ValueError: other lengths.

    Example:
        >>> exceedance(np.array([1.0, 3.0, 2.0]), np.array([0.8, 0.9, 0.94]), (0.85, 0.93, 0.95))
        (1.0, 0.5, None)

    Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
    https://arxiv.org/abs/2011.06006; p = .85, .87, .89, .91, .93 on NAS-Bench-101.
    """
    check_lengths(scores, accuracies)
    sound = np.isfinite(scores)
    events = [accuracies[sound] > p for p in thresholds]
    return tuple(
        float(roc_auc_score(event, scores[sound])) if 0 < event.sum() < len(event) else None
        for event in events
    )


def check_lengths(*values: np.ndarray) -> None:
    """Refuse arrays of other lengths."""
    lengths = [len(v) for v in values]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"expected one value per architecture in each array, got lengths {lengths}: pass "
            f"NaN where a score failed"
        )


def interval_of(
    statistic: Callable[..., Any], parts: Sequence[np.ndarray], resamples: int, **how: object
) -> tuple[Any, Any]:
    """95 % percentile bootstrap over architectures, seeded by 0: NaN where some resample has no
    value, as one with equal scores alone.

    Resamples are drawn some at a time, which changes none of them: all at once, 1000 of a table
    of 15,625 architectures are half a gigabyte.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # which NaN says
        interval = bootstrap(
            parts,
            statistic,
            paired=True,
            n_resamples=resamples,
            batch=BATCH,
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
    return np.stack([np.reshape(taus, x.shape[:-1]), pearson_of(*ranks)])


def pearson_of(
    x: Float[np.ndarray, "*b n"], y: Float[np.ndarray, "*b n"]
) -> Float[np.ndarray, " *b"]:
    """r along the last axis; NaN, without a warning, where one of them is constant."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))
