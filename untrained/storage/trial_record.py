"""A trial as it is kept, and as a searcher sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from untrained.scores.score import Reading as Reading
from untrained.searchers import Trial
from untrained.spaces import Space


@dataclass(frozen=True)
class TrialRecord:
    """One architecture that the searcher proposed, with every number measured on it."""

    number: int
    "Position in the run, from 0."
    batch: int
    "Which call of `propose` it came from, from 0. In a pruning search, the round."
    architecture: str
    "Text form; of a partial architecture too."
    note: str
    "Why it was proposed: `parent`, `without nor_conv_1x1 on 0-1`, `random`, `mutation`."
    readings: Mapping[str, tuple[Reading, ...]]
    "Score name -> one reading for each draw; a failed one has no value, and a reason."
    draws: tuple[int, ...] = ()
    "Numbers of the draws, of this run's seed."
    epochs: int | None = None
    "Epochs of training before scores, where the searcher chose them."
    role: str | None = None
    "What it is to the searcher: `parent` in a pruning search, `start` of a climb."
    seen: int | None = None
    """In an asynchronous search, how many trials it was proposed from, the first ones; None in
    others, where it is all those of earlier batches."""

    @classmethod
    def of(
        cls, row: Mapping[str, Any], known: Mapping[str, Reading], lost: Reading
    ) -> "TrialRecord":
        """As the store has it.

        Args:
            row: of the table `trials`.
            known: measurements by key.
            lost: what stands for those that are not known.
        """
        return cls(
            number=row["number"],
            batch=row["batch"],
            architecture=row["architecture"],
            note=row["note"],
            readings={
                score: tuple(known.get(key, lost) for key in column)
                for score, column in row["measurements"].items()
            },
            draws=tuple(row["draws"]),
            epochs=row["epochs"],
            role=row["role"],
            seen=row["seen"],
        )

    def as_trial(self, space: Space[Any]) -> Trial:
        """As a searcher sees it."""
        values = {name: tuple(r.value for r in column) for name, column in self.readings.items()}
        architecture = space.parse(self.architecture)
        return Trial(
            architecture, self.draws, self.note, values, role=self.role, epochs=self.epochs
        )
