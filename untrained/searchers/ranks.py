"""Combining scores by the sum of their ranks, never of their values.

Source: TE-NAS, https://arxiv.org/abs/2102.11535, section 3.3.
"""

from collections.abc import Sequence

import numpy as np

from untrained.searchers.searcher import Goal, Trial


def dense_ranks(values: Sequence[float | None], *, higher_is_better: bool) -> list[int]:
    """1 for the best value, equal values sharing a rank; a missing one comes after all others.

    Example:
        >>> dense_ranks([0.5, None, 0.9, 0.5], higher_is_better=True)
        [2, 3, 1, 2]
    """
    keys = np.array([np.inf if v is None else -v if higher_is_better else v for v in values])
    return (np.unique(keys, return_inverse=True)[1] + 1).tolist()


def rank_sums(trials: Sequence[Trial], goals: Sequence[Goal]) -> list[int]:
    """For each trial, the sum over goals of its rank among `trials`; lower is better."""
    columns = [
        dense_ranks(
            [trial.mean(goal.score) for trial in trials], higher_is_better=goal.higher_is_better
        )
        for goal in goals
    ]
    return [sum(ranks) for ranks in zip(*columns, strict=True)]


def is_sound(trial: Trial, goals: Sequence[Goal]) -> bool:
    """Whether every goal gave a number on every draw."""
    return all(trial.mean(goal.score) is not None for goal in goals)


def ranked(trials: Sequence[Trial], goals: Sequence[Goal]) -> list[Trial]:
    """The trials by rank sum, the lowest first, the earliest first among equals.

    A trial on which some goal failed on any draw is left out: a failure is never the best.
    """
    sound = [trial for trial in trials if is_sound(trial, goals)]
    sums = rank_sums(sound, goals) if sound else []
    return [sound[i] for i in sorted(range(len(sound)), key=sums.__getitem__)]


def best(trials: Sequence[Trial], goals: Sequence[Goal]) -> Trial | None:
    """The first of `ranked`; None where there is none."""
    return next(iter(ranked(trials, goals)), None)
