"""What was tried so far, and what follows from it, kept while it grows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence, Set
from typing import Any, TypeVar

from untrained.searchers.searcher import Proposal, Trial
from untrained.spaces.space import Architecture, Space


class Summary(ABC):
    """What a searcher needs to know of a history, as a function of its trials, one by one."""

    @abstractmethod
    def add(self, trial: Trial) -> None:
        """Takes in the next trial."""


S = TypeVar("S", bound=Summary)


class History(list[Trial]):
    """Every trial of a run, oldest first; trials are added at its end, and none is taken away.

    To a searcher it is a sequence like others, from which it proposes the same. But its summaries
    are kept, so that a batch costs what its own trials cost, however many came before.
    """

    def __init__(self, space: Space[Any], trials: Sequence[Trial] = ()):
        super().__init__(trials)
        self.space = space
        self._summaries: dict[Hashable, tuple[Any, int]] = {}
        "Each with the number of trials that it has taken in."

    def summary(self, kind: Callable[..., S], *about: Hashable) -> S:
        """`kind(space, *about)` after all trials; not to be changed."""
        found, seen = self._summaries.get((kind, *about)) or (kind(self.space, *about), 0)
        for trial in self[seen:]:
            found.add(trial)
        self._summaries[kind, *about] = found, len(self)
        return found


def summary(
    space: Space[Any], trials: Sequence[Trial], kind: Callable[..., S], *about: Hashable
) -> S:
    """`kind(space, *about)` after all trials, kept where they are a `History`."""
    if not (isinstance(trials, History) and trials.space is space):
        trials = History(space, trials)
    return trials.summary(kind, *about)


class Forms(Summary):
    """The canonical forms of all trials."""

    def __init__(self, space: Space[Any]):
        self.space = space
        self.found: set[Architecture] = set()

    def add(self, trial: Trial) -> None:
        self.found.add(self.space.canonical(trial.architecture))


def canonical_forms(space: Space[Any], trials: Sequence[Trial]) -> Set[Architecture]:
    """The canonical forms of trials; not to be changed."""
    return summary(space, trials, Forms).found


def forms_of(space: Space[Any], pending: Sequence[Proposal]) -> set[Architecture]:
    """The canonical forms of proposals that are being measured."""
    return {space.canonical(proposal.architecture) for proposal in pending}
