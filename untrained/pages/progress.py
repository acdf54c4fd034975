"""How far a run has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from untrained.runs.record import RunRecord, TrainingRecord
from untrained.searchers import SEARCHERS

UNKNOWN = frozenset({"halving"})
"Searchers whose `evaluations` are not all that they propose."


@dataclass(frozen=True)
class Progress:
    """What a run has done, of what it is to do."""

    state: Literal["searching", "training", "interrupted", "ended"]
    tried: int
    "Trials."
    planned: int | None
    "Trials of the whole search at most; None where that is not known."
    trained: int
    "Networks whose training is done."
    trainings: int
    epochs: int
    "Of all trainings; those that ended early count as whole."
    planned_epochs: int

    @property
    def goes_on(self) -> bool:
        """Whether a driver is at work."""
        return self.state in ("searching", "training")


def progress_of(run: RunRecord) -> Progress:
    """The progress of a run."""
    return progress(
        run.config,
        len(run.trials),
        run.trainings,
        ended=run.ended,
        running=run.running,
    )


def progress(
    config: Mapping[str, Any],
    tried: int,
    trainings: Sequence[TrainingRecord],
    *,
    ended: bool,
    running: bool,
) -> Progress:
    """The progress of a run that has come so far.

    Args:
        config: its own, as the store holds it.
        tried: how many trials there are.
        trainings: those that have begun.
        ended: whether the search has.
        running: whether a driver is at work.
    """
    each = _count(config, "training", "epochs") or 0
    done = [t.test_accuracy is not None or bool(t.reason) for t in trainings]
    epochs = [each if d else len(t.epochs) for d, t in zip(done, trainings, strict=True)]
    whole = ended and all(done) and (bool(done) or not config.get("train"))
    return Progress(
        state=("training" if ended else "searching")
        if running
        else ("ended" if whole else "interrupted"),
        tried=tried,
        planned=_planned(config),
        trained=sum(done),
        trainings=len(trainings),
        epochs=sum(epochs),
        planned_epochs=each * len(trainings),
    )


def _planned(config: Mapping[str, Any]) -> int | None:
    """Trials of the whole search: what is asked, or what is usual of the searcher."""
    if (count := _count(config, "population", "count")) is not None:
        return count
    searcher = str(config.get("searcher"))
    if searcher in UNKNOWN:
        return None
    usual = getattr(SEARCHERS.get(searcher), "evaluations", None)
    asked = _count(config, "options", "evaluations")
    return usual if asked is None else asked


def _count(config: Mapping[str, Any], table: str, name: str) -> int | None:
    """A whole number of a configuration; None where it has none."""
    inner = config.get(table)
    found = inner.get(name) if isinstance(inner, Mapping) else None
    return found if isinstance(found, int) else None
