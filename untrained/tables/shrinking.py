"""A smaller space: what is left after a cheap score, and what a search finds in it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real

Values = Real[np.ndarray, " n"]


@dataclass(frozen=True)
class Shrunk:
    """A population and the share of it that a cheap score keeps."""

    kept: int
    "Architectures kept."
    mean: float
    "Mean accuracy of the kept."
    mean_all: float
    "Mean accuracy of all."
    best: float
    "Best accuracy of the kept."
    best_all: float
    "Best accuracy of all."
    top_share: float
    "Share of the hundredth with the best accuracies that is kept; by chance the share kept."
    top_ten: int
    "How many of the ten with the best accuracies are kept."


@dataclass(frozen=True)
class Found:
    """What random search with an expensive score finds, over repeats."""

    mean: float
    "Mean accuracy of the selected architectures."
    deviation: float
    "Standard deviation of the selected architectures' accuracies."
    standard_error: float
    "Of the mean: deviation / sqrt(repeats)."
    kept: int
    "Architectures that were drawn from."


def shrink(score: Values, accuracies: Values, share: float | int) -> Shrunk:
    """What is left of a population when the best by a cheap score are kept.

    max(1, round(share n)) architectures are kept. Failures go first; ties at the cut are broken
    by chance, seeded by 0, as tables have an order of their own.

    Args:
        score: higher is better; NaN, or not finite, where it failed.
        accuracies: of the same architectures.
        share: in (0, 1].

    Raises:
        ValueError: other lengths, no architecture, accuracies that are not finite, or a share
            out of range.

    Example:
        >>> accuracies = np.arange(1000) / 1000
        >>> shrink(accuracies, accuracies, 0.1)  # doctest: +ELLIPSIS
        Shrunk(kept=100, mean=0.949..., best=0.999, best_all=0.999, top_share=1.0, top_ten=10)

    Source: space reduction of Park et al., "Towards NNGP-guided Neural Architecture Search",
    2020, https://arxiv.org/abs/2011.06006; the shares of the best are ours.
    """
    kept = _kept(score, accuracies, share)
    best = np.argsort(-accuracies.astype(float), kind="stable")
    top = best[: max(1, round(len(best) / 100))]
    return Shrunk(
        kept=len(kept),
        mean=float(accuracies[kept].mean()),
        mean_all=float(accuracies.mean()),
        best=float(accuracies[kept].max()),
        best_all=float(accuracies.max()),
        top_share=float(np.isin(top, kept).mean()),
        top_ten=int(np.isin(best[:10], kept).sum()),
    )


def search_within(
    cheap: Values,
    expensive: Values,
    accuracies: Values,
    share: float | int,
    budget: int,
    repeats: int = 1000,
    seed: int = 0,
) -> Found:
    """Random search with an expensive score among what a cheap one keeps.

    Each repeat draws `budget` of the kept architectures without replacement, and selects the one
    with the best expensive score:

        selected = argmax of expensive over the draw
        mean = mean of accuracies[selected] over repeats

    Args:
        cheap: higher is better; NaN, or not finite, where it failed. Keeps as `shrink` does.
        expensive: what a search would pay for, such as validation accuracy after 4 epochs;
            a failure is selected only where all of a draw failed. Ties are broken by chance.
        accuracies: what selected architectures are judged by, and not selected by.
        share: of all, kept by the cheap score, in (0, 1]; 1 searches the whole population.
        budget: architectures drawn in a repeat.
        repeats: searches; at least 2.
        seed: of the draws.

    Raises:
        ValueError: as `shrink`; a budget that the kept cannot fill, fewer than two repeats, or
            an expensive score that is the accuracies themselves.

    Example:
        >>> accuracies = np.arange(128) / 128
        >>> search_within(accuracies, accuracies**2, accuracies, 0.25, budget=32)
        Found(mean=0.9921875, deviation=0.0, standard_error=0.0, kept=32)

    Source: as `shrink`.
    """
    kept = _kept(cheap, accuracies, share)
    if len(expensive) != len(accuracies) or np.array_equal(expensive, accuracies):
        raise ValueError(
            f"expected an expensive score of the {len(accuracies)} architectures other than the "
            f"accuracies that they are judged by, got {len(expensive)} values"
            f"{', the accuracies themselves' if len(expensive) == len(accuracies) else ''}"
        )
    if not 1 <= budget <= len(kept) or repeats < 2:
        raise ValueError(
            f"expected a budget of 1 to {len(kept)}, which share {share} keeps, and 2 repeats or "
            f"more, got a budget of {budget} and {repeats} repeats"
        )
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.choice(kept, budget, replace=False) for _ in range(repeats)])
    best = _failures_last(expensive)[draws].argmax(1)  # the first in a random order: ties by lot
    found = accuracies[draws[np.arange(repeats), best]].astype(float)
    deviation = float(found.std(ddof=1))
    return Found(float(found.mean()), deviation, deviation / repeats**0.5, len(kept))


def _kept(score: Values, accuracies: Values, share: float | int) -> Int[np.ndarray, " k"]:
    """Where the best by the score are, best first."""
    n = len(accuracies)
    if n == 0 or len(score) != n or not np.isfinite(accuracies).all():
        raise ValueError(
            f"expected a score and a finite accuracy for each architecture, got {len(score)} "
            f"and {n}, {np.isfinite(accuracies).sum()} of the latter finite"
        )
    if not 0 < share <= 1:
        raise ValueError(f"expected a share above 0 and at most 1, got {share!r}: 0.1 is a tenth")
    lots = np.random.default_rng(0).permutation(n)
    order = np.lexsort((lots, -_failures_last(score)))
    return order[: max(1, round(share * n))]


def _failures_last(score: Values) -> Float[np.ndarray, " n"]:
    return np.where(np.isfinite(score), score.astype(float), -np.inf)
