"""NASI's search: one step of gradient ascent on the expected score, from the uniform policy.

Source: Shu, Cai, Dai, Ooi & Low, "NASI: Label- and Data-agnostic Neural Architecture Search at
Initialization", ICLR 2022, https://arxiv.org/abs/2109.00817.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from untrained.searchers.policy import (
    Logits,
    Vector,
    architecture_of,
    d_log_policy,
    decisions_of,
    sampled,
)
from untrained.searchers.ranks import is_sound
from untrained.searchers.searcher import Proposal, Searcher, Trial
from untrained.spaces.space import Architecture, PrunableSpace


@dataclass(frozen=True)
class NASISearch(Searcher):
    """Samples operations uniformly, takes one step towards what scores well, and ends there.

    A policy p_alpha draws an operation for each edge from a softmax of logits; where a node has
    more edges than it keeps, it draws edges too. With R_t the score of sample t of T, on draws of
    its own, and all from alpha = 0,

        G_t   = (R_t - mean R) d log p_alpha(a_t) / d alpha
        Delta = 1/T sum_t G_t / max(||G_1||, ..., ||G_t||)

    Selected are the operations with the largest Delta, ties to the first. The published search is
    that of `--scores nasi`, with a `ceiling`. Of several scores, R is the sum of their standard
    scores; a sample with a score that failed has no G.

    The expected score is the published one, and so is the step. But its gradient is estimated
    otherwise: NASI relaxes the samples by Gumbel-softmax, and differentiates the score of a
    supernet by the weights of operations. A searcher sees numbers of architectures and no
    derivatives. Its estimate has no bias and a larger variance, so that more samples may help.
    """

    prunes: ClassVar = True
    anytime: ClassVar = False
    space: PrunableSpace[Any]
    evaluations: int = 101
    "Architectures to try: T samples, and the selected one."

    def check(self) -> None:
        if self.evaluations < 3:
            raise ValueError(
                f"options.evaluations: expected a number of at least 3, two samples and the "
                f"selected architecture, got {self.evaluations!r}; try 101"
            )

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        samples, done = self.evaluations - 1, len(history)
        decisions = decisions_of(self.space)
        uniform = [np.zeros(len(decision.options)) for decision in decisions]
        if done < samples:
            draw = partial(sampled, self.space, decisions, uniform, rng)
            return [
                Proposal(self.space.drawn(draw, rng), self._draws(t), "sample")
                for t in range(done, min(done + count, samples))
            ]
        found = self._best(history[:samples]) if done == samples else None
        if found is None:
            return []
        nearest = self.space.drawn(lambda: found, rng)  # itself, unless it exceeds a limit
        return [Proposal(nearest, self._draws(samples), "step")]

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        """The last one, where its scores could be measured."""
        if len(history) < self.evaluations:
            return None
        last = history[-1]
        return last.architecture if is_sound(last, self.goals) else None

    def logits(self, samples: Sequence[Trial]) -> Logits:
        """Delta, in the order of `decisions_of` the space."""
        decisions = decisions_of(self.space)
        uniform = [np.zeros(len(decision.options)) for decision in decisions]
        delta, largest = uniform, 0.0
        for trial, reward in zip(samples, self._rewards(samples), strict=True):
            if not np.isfinite(reward):
                continue
            d_log_p = d_log_policy(self.space, decisions, uniform, trial.architecture)
            step = [reward * part for part in d_log_p]
            largest = max(largest, float(np.sqrt(sum(part @ part for part in step))))
            if largest:
                delta = [a + g / largest / len(samples) for a, g in zip(delta, step, strict=True)]
        return delta

    def _rewards(self, samples: Sequence[Trial]) -> Vector:
        """R_t - mean R over the sound samples; NaN where a score failed."""
        y = np.array(
            [[trial.mean(goal.score) for goal in self.goals] for trial in samples], dtype=float
        )
        y *= [1 if goal.higher_is_better else -1 for goal in self.goals]
        sound = np.isfinite(y).all(axis=1)
        if not sound.any():
            return np.full(len(samples), np.nan)
        y -= y[sound].mean(axis=0)
        spread = y[sound].std(axis=0)
        return (y / np.where(spread > 0, spread, 1.0)).sum(axis=1)

    def _best(self, samples: Sequence[Trial]) -> Architecture | None:
        """The architecture of the largest logits; None where no sample could be measured."""
        if not np.isfinite(self._rewards(samples)).any():
            return None
        decisions = decisions_of(self.space)
        kept = [
            np.argsort(-part, kind="stable")[: decision.keep].tolist()
            for decision, part in zip(decisions, self.logits(samples), strict=True)
        ]
        return architecture_of(self.space, decisions, kept)

    def _draws(self, sample: int) -> tuple[int, ...]:
        return tuple(range(sample * self.draws, (sample + 1) * self.draws))
