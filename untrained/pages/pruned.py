"""The rounds of a pruning search, read off its architectures, and what each removed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from untrained.runs.record import RunRecord
from untrained.spaces import Architecture, PrunableSpace, Space


@dataclass(frozen=True)
class Pruning:
    """What one round of a pruning search removed."""

    round: int
    "From 1."
    candidates: int
    "Removals that were scored."
    removed: tuple[str, ...]
    "`nor_conv_1x1 on 0-1`."


def parents(run: RunRecord, space: Space[Any] | None) -> Mapping[int, str]:
    """Batch -> the partial architecture that its round starts from; empty for other searches.

    A round measures a parent, and all that is left of it without one operation or edge that it
    can lose. So it is known by its architectures, whatever searcher made it.

    Args:
        run: any run.
        space: the run's, where it is at hand.
    """
    found: dict[int, str] = {}
    if not isinstance(space, PrunableSpace):
        return found
    for batch, trials in groupby(run.trials, key=lambda trial: trial.batch):
        parent = _parent(space, list(dict.fromkeys(trial.architecture for trial in trials)))
        if parent is None:
            break
        found[batch] = parent
    return found


def _parent(space: PrunableSpace[Any], texts: Sequence[str]) -> str | None:
    """The one of which the others are all removals; None where there is none."""
    for text in texts:
        try:
            architecture = space.parse(text)
        except ValueError:  # of another version of the space
            return None
        if _removals(space, architecture) == set(texts) - {text} != set():
            return text
    return None


def _removals(space: PrunableSpace[Any], parent: Architecture) -> set[str]:
    crowds = [choice for crowd in space.crowded(parent) for choice in crowd.choices]
    return {str(space.without(parent, c)) for c in space.choices(parent) or crowds}


def prunings(run: RunRecord, space: Space[Any] | None) -> tuple[Pruning, ...]:
    """Each round's removals: what its parent has and the next one, or the selected, has not."""
    starts = parents(run, space)
    if not isinstance(space, PrunableSpace):
        return ()
    scored = Counter(t.batch for t in run.trials if t.architecture != starts.get(t.batch))
    ends = [*list(starts.values())[1:], *([run.selected] if run.selected is not None else [])]
    return tuple(
        Pruning(batch + 1, scored[batch], _removed(space, parent, after))
        for (batch, parent), after in zip(starts.items(), ends, strict=False)
    )


def _removed(space: PrunableSpace[Any], before: str, after: str) -> tuple[str, ...]:
    left = space.kept(space.parse(after))
    gone = (choice for choice in space.kept(space.parse(before)) if choice not in left)
    return tuple(map(space.describe, gone))
