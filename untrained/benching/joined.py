"""Runs joined with accuracies: those of a table, or others."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from untrained.benching.combined import notes_on, with_combinations
from untrained.benching.config import BenchConfig
from untrained.benching.judged import Judged
from untrained.benching.leaderboard import SHORTENED, Leaderboard
from untrained.benching.population import Sample
from untrained.benching.ranking import Known, rank_scores
from untrained.runs.config import BASELINES
from untrained.runs.record import RunRecord, record_of, seconds_of
from untrained.runs.session import OnProgress, Progress
from untrained.scores import SCORES, get_score
from untrained.storage.folder import RunFolder

TRAINING = "training before scores"
"The step of the cost ledger."


@dataclass(frozen=True)
class Measured:
    """A run, and what its scores cost."""

    folder: RunFolder
    record: RunRecord
    seconds: dict[str, float]
    "As of `Store.seconds`."

    @classmethod
    def of(cls, folder: RunFolder) -> "Measured":
        """As it is stored."""
        return cls(folder, record_of(folder), seconds_of(folder.address, folder.name))

    def known(self) -> dict[str, Known]:
        """What is known of each of its scores."""
        return {
            name: Known(
                higher_is_better=direction > 0,
                kind="baseline" if name in BASELINES else "score",
                seconds=self.cost(name),
                reason=self.reason(name),
            )
            for name, direction in self.record.directions.items()
        }

    def cost(self, score: str) -> float | None:
        """Seconds per architecture, with an equal part of the training before it; None where
        they are not known, as of training that another run did."""
        trained = [name for name in self.record.directions if self.trains(name)]
        spent = self.seconds.get(score)
        if score not in trained or spent is None:
            return spent
        training = sum(cost.seconds for cost in self.record.costs if cost.step == TRAINING)
        share = training / len(trained) / len({t.architecture for t in self.record.trials})
        return spent + share if training else None

    def trains(self, score: str) -> bool:
        """Whether it is taken after training, so far as its name and the settings say."""
        name, _, epochs = score.partition("@")
        if epochs:
            return epochs != "0"
        settings = self.record.config["score_settings"]
        assert isinstance(settings, dict)
        # What a store names is not imported for this; a bench has imported it.
        at_hand = name in SCORES or name.partition(":")[0] in sys.modules
        usual = get_score(name).epochs if at_hand else 0
        return bool(settings.get(name, {}).get("epochs", usual))

    def reason(self, score: str) -> str:
        """Why it failed, most often; empty where it did not."""
        reasons = Counter(
            reading.reason
            for trial in self.record.trials
            for reading in trial.readings.get(score, ())
            if reading.value is None
        )
        return reasons.most_common(1)[0][0] if reasons else ""


def as_measuring(
    config: BenchConfig, architectures: Sequence[str], on_progress: OnProgress
) -> OnProgress:
    """`on_progress`, told of scores where a run, given what it measures, speaks of a sweep."""
    phase = f"{len(config.measured)} scores of {len(architectures):,} architectures"

    def tell(progress: Progress) -> None:
        measuring = progress.phase.startswith(("search", "sweep"))
        on_progress(progress._replace(phase=phase) if measuring else progress)

    return tell


@dataclass(frozen=True)
class Accuracies:
    """By what scores are judged."""

    frame: pl.DataFrame
    "`architecture`, the accuracies' column, and those of `shortened`."
    column: str
    "Of the accuracies; an architecture where it is not finite is left out."
    shortened: Mapping[str, float | None] = field(default_factory=dict)
    "Columns of accuracies after a shorter training -> mean seconds of it, if known."
    notes: tuple[str, ...] = ()
    "What must be known of them."
    few: bool = False
    "Whether fewer than 20 will do."


def accuracies_of(judged: Judged, sample: Sample) -> Accuracies:
    """Those of a table."""
    rows = judged.table.found(sample.architectures)
    shortened: dict[str, Any] = {
        column: rows[seconds].mean() if seconds else None
        for column, seconds in judged.shortened.items()
    }
    chosen = [pl.col("asked").alias("architecture"), *map(pl.col, (judged.column, *shortened))]
    note = (
        f"{', '.join(shortened)}: validation accuracies of the table, after a shorter training; "
        f"their seconds, where known, are those of the table's hardware."
    )
    return Accuracies(rows.select(chosen), judged.column, shortened, (note,) if shortened else ())


def leaderboard_of(
    runs: Sequence[Measured],
    accuracies: Accuracies,
    population: str,
    config: BenchConfig,
    on_progress: OnProgress,
) -> Leaderboard:
    """The leaderboard of all scores of the runs, on those architectures of the first that have an
    accuracy.

    Raises:
        ValueError: as `rank_scores`.
    """
    first, *others = runs
    values = first.record.frame().unique(
        ("architecture", "draw"), keep="last", maintain_order=True
    )
    for other in others:
        beside = other.record.frame().filter(pl.col("draw") == 0).drop("draw")
        values = values.join(beside, on="architecture", how="left", maintain_order="left")
    joined = accuracies.frame.join(values, on="architecture", maintain_order="left")
    known = {name: each for run in runs for name, each in run.known().items()}
    for column, seconds in accuracies.shortened.items():
        known[column] = Known(True, SHORTENED, seconds)
    judged = joined.filter(pl.col(accuracies.column).is_finite())
    values, known = with_combinations(judged, accuracies.column, known, config.combinations)
    return rank_scores(
        values,
        accuracies.column,
        known,
        population=population,
        thresholds=config.thresholds,
        resamples=config.resamples,
        notes=(*_notes(first.record), *accuracies.notes, *notes_on(config.combinations)),
        few=accuracies.few,
        on_progress=on_progress,
    )


def _notes(record: RunRecord) -> list[str]:
    """What was measured, and what of it is not like the rest."""
    asked = record.config
    notes = [
        f"Scores were measured on images of {record.images['name']}, with {asked['draws']} "
        f"draw{'s' if asked['draws'] != 1 else ''} of weights and images, seed {asked['seed']}, "
        f"on {asked['device']}."
    ]
    if any(r.value is None for t in record.trials for c in t.readings.values() for r in c):
        notes.append(
            "A score that failed on some architectures is judged on the others: its population "
            "is another one. tau_failed_last in the files ranks failures below all else."
        )
    return notes
