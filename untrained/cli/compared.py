"""Runs side by side, for people and for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from untrained.cli.columns import BEST, Column, directed, show_table
from untrained.cli.scored import shortly
from untrained.cli.terminal import say, tell
from untrained.pages.compared import Compared, compared, sentence
from untrained.pages.headline import headline, image_facts
from untrained.pages.measured import latest, pooled
from untrained.pages.units import duration, percent
from untrained.runs import RunRecord
from untrained.scores import Reading


def show_comparison(records: Sequence[RunRecord]) -> None:
    """One row a run: accuracy and cost, then the scores of what was selected; and the verdict."""
    names = [record.name for record in records]
    networks = [_selected(record) for record in records]
    accuracies = [None if each is None else each.accuracy for each in networks]
    best = max((a for a in accuracies if a is not None), default=None)
    together = len({str(record.images) for record in records}) == 1
    marks = [BEST if together and a is not None and a == best else " " for a in accuracies]
    show_table(
        "run",
        names,
        [
            Column(directed("test accuracy", 1), [_accuracy(record) for record in records]),
            Column("random, mean", [_randoms(record) for record in records]),
            Column("tried", [f"{len(record.trials):,}" for record in records]),
            Column("search", [_seconds(record, "search") for record in records]),
            Column("training", [_seconds(record, "training") for record in records]),
            Column("processor", [duration(_spent(record)) for record in records]),
        ],
        marks=marks,
    )
    scores = dict.fromkeys(name for record in records for name in record.directions)
    show_table(
        "run",
        names,
        [
            Column(directed(name, _direction(records, name)), [_score(r, name) for r in records])
            for name in scores
        ],
        title="Scores of the selected architecture",
    )
    for record in records:
        say(record.selected or "none", label=f"{record.name} selected", style="bold")
    if not together:
        tell("The runs have other images: their accuracies and scores do not compare.")
        return
    for said in verdicts(records):
        tell(said, style="bold")


def verdicts(records: Sequence[RunRecord]) -> list[str]:
    """Whether the best selected architecture can be told from that of each other run."""
    found = [(record, _selected(record)) for record in records]
    trained = [(record, one) for record, one in found if one is not None and one.accuracies]
    trained.sort(key=lambda pair: -(pair[1].accuracy or 0.0))
    said = []
    for record, other in trained[1:]:
        first, one = trained[0]
        named = replace(other, architecture=f"that of {record.name}")
        test = image_facts(first.images).test
        said.append(f"{first.name}: {sentence(one, named, test)}")
    return said


def _selected(record: RunRecord) -> Compared | None:
    return next((each for each in compared(record) if each.role == "selected"), None)


def _accuracy(record: RunRecord) -> str:
    """`93.1% ± 0.8`, of which the error is from the choice of test images and from trainings."""
    one, error = _selected(record), _error(record)
    if one is None or one.accuracy is None or error is None:
        return "-"
    return f"{percent(one.accuracy)} ± {100 * error:.1f}"


def _error(record: RunRecord) -> float | None:
    one = _selected(record)
    known = one is not None and one.accuracy is not None
    return one.error(image_facts(record.images).test) if one is not None and known else None


def _randoms(record: RunRecord) -> str:
    found = headline(record, None).random_accuracies
    return percent(sum(found) / len(found)) if found else "-"


def _seconds(record: RunRecord, phase: str) -> str:
    return duration(record.wall_seconds[phase]) if phase in record.wall_seconds else "-"


def _spent(record: RunRecord) -> float:
    return sum((cost.seconds for cost in record.costs), 0.0)


def _direction(records: Sequence[RunRecord], score: str) -> int | None:
    return next(record.directions[score] for record in records if score in record.directions)


def _readings(record: RunRecord) -> Mapping[str, tuple[Reading, ...]]:
    trials = [t for t in latest(record.trials) if t.architecture == record.selected]
    found = pooled(trials, lambda trial: trial.architecture)
    return found[0].readings if found else {}


def _score(record: RunRecord, name: str) -> str:
    readings = _readings(record).get(name, ())
    return shortly(readings, name in record.counts) if readings else "-"


def plain_comparison(records: Sequence[RunRecord]) -> dict[str, Any]:
    """For machines."""
    return {
        "runs": [
            {
                "run": record.name,
                "selected": record.selected,
                "scores": {n: [r.value for r in rs] for n, rs in _readings(record).items()},
                "test_accuracy": (one := _selected(record)) and one.accuracy,
                "accuracy_error": _error(record),
                "random_accuracies": list(headline(record, None).random_accuracies),
                "tried": len(record.trials),
                "wall_seconds": dict(record.wall_seconds),
                "processor_seconds": _spent(record),
            }
            for record in records
        ],
        "verdict": verdicts(records),
    }
