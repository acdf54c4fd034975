"""What a sample of architectures can tell of a score, however small it is."""

from itertools import permutations
from math import factorial

import numpy as np
from jaxtyping import Int
from scipy.stats import kendalltau

from untrained.tables.agreement import Values, check_lengths

ORDERS, MANY = 8, 20
"""Architectures up to which all orders are gone through, 40,320, and beyond which the distribution
of tau is known well enough."""
LOTS = 10_000
"Random orders, and random samples of which an interval is made."


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
    x, y = _signs(scores[sound]), _signs(accuracies[sound])
    seen = abs(int((x * y).sum(dtype=int)))
    if n <= ORDERS:
        orders = np.array([*permutations(range(n))], dtype=int).reshape(factorial(n), n)
        return float((np.abs(_agreements(x, y, orders)) >= seen).mean())
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(n), (LOTS, 1)), axis=1)
    as_much = (np.abs(_agreements(x, y, orders)) >= seen).sum()
    return float(1 + as_much) / (1 + LOTS)


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
    return np.sign(values[:, None].astype(float) - values[None].astype(float)).astype(np.int8)


def _agreements(
    x: Int[np.ndarray, "n n"], y: Int[np.ndarray, "n n"], orders: Int[np.ndarray, "m n"]
) -> Int[np.ndarray, " m"]:
    """Twice S of each order."""
    size = max(1, 1_000_000 // max(1, x.size))
    parts = (orders[k : k + size] for k in range(0, len(orders), size))
    return np.concatenate(
        [(x * y[p[:, :, None], p[:, None]]).sum((1, 2), dtype=int) for p in parts]
    )
