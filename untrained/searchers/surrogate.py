"""Search by a surrogate: few draws of many architectures, their noise removed by regression.

A score on one draw is mostly noise among good architectures: more draws of each would remove it,
at the price of seeing fewer. But architectures share operations. A regression of the score on the
operations that an architecture keeps, and on pairs of these, pools the draws of all that share
them, and predicts the rest. Where a space has no operations on edges, it is its choices, by
`Space.features`, that architectures share.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import scipy  # whose `stats` take a second, and are imported when they are used
from jaxtyping import Float

from untrained.searchers.history import Summary, canonical_forms, forms_of, summary
from untrained.searchers.ranks import is_sound
from untrained.searchers.searcher import AsynchronousSearcher, Goal, Proposal, Trial
from untrained.searchers.within import neighbours_within, sample_within, unrestricted
from untrained.spaces.space import Architecture, Space

Vector = Float[np.ndarray, " n"]
Features = Mapping[str, float | str]

MOST = 4000
"Trials of a regression, and predictions that are made at a time."
RIDGES = 10.0 ** np.arange(-1, 4.1, 0.5)
DRAW = 10.0
"Variance of a draw's own effect beside that of one feature; large, so that it is fitted."


@dataclass(frozen=True)
class SurrogateSearch(AsynchronousSearcher):
    """Architectures at random, then those that a regression predicts to be best.

    Where the space has a supernet, architectures are those that it holds. With y_s the values of
    score s as normal scores, higher is better, and m the number of features that two architectures
    share (see `overlaps`), the prediction for an architecture a is

        f(a) = sum_s f_s(a),    f_s = kernel ridge regression of y_s,    k = m + m (m - 1) / 2

    where k is the inner product of features and of pairs of them. Each score's ridge has the
    least error when every architecture is predicted from all others. A draw of weights and probe
    is shared by `group` architectures and has an effect of its own, which is fitted and left out
    of the prediction. Selected is the measured architecture with the highest prediction. Time
    grows with the cube of the number of trials, up to `MOST`: the regression is of the last.

    In an asynchronous search, predictions are renewed whenever `group` more results have come.
    """

    evaluations: int = 220
    "Architectures to try."
    explore: int = 160
    "Of these, architectures drawn at random; the others are predicted to be the best."
    group: int = 20
    "Architectures that share draws, and are proposed together."

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return self._new(history, (), self.group, rng, partial(self.predicted_best, history))

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        latest = summary(self.space, history, Predictions, self).best
        return next(iter(self._new(history, pending, 1, rng, latest)), None)

    def _new(
        self,
        history: Sequence[Trial],
        pending: Sequence[Proposal],
        count: int,
        rng: random.Random,
        predicted_best: Callable[[], list[Architecture]],
    ) -> list[Proposal]:
        seen, under_way = canonical_forms(self.space, history), forms_of(self.space, pending)
        proposed, random_ones = len(history) + len(pending), min(self.explore, self.evaluations)
        exploring = proposed < random_ones
        left = (random_ones if exploring else self.evaluations) - proposed
        count = min(count, left)
        if count < 1:
            return []
        _, is_kept = unrestricted(self.space)
        found: dict[Architecture, Architecture] = {}  # by canonical form
        candidates: Iterable[Architecture] = (
            (sample_within(self.space, rng) for _ in range(100 * count))
            if exploring or not history
            else predicted_best()
        )
        for architecture in candidates:
            if len(found) >= count:
                break
            canonical = self.space.canonical(architecture)
            if canonical not in seen and canonical not in under_way and is_kept(architecture):
                found.setdefault(canonical, architecture)
        note = "random" if exploring else "predicted"
        return [
            Proposal(architecture, self._draws(proposed + i), note)
            for i, architecture in enumerate(found.values())
        ]

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        sound = [trial for trial in history if is_sound(trial, self.goals)]
        if not sound:
            return None
        predictions = self._fitted(history)([trial.architecture for trial in sound])
        return sound[int(predictions.argmax())].architecture

    def _draws(self, number: int) -> tuple[int, ...]:
        first = number // self.group * self.draws
        return tuple(range(first, first + self.draws))

    def predicted_best(self, history: Sequence[Trial]) -> list[Architecture]:
        """By falling prediction: what is met on the way up from the best measured ones.

        The way is one of architectures that are kept of the space; of what lies beside it, only
        those that would be the next step are asked whether they are.
        """
        whole, is_kept = unrestricted(self.space)
        predict = self._fitted(history)
        measured = list(dict.fromkeys(trial.architecture for trial in history[-MOST:]))
        predicted = dict(zip(measured, predict(measured), strict=True))
        climbers = sorted(measured, key=predicted.__getitem__, reverse=True)[:CLIMBERS]
        while climbers:
            around = {climber: neighbours_within(whole, climber) for climber in climbers}
            new = [a for a in dict.fromkeys(chain(*around.values())) if a not in predicted]
            if new:
                predicted |= dict(zip(new, predict(new), strict=True))
            tops = dict[Architecture, None]()
            for climber, near in around.items():
                higher = (a for a in near if predicted[a] > predicted[climber])
                best_first = sorted(higher, key=predicted.__getitem__, reverse=True)
                tops |= dict.fromkeys(islice(filter(is_kept, best_first), 1))
            climbers = [*tops]
        return sorted(predicted, key=predicted.__getitem__, reverse=True)

    def _fitted(self, history: Sequence[Trial]) -> Callable[[Sequence[Architecture]], Vector]:
        """f, of any architectures."""
        features, history = self.space.features, history[-MOST:]
        known = [features(trial.architecture) for trial in history]
        draws = np.array([trial.draws[0] for trial in history])
        gram = overlaps(known, known) + DRAW * (draws[:, None] == draws)
        decomposed = np.linalg.eigh(gram)
        alphas = [dual(*decomposed, normal_scores(history, goal)) for goal in self.goals]
        alpha = np.sum(alphas, axis=0)

        def predict(asked: Sequence[Architecture]) -> Vector:
            portions = (asked[k : k + MOST] for k in range(0, len(asked), MOST))
            return np.concatenate(
                [overlaps([features(a) for a in portion], known) @ alpha for portion in portions]
            )

        return predict


class Predictions(Summary):
    """What is predicted to be best, by a regression of whole groups of trials."""

    def __init__(self, space: Space[Any], searcher: SurrogateSearch):
        self.searcher = searcher
        self._trials: list[Trial] = []
        self._fitted, self._best = 0, list[Architecture]()

    def add(self, trial: Trial) -> None:
        self._trials.append(trial)

    def best(self) -> list[Architecture]:
        """By falling prediction, from the first trials, of which there is one at least."""
        group = self.searcher.group
        whole = len(self._trials) // group * group or len(self._trials)
        if whole != self._fitted:
            self._fitted, self._best = whole, self.searcher.predicted_best(self._trials[:whole])
        return self._best


CLIMBERS = 16
"Measured architectures from which predictions are followed upwards."


def overlaps(a: Sequence[Features], b: Sequence[Features]) -> Float[np.ndarray, "n m"]:
    """k = m + m (m - 1) / 2, with m the number of features shared.

    A word is shared or not. Of a number x with the levels l_1 < ... < l_L in `a` and `b`, two
    architectures share 1 - |i - j| / (L - 1), with l_i and l_j theirs: nearly all between
    neighbouring levels, nothing between the extremes.
    """
    levels: dict[str, set[float | str]] = {}
    for name, value in chain.from_iterable(each.items() for each in (*a, *b)):
        levels.setdefault(name, set()).add(value)
    encoded = {name: _codes(found) for name, found in levels.items()}
    columns = dict(zip(encoded, np.cumsum([0, *map(_width, encoded.values())]), strict=False))

    def codes(rows: Sequence[Features]) -> np.ndarray:
        matrix = np.zeros((len(rows), sum(map(_width, encoded.values()))))
        for row, features in zip(matrix, rows, strict=True):
            for name, value in features.items():
                code = encoded[name][value]
                row[columns[name] : columns[name] + len(code)] = code
        return matrix

    shared = codes(a) @ codes(b).T
    return shared * (shared + 1) / 2


def _codes(levels: set[float | str]) -> dict[float | str, Vector]:
    """A vector for each level, whose inner products are the share that two levels have."""
    ordered = sorted(levels, key=lambda level: (isinstance(level, str), level))
    if len(ordered) == 1 or any(isinstance(level, str) for level in ordered):
        return dict(zip(ordered, np.eye(len(ordered)), strict=True))
    above = np.tri(len(ordered), len(ordered) - 1, -1)  # row i: 1 for each level below l_i
    codes = np.hstack([above, 1 - above]) / np.sqrt(len(ordered) - 1)
    return dict(zip(ordered, codes, strict=True))


def _width(codes: Mapping[float | str, Vector]) -> int:
    return len(next(iter(codes.values())))


def normal_scores(trials: Sequence[Trial], goal: Goal) -> Vector:
    """Quantiles of the normal distribution by rank, higher is better; a failure ranks last."""
    sign = 1 if goal.higher_is_better else -1
    means = [trial.mean(goal.score) for trial in trials]
    ranks = scipy.stats.rankdata([-np.inf if mean is None else sign * mean for mean in means])
    return scipy.stats.norm.ppf((ranks - 0.5) / len(trials))


def dual(values: Vector, vectors: Float[np.ndarray, "n n"], y: Vector) -> Vector:
    """The coefficients of kernel ridge regression, which predicts by k(x, X) alpha.

        alpha = (K + r)^-1 (y - mean y),    error of leaving out i = alpha_i / (K + r)^-1_ii

    The ridge r is the one of `RIDGES` with the least mean square of these errors.

    Args:
        values: eigenvalues of K.
        vectors: its eigenvectors, one a column.
        y: to be predicted.
    """
    rotated = vectors.T @ (y - y.mean())
    alphas, errors = [], []
    for ridge in RIDGES:
        alpha = vectors @ (rotated / (values + ridge))
        alphas.append(alpha)
        errors.append(float(((alpha / (vectors**2 @ (1 / (values + ridge)))) ** 2).mean()))
    return alphas[int(np.argmin(errors))]
