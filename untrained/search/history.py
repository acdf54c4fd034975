"""What was tried so far, and its canonical forms, kept while it grows."""

from collections.abc import Sequence, Set
from typing import Any

from untrained.search.searcher import Trial
from untrained.spaces.space import Architecture, Space


class History(list[Trial]):
    """Every trial of a run, oldest first; trials are added at its end, and none is taken away.

    To a searcher it is a sequence like others, from which it proposes the same. But each canonical
    form is computed once, and not anew for every batch.
    """

    def __init__(self, space: Space[Any], trials: Sequence[Trial] = ()):
        super().__init__(trials)
        self.space = space
        self._forms: set[Architecture] = set()
        self._seen = 0
        "Trials whose forms are known."

    def forms(self) -> Set[Architecture]:
        """The canonical forms of all trials."""
        self._forms.update(self.space.canonical(t.architecture) for t in self[self._seen :])
        self._seen = len(self)
        return self._forms


def canonical_forms(space: Space[Any], trials: Sequence[Trial]) -> Set[Architecture]:
    """The canonical forms of trials; not to be changed."""
    if isinstance(trials, History) and trials.space is space:
        return trials.forms()
    return {space.canonical(trial.architecture) for trial in trials}
