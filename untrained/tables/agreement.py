"""How well a score agrees with what training gave: rank correlations and their intervals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, kendalltau, spearmanr

Values = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Agreement:
    """Of a score, higher meaning better, with an accuracy, over n architectures."""

    count: int
    "Architectures, without those whose score failed."
    failed: int
    "Architectures whose score failed (NaN); they are left out."
    tau: float
    "Kendall's tau-b."
    tau_interval: tuple[float, float]
    "95 % percentile bootstrap interval of tau over architectures."
    rho: float
    "Spearman's."
    tau_top: float
    "Kendall's tau-b among the tenth of the architectures with the best accuracies."
    shared_top: float
    "Share of the tenth with the best scores that is in the tenth with the best accuracies."
    discovered: float
    "The best accuracy among the ten best scores: an engineer's gain."


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
        >>> agreement(-accuracies, accuracies).tau
        -1.0
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
    x, y = scores[sound], accuracies[sound]
    interval = bootstrap(
        (x, y),
        lambda a, b: kendalltau(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=resamples,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    tenth = max(len(x) // 10, 2)
    best, chosen = np.argsort(-y, kind="stable"), np.argsort(-x, kind="stable")
    top = best[:tenth]
    return Agreement(
        count=len(x),
        failed=int((~sound).sum()),
        tau=float(kendalltau(x, y).statistic),
        tau_interval=(float(interval.low), float(interval.high)),
        rho=float(spearmanr(x, y).statistic),
        tau_top=float(kendalltau(x[top], y[top]).statistic),
        shared_top=len(set(top) & set(chosen[:tenth])) / tenth,
        discovered=float(y[chosen[:10]].max()),
    )
