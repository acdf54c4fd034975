"""REINFORCE: a policy that learns which operations are rewarded.

Source: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
Learning", Machine Learning 8, 1992; in architecture search Zoph & Le, "Neural Architecture Search
with Reinforcement Learning", ICLR 2017, https://arxiv.org/abs/1611.01578; as here, with one
distribution an edge and no recurrent network, Dong & Yang, "NAS-Bench-201", ICLR 2020,
https://arxiv.org/abs/2001.00326, section 4, and Chen et al., "Understanding and Accelerating
Neural Architecture Search with Training-Free and Theory-Grounded Metrics" (TEG-NAS),
https://arxiv.org/abs/2108.11939.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, ClassVar

import numpy as np

from untrained.searchers.history import Summary, canonical_forms, summary
from untrained.searchers.policy import (
    Logits,
    d_entropy,
    d_log_policy,
    decisions_of,
    sampled,
)
from untrained.searchers.ranks import best
from untrained.searchers.searcher import Goal, Proposal, Searcher, Trial
from untrained.spaces.space import Architecture, PrunableSpace

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
"Adam's decay of the first and of the second moment, and its offset."
TRIES = 10
"Samples of the policy in search of an architecture that is not measured yet."


@dataclass(frozen=True)
class Reinforce(Searcher):
    """Samples a policy, and raises the probability of what was rewarded above the average.

    The policy p_theta draws an operation for each edge from a softmax of logits. Where a node has
    more edges than it keeps, as in DARTS, it draws edges in the same way, without replacement.
    Each trial t of the history, in order, is one step of Adam along

        g_t = (r_t - b_t) d log p_theta(a_t) / d theta + entropy * d H(theta) / d theta
        b_1 = r_1,    b_{t+1} = momentum * b_t + (1 - momentum) * r_t

    with H the sum of the entropies of the softmaxes. The reward r_t is the mean over goals of the
    share of the trials up to t that t beats, where equals count half; 0 where a goal failed. The
    published one is the metric itself, which has no meaning across several goals.

    Two more departures. Proposals of one batch are samples of one policy, so a batch of 1 is the
    published algorithm. And what was measured is sampled anew, up to `TRIES` times; so is what
    exceeds a limit, which p_theta does not know of.
    """

    prunes: ClassVar = True
    space: PrunableSpace[Any]
    evaluations: int = 100
    "Architectures to try."
    learning_rate: float = 0.04
    "Adam's step, above 0."
    momentum: float = 0.9
    "Of the average of rewards that is the baseline; from 0 to below 1."
    entropy: float = 0.0
    "Weight of the policy's entropy, which keeps it from settling early; at least 0."

    def check(self) -> None:
        for name, fits, expected in (
            ("learning_rate", self.learning_rate > 0, "above 0, such as 0.04"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1, such as 0.9"),
            ("entropy", self.entropy >= 0, "of at least 0, such as 0.01"),
        ):
            if not fits:
                raise ValueError(
                    f"options.{name}: expected a number {expected}, got {getattr(self, name)!r}"
                )

    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        if len(history) >= self.evaluations:
            return []
        seen, new = canonical_forms(self.space, history), set[Architecture]()
        policy = self.policy(history)
        found = []
        for _ in range(min(count, self.evaluations - len(history))):
            for _ in range(TRIES):
                draw = partial(sampled, self.space, policy.decisions, policy.logits, rng)
                architecture = self.space.drawn(draw, rng)
                canonical = self.space.canonical(architecture)
                if canonical not in seen and canonical not in new:
                    break
            new.add(canonical)
            found.append(Proposal(architecture, tuple(range(self.draws)), "policy"))
        return found

    def select(self, history: Sequence[Trial]) -> Architecture | None:
        found = best(history, self.goals)
        return found.architecture if found else None

    def policy(self, history: Sequence[Trial]) -> "Policy":
        """The policy that the history has led to."""
        steps = self.learning_rate, self.momentum, self.entropy
        return summary(self.space, history, Policy, self.goals, *steps)


class Policy(Summary):
    """theta, after a step of Adam for each trial."""

    def __init__(
        self,
        space: PrunableSpace[Any],
        goals: Sequence[Goal],
        learning_rate: float,
        momentum: float,
        entropy: float,
    ):
        self.space = space
        self.decisions = decisions_of(space)
        self.rewards = Rewards(goals)
        self.learning_rate, self.momentum, self.entropy = learning_rate, momentum, entropy
        self.ends = np.cumsum([len(decision.options) for decision in self.decisions])
        self.theta, self.first, self.second = np.zeros((3, self.ends[-1]))
        self.t = 0
        self.b = 0.0

    @property
    def logits(self) -> Logits:
        """theta, decision by decision."""
        return np.split(self.theta, self.ends[:-1])

    def add(self, trial: Trial) -> None:
        r = self.rewards.add(trial)
        b = self.b if self.t else r
        d_log_p = d_log_policy(self.space, self.decisions, self.logits, trial.architecture)
        gradient = (r - b) * np.concatenate(d_log_p)
        if self.entropy:
            gradient += self.entropy * np.concatenate([d_entropy(part) for part in self.logits])
        self.t += 1
        self.b = self.momentum * b + (1 - self.momentum) * r
        self.first = FIRST * self.first + (1 - FIRST) * gradient
        self.second = SECOND * self.second + (1 - SECOND) * gradient**2
        mean, square = self.first / (1 - FIRST**self.t), self.second / (1 - SECOND**self.t)
        self.theta = self.theta + self.learning_rate * mean / (np.sqrt(square) + EPSILON)


class Rewards:
    """For each trial, the mean over goals of the share of the trials up to it that it beats.

    Equals, itself among them, count half. A trial with a goal that failed on any draw has reward
    0, and every other beats it.
    """

    def __init__(self, goals: Sequence[Goal]):
        self.goals = goals
        self._columns: list[list[float]] = [[] for _ in goals]
        "For each goal, what every trial measured, higher is better, in rising order."

    def add(self, trial: Trial) -> float:
        """The reward of the next trial."""
        means = [trial.mean(goal.score) for goal in self.goals]
        failed = None in means
        beaten = 0.0
        for goal, mean, column in zip(self.goals, means, self._columns, strict=True):
            y = -inf if failed or mean is None else mean if goal.higher_is_better else -mean
            lower = bisect_left(column, y)
            equals = bisect_right(column, y) - lower + 1
            column.insert(lower, y)
            beaten += lower + equals / 2
        return 0.0 if failed else beaten / sum(map(len, self._columns))
