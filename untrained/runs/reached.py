"""How far a run has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from untrained.runs.record import RunRecord, TrainingRecord
from untrained.searchers import SEARCHERS

State = Literal["searching", "training", "interrupted", "ended"]


@dataclass(frozen=True)
class Reached:
    """What a run has done, of what it is to do."""

    state: State
    "Of an `interrupted` one, the same command resumes it."
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


def reached_by(run: RunRecord) -> Reached:
    """How far this run has come."""
    return reached(
        run.config,
        len(run.trials),
        run.trainings,
        ended=run.ended,
        selected=run.selected,
        running=run.running,
    )


def reached(
    config: Mapping[str, Any],
    tried: int,
    trainings: Sequence[TrainingRecord],
    *,
    ended: bool,
    selected: str | None,
    running: bool,
) -> Reached:
    """How far a run has come.

    Args:
        config: its own, as a record has it.
        tried: how many trials there are.
        trainings: those that have begun.
        ended: whether the search has.
        selected: what it chose, without which nothing is trained.
        running: whether a driver is at work.
    """
    each = _count(config, "training", "epochs") or 0
    done = [training.finished for training in trainings]
    epochs = [each if d else len(t.epochs) for d, t in zip(done, trainings, strict=True)]
    trains = bool(config.get("train")) and selected is not None
    whole = ended and all(done) and (bool(done) or not trains)
    return Reached(
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
    searcher = SEARCHERS.get(str(config.get("searcher")))
    if searcher and searcher.rungs:  # `evaluations` are those of the first
        return None
    usual = getattr(searcher, "evaluations", None)
    asked = _count(config, "options", "evaluations")
    return usual if asked is None else asked


def _count(config: Mapping[str, Any], table: str, name: str) -> int | None:
    """A whole number of a configuration; None where it has none."""
    inner = config.get(table)
    found = inner.get(name) if isinstance(inner, Mapping) else None
    return found if isinstance(found, int) else None
