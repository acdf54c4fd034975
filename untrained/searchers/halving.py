"""Successive halving: many networks trained a little, the better of them trained more.

Source: Jamieson & Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016, https://arxiv.org/abs/1502.07943. There the validation loss judges;
here any score that comes after training does, such as `label_alignment`. Asynchronously: Li,
Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht & Talwalkar, "A System for Massively
Parallel Hyperparameter Tuning" (ASHA), MLSys 2020, https://arxiv.org/abs/1810.05934, algorithm 2.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, ClassVar

from untrained.searchers.history import History, Summary, summary
from untrained.searchers.random_search import RandomSearch
from untrained.searchers.ranks import ranked
from untrained.searchers.searcher import AsynchronousSearcher, Goal, Proposal, Trial
from untrained.spaces.space import Architecture, Space


@dataclass(frozen=True)
class SuccessiveHalving(AsynchronousSearcher):
    """Rung r has n_r networks after e_r epochs, the best n_r of the rung before.

        n_r = ceil(n / f^r),    e_r = e f^r

    as long as n_r is 2 or more. Scores come after e_r epochs, whatever they ask for; those that
    ask for none are taken at initialisation on every rung. Where the recipe is steady, a network
    of a rung is trained on from the rung before.

    An asynchronous search (ASHA) waits for no rung to be whole: a network is promoted to the next
    as soon as it is among the best floor(m / f) of the m that its own has by then. The highest
    rung comes first; where none can be promoted, the first rung gets another network, up to n. So
    a few are promoted too early, and rungs may end a little larger than n_r.
    """

    rungs: ClassVar = True
    evaluations: int = 27
    "n, architectures of the first rung."
    factor: int = 3
    "f: of the networks of a rung, one in so many continues, for so many times the epochs."
    epochs: int = 1
    "e, epochs before the scores of the first rung."

    def check(self) -> None:
        if self.factor < 2:
            raise ValueError(
                f"options.factor: expected a number of at least 2, got {self.factor!r}; try 3"
            )

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        rungs = summary(self.space, history, Rungs, self.goals)
        first = rungs.of(self.epochs)
        if len(first) < self.evaluations:
            sampler = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
            if proposals := sampler.propose(first, count, rng):
                return [replace(proposal, epochs=self.epochs) for proposal in proposals]
        epochs = self.epochs
        for size in self._sizes():
            survivors, epochs = rungs.ranked(epochs)[:size], epochs * self.factor
            done = len(rungs.of(epochs))
            left = survivors[done : done + count]
            if left:
                note = f"rung of {epochs} epochs"
                return [
                    Proposal(trial.architecture, trial.draws, note, epochs=epochs)
                    for trial in left
                ]
        return []

    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        rungs = summary(self.space, history, Rungs, self.goals)
        for r in reversed(range(len(self._sizes()))):
            below, epochs = (self.epochs * self.factor**k for k in (r, r + 1))
            best = rungs.ranked(below)[: len(rungs.of(below)) // self.factor]
            promoted = {trial.architecture for trial in rungs.of(epochs)}
            promoted |= {each.architecture for each in pending if each.epochs == epochs}
            for trial in best:
                if trial.architecture not in promoted:
                    note = f"rung of {epochs} epochs"
                    return Proposal(trial.architecture, trial.draws, note, epochs=epochs)
        first = [each for each in pending if each.epochs == self.epochs]
        sampler = RandomSearch(self.space, self.goals, self.draws, self.evaluations)
        found = sampler.propose_one(rungs.of(self.epochs), first, rng)
        return found and replace(found, epochs=self.epochs)

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        longest = max((trial.epochs or 0 for trial in history), default=0)
        found = ranked([trial for trial in history if trial.epochs == longest], self.goals)
        return found[0].architecture if found else None

    def _sizes(self) -> list[int]:
        """n_1, n_2, ..., of the rungs after the first."""
        sizes, size = [], self.evaluations
        while (size := ceil(size / self.factor)) > 1:
            sizes.append(size)
        return sizes


class Rungs(Summary):
    """The trials after each number of epochs."""

    def __init__(self, space: Space[Any], goals: Sequence[Goal]):
        self.space, self.goals = space, goals
        self._trials: dict[int | None, History] = {}
        self._ranked: dict[int | None, list[Trial]] = {}

    def add(self, trial: Trial) -> None:
        self._trials.setdefault(trial.epochs, History(self.space)).append(trial)
        self._ranked.pop(trial.epochs, None)

    def of(self, epochs: int) -> History:
        """Those after so many epochs, oldest first."""
        return self._trials.get(epochs, History(self.space))

    def ranked(self, epochs: int) -> list[Trial]:
        """Those after so many epochs without a failure, the best first."""
        if epochs not in self._ranked:
            self._ranked[epochs] = ranked(self.of(epochs), self.goals)
        return self._ranked[epochs]
