"""What a sample of architectures can tell of a score, however small it is."""

from collections.abc import Sequence
from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.stats import kendalltau

from untrained.tables.agreement import Values, agreement, check_lengths

ORDERS, MANY = 8, 20
"""Architectures up to which all orders are gone through, 40,320, and beyond which the distribution
of tau is known well enough."""
FEW = 20
"Architectures, below which resamples of them mislead."
LOTS = 10_000
"Random orders, and random samples of which an interval is made."
CHANCE = 0.05
"The largest p of a score that is told from chance."


class RankTest(NamedTuple):
    """How well a score ranks a sample of architectures, and whether that may be chance."""

    tau: float
    "Kendall's tau-b."
    interval: tuple[float, float]
    "95 %: as of `small_sample_interval`, or by bootstrap from 20 architectures on."
    p: float
    "As of `p_value`."


def rank_test(scores: Values, accuracies: Values, *, resamples: int = 1000) -> RankTest:
    """Kendall's tau-b of a score and accuracies, with what the number of them allows to be said.

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.
        resamples: of the bootstrap.

    Raises:
        ValueError: as `small_sample_interval`.

    Example:
        >>> found = rank_test(np.arange(5.0), np.arange(5.0))
        >>> round(found.tau, 9), round(found.interval[0], 1), round(found.p, 4)
        (1.0, 0.2, 0.0167)
    """
    check_lengths(scores, accuracies)
    sound = np.isfinite(scores)
    x, y = scores[sound], accuracies[sound]
    if len(x) < FEW:
        interval = small_sample_interval(x, y)
    else:
        interval = agreement(x, y, resamples=resamples).tau_interval
    return RankTest(float(kendalltau(x, y).statistic), interval, p_value(x, y))


def p_value(scores: Values, accuracies: Values) -> float:
    """How often an order by chance agrees with the accuracies, or opposes them, as much.

        S(pi) = sum_{i<j} sign(x_i - x_j) sign(y_pi(i) - y_pi(j))
        p     = share of the permutations pi with |S(pi)| >= |S(identity)|

    the two-sided permutation test of Kendall's tau-b, of which S is a multiple; exact with ties
    too. Beyond 8 architectures, 10,000 random permutations, seeded by 0, and the identity; beyond
    20, as SciPy has it: exact up to 33 without ties, else by the normal distribution that S nears.

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.

    Returns:
        p; 1 for scores, or accuracies, that are all equal.

    Raises:
        ValueError: other lengths.

    Example:
        >>> p_value(np.arange(5.0), np.arange(5.0)) == 2 / 120  # the order and its reverse
        True

    Source: for random permutations, Phipson & Smyth, Statistical Applications in Genetics and
    Molecular Biology 2010.
    """
    check_lengths(scores, accuracies)
    sound = np.isfinite(scores)
    n = int(sound.sum())
    if n > MANY:
        found = float(kendalltau(scores[sound], accuracies[sound]).pvalue)
        return 1.0 if np.isnan(found) else found
    agreements = np.abs(_agreements(_signs(scores[sound]), _signs(accuracies[sound]), _orders(n)))
    return float((agreements >= agreements[0]).mean())


class JointTest(NamedTuple):
    """Several scores of the same architectures, tested together."""

    p: tuple[float, ...]
    "Of each score, corrected for their number."
    least: float | None
    "The least tau that is told from chance; None where even a perfect order may be chance."


def joint_test(scores: Sequence[Values], accuracies: Values) -> JointTest:
    """p of each of several scores, where the best of them is looked for.

    One of many scores agrees by chance more often than one alone does. With tau_k(pi) the tau-b
    of score k and the accuracies in another order pi,

        p_k = share of the permutations pi with max_j |tau_j(pi)| >= |tau_k|

    so that, where no score tells anything, the least of all p_k is below .05 in 5 of 100 samples.
    Scores that rank alike correct each other less than others do. Permutations are those of
    `p_value`, random ones for any number of architectures above 8.

    Args:
        scores: of each, higher is better; not finite where it failed, which agrees with nothing.
        accuracies: of the same architectures, finite.

    Raises:
        ValueError: other lengths.

    Example:
        >>> y = np.arange(6.0)
        >>> found = joint_test([y, -y, np.array([0.0, 5, 1, 4, 2, 3])], y)
        >>> [round(p, 3) for p in found.p], round(found.least, 2)
        ([0.006, 0.006, 0.933], 0.87)

    Source: the single-step maximum test of Westfall & Young, "Resampling-Based Multiple Testing",
    1993.
    """
    for each in scores:
        check_lengths(each, accuracies)
    y, orders = _signs(accuracies), _orders(len(accuracies))
    taus = np.zeros((len(scores), len(orders)))
    for k, x in enumerate(map(_signs, scores)):
        scale = np.sqrt(float(np.abs(x).sum(dtype=int)) * float(np.abs(y).sum(dtype=int)))
        if scale:
            taus[k] = np.abs(_agreements(x, y, orders)) / scale
    largest = taus.max(0, initial=0.0)

    def p(tau: float) -> float:
        return float((largest >= tau - 1e-9).mean())

    told = (float(tau) for tau in np.unique(largest) if tau and p(tau) <= CHANCE)
    return JointTest(tuple(p(tau) for tau in taus[:, 0]), next(told, None))


def small_sample_interval(scores: Values, accuracies: Values) -> tuple[float, float]:
    """95 % interval of Kendall's tau from few architectures, where resamples of them mislead.

    Of pairs (x, y) that are normal with correlation r, up to a monotone change of either,

        tau(r) = 2 / pi arctan(rho),  rho = r / sqrt(1 - r^2)

    and in a sample x, y = r x + sqrt(1 - r^2) z the pair i, j is in the same order by both if
    rho > q_ij = -(z_i - z_j) / (x_i - x_j). So with q_(1) < ... < q_(N) of the N pairs of a
    sample, k pairs or more agree if rho > q_(k): the interval of all rho to which k pairs in
    agreement are not too many nor too few,

        from the 2.5 % quantile of q_(k) to the 97.5 % quantile of q_(k+1)

    over 10,000 samples, seeded by 0. k = N (1 + tau-b) / 2, rounded outwards where there are ties.

    Args:
        scores: higher is better; architectures without a finite one are left out.
        accuracies: of the same architectures.

    Raises:
        ValueError: other lengths, fewer than 3 architectures with scores, or scores or
            accuracies that are all equal.

    Example:
        >>> low, high = small_sample_interval(np.arange(5.0), np.arange(5.0))
        >>> round(low, 1), high
        (0.2, 1.0)
    """
    check_lengths(scores, accuracies)
    sound = np.isfinite(scores)
    x, y = scores[sound], accuracies[sound]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError(
            f"expected 3 architectures or more with scores and accuracies that differ, got "
            f"{len(x)} of {len(scores)}"
        )
    i, j = np.triu_indices(len(x), 1)
    agreeing = len(i) * (1 + float(kendalltau(x, y).statistic)) / 2
    low, high = int(np.floor(agreeing + 1e-9)), int(np.ceil(agreeing - 1e-9)) + 1
    x, z = np.random.default_rng(0).normal(size=(2, LOTS, len(x)))
    q = np.sort((z[:, j] - z[:, i]) / (x[:, i] - x[:, j]), axis=1)
    rho_low = np.quantile(q[:, low - 1], 0.025) if low else -np.inf
    rho_high = np.quantile(q[:, high - 1], 0.975) if high <= len(i) else np.inf
    return float(2 / np.pi * np.arctan(rho_low)), float(2 / np.pi * np.arctan(rho_high))


def least_told_apart(count: int) -> float | None:
    """The least tau that so many architectures tell from chance: its p is at most .05.

    Of scores and accuracies without ties; beyond 60 architectures by the normal
    distribution of tau under chance, whose standard deviation is sqrt(2 (2n + 5) / (9n (n - 1))).

    Returns:
        tau; None where even a perfect order may be one by chance: below 5 architectures.

    Example:
        >>> least_told_apart(4), round(least_told_apart(8), 2), round(least_told_apart(200), 2)
        (None, 0.64, 0.09)

    Source: Kendall, "A New Measure of Rank Correlation", Biometrika 1938.
    """
    n, pairs = count, count * (count - 1) // 2
    if n > 60:
        return float(1.96 * np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))))
    # Inversions of a random order: one number from 0 to i for each i < n, all independent.
    share = np.ones(1)
    for i in range(n):
        share = np.convolve(share, np.full(i + 1, 1 / (i + 1)))
    few = 2 * np.cumsum(share) <= 0.05 + 1e-12  # p of so many inversions, or as many agreements
    return 1 - 2 * int(few.sum() - 1) / pairs if few.any() and pairs else None


def _signs(values: Values) -> Int[np.ndarray, "n n"]:
    """0 too where one of two is not finite."""
    x = np.where(np.isfinite(values), values, np.nan).astype(float)
    return np.nan_to_num(np.sign(x[:, None] - x[None])).astype(np.int8)


def _orders(n: int) -> Int[np.ndarray, "m n"]:
    """The identity, and all other orders, or 10,000 random ones."""
    if n <= ORDERS:
        return np.array([*permutations(range(n))], dtype=int).reshape(factorial(n), n)
    random = np.random.default_rng(0).permuted(np.tile(np.arange(n), (LOTS, 1)), axis=1)
    return np.concatenate([np.arange(n)[None], random])


def _agreements(
    x: Int[np.ndarray, "n n"], y: Int[np.ndarray, "n n"], orders: Int[np.ndarray, "m n"]
) -> Int[np.ndarray, " m"]:
    """Twice S of each order."""
    size = max(1, 1_000_000 // max(1, x.size))
    parts = (orders[k : k + size] for k in range(0, len(orders), size))
    return np.concatenate(
        [(x * y[p[:, :, None], p[:, None]]).sum((1, 2), dtype=int) for p in parts]
    )
