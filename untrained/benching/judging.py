"""One score judged by accuracies: every statistic of a ranking."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau, spearmanr

from untrained.benching.config import LEAST
from untrained.tables.agreement import Agreement, agreement, exceedance
from untrained.tables.chance import p_value, rank_test
from untrained.tables.partial import partial, partial_tau

Statistics = Mapping[str, float | int | None]

STATISTICS = (
    *(f.name for f in fields(Agreement) if not f.name.endswith("_interval")),
    *("tau_low", "tau_high", "p_value", "rho_low", "rho_high"),
    *("tau_failed_last", "tau_draws", "tau_spread"),
    *("tau_given_size", "rho_given_size", "rho_given_size_low", "rho_given_size_high"),
)
"Names of the statistics of every score; beside them PQETP at each threshold."


@dataclass(frozen=True)
class Judge:
    """The accuracies, and what else all scores are judged by."""

    accuracies: Float[np.ndarray, " n"]
    sizes: Float[np.ndarray, "n k"]
    "Scores that partial correlations are given, a column each."
    thresholds: tuple[float, ...]
    "Of PQETP."
    resamples: int
    "Of each bootstrap."
    least: int = LEAST
    "Architectures below which nothing is said of a score; below 20, little."

    def statistics(
        self, draws: Float[np.ndarray, "n d"], *, given_size: bool = True
    ) -> Statistics:
        """All statistics of a score; only the counts where too few have a value to be ranked, or
        all values, or the accuracies beside them, are equal.

        Args:
            draws: higher is better, NaN where it failed; a column a draw.
            given_size: whether to compute the partial correlations.
        """
        x, y = draws.mean(1), self.accuracies
        sound = np.isfinite(x)
        found: dict[str, float | int | None] = dict.fromkeys((*STATISTICS, *self.named))
        found |= {"count": int(sound.sum()), "failed": int((~sound).sum())}
        if sound.sum() < self.least or np.ptp(x[sound]) == 0 or np.ptp(y[sound]) == 0:
            return found
        if sound.sum() < LEAST:
            return {**found, **self.of_few(x[sound], y[sound])}
        return found | {
            "p_value": p_value(x, y),
            **agreement(x, y, resamples=self.resamples).row(),
            **self.over_draws(draws),
            "tau_failed_last": float(kendalltau(np.where(sound, x, -np.inf), y).statistic),
            **(self.beyond_size(x) if given_size else {}),
            **dict(zip(self.named, exceedance(x, y, [*self.named.values()]), strict=True)),
        }

    def of_few(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Statistics:
        """What fewer than 20 architectures say."""
        tau, (low, high), p = rank_test(x, y)
        rho = float(spearmanr(x, y).statistic)
        return {"tau": tau, "tau_low": low, "tau_high": high, "p_value": p, "rho": rho}

    @property
    def named(self) -> dict[str, float]:
        """The name of PQETP at each threshold -> the threshold; equal ones are one."""
        return {f"pqetp_{p:.4g}": p for p in self.thresholds}

    def over_draws(self, draws: Float[np.ndarray, "n d"]) -> Statistics:
        """Mean and standard deviation of tau over single draws; missing where all are one."""
        if draws.shape[1] < 2 or np.array_equal(draws, draws[:, :1] + 0 * draws, equal_nan=True):
            return {}
        pairs = [(d[np.isfinite(d)], self.accuracies[np.isfinite(d)]) for d in draws.T]
        taus = [float(kendalltau(d, y).statistic) for d, y in pairs]
        return {"tau_draws": float(np.mean(taus)), "tau_spread": float(np.std(taus, ddof=1))}

    def beyond_size(self, x: Float[np.ndarray, " n"]) -> Statistics:
        """What it knows beyond size; missing where there are no sizes, or they leave nothing.

        A size that all architectures share is none.
        """
        sound = np.isfinite(x) & np.isfinite(self.sizes).all(1)
        if sound.sum() < LEAST:
            return {}
        x, y, sizes = x[sound], self.accuracies[sound], self.sizes[sound]
        sizes = sizes[:, np.ptp(sizes, axis=0) > 0]
        if not sizes.shape[1]:
            return {}
        found: dict[str, float] = {}
        with suppress(ValueError):  # nothing is left
            found["tau_given_size"] = partial_tau(x, y, sizes)
            rho = partial(x, y, sizes, resamples=self.resamples)
            found["rho_given_size"] = rho.rho
            found["rho_given_size_low"], found["rho_given_size_high"] = rho.interval
        return found
