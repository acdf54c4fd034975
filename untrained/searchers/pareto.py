"""Pareto fronts: who is dominated, how crowded a front is, how much it dominates.

All points here are to be made small. A dominates B if it is nowhere larger and somewhere smaller.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
from jaxtyping import Bool, Float, Int

from untrained.searchers.ranks import is_sound
from untrained.searchers.searcher import Goal, Trial
from untrained.spaces.space import Architecture

KNEE = "knee"
Points = Float[np.ndarray, "n d"]


def front(points: Points) -> Bool[np.ndarray, " n"]:
    """Which points no other dominates; equal ones are all on the front.

    Example:
        >>> front(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 3.0], [3.0, 1.0]])).tolist()
        [True, True, False, True]
    """
    on_it = np.zeros(len(points), dtype=bool)
    order = np.lexsort(points.T[::-1])  # what comes earlier may dominate, what comes later not
    kept = np.empty((0, points.shape[1]))
    for i in order:
        equal_or_better = (kept <= points[i]).all(1)
        if not (equal_or_better & (kept < points[i]).any(1)).any():
            on_it[i] = True
            kept = np.vstack([kept, points[i]])
    return on_it


def ranks(points: Points) -> Int[np.ndarray, " n"]:
    """Number of the front that a point is on: 0 for what nothing dominates, and so on.

    Source: non-dominated sorting of Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist
    Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation 6,
    2002, https://doi.org/10.1109/4235.996017.
    """
    found = np.full(len(points), -1)
    number = 0
    while (left := np.flatnonzero(found < 0)).size:
        found[left[front(points[left])]] = number
        number += 1
    return found


def crowding(points: Points) -> Float[np.ndarray, " n"]:
    """How far the neighbours of a point on its front are apart; infinite at the ends.

        d_i = sum over axes of (x_{i+1} - x_{i-1}) / (max x - min x)

    Source: as `ranks`.

    Example:
        >>> crowding(np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])).tolist()
        [inf, 2.0, inf]
    """
    found = np.zeros(len(points))
    for x in points.T:
        order = np.argsort(x, kind="stable")
        spread = x[order[-1]] - x[order[0]] if len(x) else 0.0
        found[order[:1]] = found[order[-1:]] = inf
        if spread:
            found[order[1:-1]] += (x[order[2:]] - x[order[:-2]]) / spread
    return found


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Volume of what some point dominates, up to a reference point; exact.

        HV = volume of the union over points p of [p, reference]

    A sweep along the last axis: between two of its values lies a slab, whose height is their
    difference and whose base is the hypervolume of the points so far without that axis.

    Args:
        points: n points in one to four dimensions; those that are not smaller than the reference
            on every axis add nothing.
        reference: worse than what counts.

    Raises:
        ValueError: a reference of another dimension, or more than four.

    Example:
        >>> hypervolume(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]), (4.0, 4.0))
        6.0
    """
    bound = np.asarray(reference, dtype=float)
    if points.ndim != 2 or bound.shape != points.shape[1:] or not 1 <= len(bound) <= 4:
        raise ValueError(
            f"expected points of one to four dimensions and a reference of as many, got points "
            f"of shape {points.shape} and reference {tuple(reference)!r}"
        )
    inside = points[(points < bound).all(1)]
    return float(_volume(inside[front(inside)], bound))


def _volume(points: Points, reference: Float[np.ndarray, " d"]) -> float:
    if not len(points):
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points.min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    heights = np.diff(np.append(ordered[:, -1], reference[-1]))
    return sum(
        height * _volume(ordered[: k + 1, :-1], reference[:-1])
        for k, height in enumerate(heights)
        if height
    )


def knee(points: Points) -> int:
    """The point of a front that is farthest below the line, or plane, through its ends.

    Axes are scaled to [0, 1] over the front. In two dimensions the line joins (0, 1) and (1, 0);
    in general the plane is that of sum x = 1, so that the knee has the least sum of scaled axes,
    the first of equals. An axis along which the front is flat does not count.

    Source: Branke, Deb, Dierolf & Osswald, "Finding Knees in Multi-objective Optimization", PPSN
    2004, https://doi.org/10.1007/978-3-540-30217-9_73, has several notions; this is Das's, "On
    characterizing the knee of the Pareto curve based on Normal-Boundary Intersection", 1999.

    Example:
        >>> knee(np.array([[0.0, 10.0], [1.0, 2.0], [8.0, 0.0]]))
        1
    """
    low, spread = points.min(0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(spread > 0, spread, 1.0)
    return int(scaled.sum(1).argmin())


# Of trials


def points_of(trials: Sequence[Trial], goals: Sequence[Goal]) -> Points:
    """A point a trial, an axis a goal, the sign of one turned of which more is better."""
    signs = np.array([-1.0 if goal.higher_is_better else 1.0 for goal in goals])
    means = [[trial.mean(goal.score) for goal in goals] for trial in trials]
    return signs * np.array(means, dtype=float).reshape(len(trials), len(goals))


def comparable(trials: Sequence[Trial], goals: Sequence[Goal]) -> list[Trial]:
    """Discrete architectures without a failure, after the most epochs that any was trained for."""
    longest = max((trial.epochs or 0 for trial in trials), default=0)
    return [
        trial
        for trial in trials
        if is_sound(trial, goals)
        and not trial.architecture.partial
        and (trial.epochs or 0) == longest
    ]


def chosen(trials: Sequence[Trial], goals: Sequence[Goal], by: str = KNEE) -> Architecture | None:
    """What is chosen of the front of trials: its knee, or its best by one of the goals.

    Args:
        trials: failures, and partial architectures, are left out.
        goals: the axes.
        by: `knee`, or the score of a goal; of its equals, the knee.

    Returns:
        None where no trial is sound.
    """
    sound = comparable(trials, goals)
    if not sound:
        return None
    points = points_of(sound, goals)
    kept = np.flatnonzero(front(points))
    if by != KNEE:
        column = points[kept, [goal.score for goal in goals].index(by)]
        kept = kept[column == column.min()]
    return sound[kept[knee(points[kept])]].architecture
