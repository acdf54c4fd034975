"""The contract of a searcher, and what it sees."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from untrained.spaces.space import Architecture, Space


class Goal(NamedTuple):
    """A score that the search ranks by."""

    score: str
    higher_is_better: bool


@dataclass(frozen=True)
class Proposal:
    """An architecture to be measured, and on which draws."""

    architecture: Architecture
    draws: tuple[int, ...]
    "Numbers of the draws of weights and probe; equal numbers, equal draws."
    note: str
    "Why, for people alone: `random`, `mutation`, `parent`, `without nor_conv_1x1 on 0-1`."
    role: str | None = field(default=None, kw_only=True)
    "What it is to the searcher, which may read it: `parent`, `start`."
    epochs: int | None = field(default=None, kw_only=True)
    """Epochs of training before the scores that ask for any; None means as many as they ask
    for."""


@dataclass(frozen=True)
class Trial(Proposal):
    """A proposal that was measured."""

    values: Mapping[str, tuple[float | None, ...]]
    "Score name -> its value on each draw; None where it failed."

    def mean(self, score: str) -> float | None:
        """Mean over the draws; None if any failed: those left would flatter it."""
        resolved = [value for value in self.values[score] if value is not None]
        return fmean(resolved) if len(resolved) == len(self.draws) else None


@dataclass(frozen=True)
class Searcher(ABC):
    """Proposes architectures from what was measured so far, and from nothing else.

    A searcher has no hidden state, so that the store of trials is its state: the same history
    and the same `rng` give the same proposals, in this process or in one that resumes it.
    """

    prunes: ClassVar[bool] = False
    "Whether it needs a space with supernets."
    rungs: ClassVar[bool] = False
    "Whether it says after how many epochs scores come, and so needs some that train."
    axes: ClassVar[bool] = False
    """Whether goals are the axes of a front, on which sizes are to be small, and not summed to one
    order."""
    anytime: ClassVar[bool] = True
    "Whether it selects from a history that was ended early."
    space: Space[Any]
    goals: tuple[Goal, ...]
    draws: int
    "Draws a proposal."

    def check(self) -> None:  # noqa: B027  # most options of a right type make sense
        """Raise ValueError for options that make no sense; their types are checked already."""

    @abstractmethod
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        """What to measure next; nothing when the search is over.

        Args:
            history: every trial so far, oldest first.
            count: how many proposals, unless the searcher needs a larger or smaller round.
            rng: feeds every random choice.
        """

    @abstractmethod
    def select(self, history: Sequence[Trial]) -> Architecture | None:
        """The best architecture of a finished search; None where nothing could be measured."""


@dataclass(frozen=True)
class AsynchronousSearcher(Searcher):
    """One that can also propose while others of its proposals are still being measured."""

    @abstractmethod
    def propose_one(
        self, history: Sequence[Trial], pending: Sequence[Proposal], rng: random.Random
    ) -> Proposal | None:
        """What to measure next; None for nothing, at least until more has been measured.

        As `propose`, a function of its arguments alone.

        Args:
            history: every trial that is measured, in the order in which their results came.
            pending: what is being measured, in the order in which it was proposed.
            rng: feeds every random choice.
        """
