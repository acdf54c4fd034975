"""A run as it is kept: what was asked, tried, measured, trained, and what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from untrained.runs.budget import Budgeted
from untrained.runs.identity import calibration_of
from untrained.searchers import Trial
from untrained.spaces import Space
from untrained.storage.address import Address
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store
from untrained.storage.trial_record import TrialRecord
from untrained.training.epoch import Epoch

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class TrainingRecord:
    """One network trained to the end, or as far as it got."""

    architecture: str
    role: str
    "`selected`, `random`, or `reference` for a network by name."
    parameters: int
    "Number of trainable parameters."
    macs: int
    "Multiply-adds for one image."
    epochs: tuple[Epoch, ...]
    best_epoch: int | None
    "Number of the epoch whose weights were kept, the one with the best validation accuracy."
    test_accuracy: float | None
    "In [0, 1]; None until trained, or if training failed."
    confusion: tuple[tuple[int, ...], ...] | None
    "Test images by true class (row) and predicted class (column)."
    reason: str
    "Why training ended early; empty if it did not."
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether nothing of it is to come: it has its accuracy, or has ended early."""
        return self.test_accuracy is not None or bool(self.reason)

    @property
    def validation_accuracy(self) -> float | None:
        """Of the weights that were kept, in [0, 1]; None where training failed."""
        kept = [e.validation_accuracy for e in self.epochs if e.number == self.best_epoch]
        return None if self.reason or not kept else kept[0]


@dataclass(frozen=True)
class Shrunk:
    """What a cheap score discarded of the space before it was searched."""

    score: str
    share: float
    "That it was to keep."
    threshold: float
    "The least value, or the largest where lower is better, that is kept."
    higher_is_better: bool
    values: Mapping[str, float | None]
    "Random architecture of the whole space -> its value; None where the score failed."

    def keeps(self, value: float | None) -> bool:
        """Whether an architecture with this value is kept; none that failed is."""
        if value is None:
            return False
        return value >= self.threshold if self.higher_is_better else value <= self.threshold

    @property
    def discarded(self) -> tuple[str, ...]:
        """Those of the random architectures that are not kept, the best first, failures last."""
        sign = -1 if self.higher_is_better else 1
        gone = [(text, v) for text, v in self.values.items() if not self.keeps(v)]
        gone.sort(key=lambda each: (each[1] is None, sign * (each[1] or 0.0)))
        return tuple(text for text, _ in gone)


@dataclass(frozen=True)
class Limited:
    """What limits leave of a space."""

    limits: Mapping[str, float]
    "Quantity -> the most of it."
    drawn: int
    "Random architectures of the whole space that were compared with the limits."
    within: int
    "How many of them are within."
    tries: int
    "Architectures drawn for one that is within, before one is walked to."


@dataclass(frozen=True)
class CalibratedScore:
    """How a score ranks networks that were trained for it."""

    score: str
    tau: float | None = None
    """Kendall's tau-b of the score, higher meaning better, and the accuracies; where it failed, a
    network is below all others, as it is for the search. None for a `reason`."""
    low: float | None = None
    "Lower end of the 95 % interval of tau."
    high: float | None = None
    "Upper end."
    p: float | None = None
    "How often an order by chance agrees as much, of this score alone."
    corrected: float | None = None
    "The same where the best of all scores is looked for; None for sizes beside them."
    told: bool = False
    "Whether the latter is small enough."
    size: bool = False
    "Whether it is of size alone, shown beside scores that may be chosen."
    failed: int = 0
    "Trained networks on which it failed."
    reason: str = ""
    "Why there is no tau."

    @property
    def holds(self) -> bool:
        """Whether it ranks the networks, and the right way round, beyond chance."""
        return self.told and self.tau is not None and self.tau > 0


@dataclass(frozen=True)
class Calibrated:
    """Which scores rank a few networks of the space by what a short training gave them."""

    accuracies: Mapping[str, float | None]
    "Random architecture -> its accuracy on the validation images; None where training failed."
    scores: tuple[CalibratedScore, ...]
    "The best first; sizes among them."
    used: tuple[str, ...]
    "Scores that the search ranks by."
    least: float | None
    "The least tau that so many networks tell from chance, in view of the number of scores."
    epochs: int
    "Of each training."
    images: int
    "Validation images."

    @property
    def best(self) -> CalibratedScore | None:
        """The score that was chosen; None where none holds."""
        held = [score for score in self.scores if score.holds]
        return held[0] if held else None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Calibrated":
        """As the store has it."""
        scores = tuple(CalibratedScore(**score) for score in row["scores"])
        return cls(**{**row, "scores": scores, "used": tuple(row["used"])})


@dataclass(frozen=True)
class Cost:
    """A line of the cost ledger."""

    step: str
    "`condition_number`, `linear_regions`, `training epochs`, `load images`, `export`, ..."
    count: int
    "How many times."
    seconds: float
    "Processor-bound seconds summed over workers, not wall time."


@dataclass(frozen=True)
class RunRecord:
    """Everything a report needs of one run."""

    name: str
    space: str
    searcher: str
    config: Mapping[str, object]
    "The whole configuration, as plain values; nested for the recipe."
    versions: Mapping[str, str]
    "Package -> version, and `machine`, `python`."
    images: Mapping[str, object]
    "name, classes (names), train, validation, test (counts), shape (c, h, w), notes (lines)."
    directions: Mapping[str, int]
    "Ranked score name -> +1 where higher is better, -1 where lower is."
    trials: tuple[TrialRecord, ...]
    selected: str | None
    "The chosen architecture; None while the search continues, and where it could not choose."
    trainings: tuple[TrainingRecord, ...]
    costs: tuple[Cost, ...]
    wall_seconds: Mapping[str, float]
    "Phase (`search`, `training`) -> wall seconds, summed over sessions."
    meanings: Mapping[str, str] = field(default_factory=dict)
    "Score name -> what it measures, as its author says."
    counts: frozenset[str] = frozenset()
    "Names of the scores that count something."
    ended: bool = False
    "Whether the search has come to its end; the trainings after it may not."
    running: bool = True
    "Whether a driver, on whatever machine, is at work on it."
    started: float = 0.0
    "When it was begun, in seconds since 1970."
    shrunk: Shrunk | None = None
    "What was discarded before the search; None for nothing."
    limited: Limited | None = None
    "What limits leave of the space; None without limits."
    budgeted: Budgeted | None = None
    "What was planned for a time budget, and decided; None without one."
    calibrated: Calibrated | None = None
    "Which scores rank here, and by which was searched; None where that was not asked."
    beside: tuple[str, ...] = ()
    "Names of the other runs of the same search: with another training, or with none."

    def frame(self) -> "polars.DataFrame":
        """One row for each draw of each trial, draw by draw, a column for each score.

        A reading that failed is null.
        """
        import polars  # which takes a second, and the command does without

        draws = max((len(c) for t in self.trials for c in t.readings.values()), default=0)
        rows = [
            {
                "architecture": trial.architecture,
                "draw": draw,
                **{name: column[draw].value for name, column in trial.readings.items()},
            }
            for draw in range(draws)
            for trial in self.trials
        ]
        return polars.DataFrame(rows, infer_schema_length=None)

    def values(self, score: str) -> Float[np.ndarray, "trials draws"]:
        """A score's readings, higher meaning better; NaN where one failed."""
        found = [
            [np.nan if r.value is None else self.directions[score] * r.value for r in column]
            for column in (trial.readings[score] for trial in self.trials)
        ]
        return np.array(found)

    def history(self, space: Space[Any]) -> list[Trial]:
        """The trials as a searcher sees them, for one's own selection among them."""
        return [trial.as_trial(space) for trial in self.trials]


def load_record(store: Address, name: str) -> RunRecord:
    """The run of this name as the store holds it by now.

    Raises:
        ValueError: no such store, or no such run in it.
        OSError: it cannot be read.
    """
    with Store.reading(store) as opened:
        return _record(opened, name)


def record_of(folder: RunFolder) -> RunRecord:
    """The run of this folder as its store holds it by now.

    Raises:
        ValueError, OSError: as `load_record`.
    """
    return load_record(folder.address, folder.name)


def seconds_of(store: Address, name: str) -> dict[str, float]:
    """Score -> seconds per architecture in the run of this name; see `Store.seconds`."""
    with Store.reading(store) as opened:
        row = opened.run(name)
        return opened.seconds(row["search"] or row["id"])


def _record(opened: Store, name: str) -> RunRecord:
    names = opened.run_names()
    if name not in names:
        raise ValueError(f"no run {name!r} here: expected {' or '.join(names[:5]) or 'one'}")
    row = opened.run(name)
    search = row["search"] or row["id"]
    trainings = tuple(map(training_of, opened.trainings(row["id"])))
    compared = tuple(map(training_of, opened.trainings(calibration_of(search))))
    return RunRecord(
        name=name,
        space=row["space"],
        searcher=row["searcher"],
        config=decided_config(row),
        versions=row["versions"],
        images=row["images"],
        directions=used_directions(row),
        trials=tuple(opened.trials(search)),
        selected=row["selected"],
        trainings=trainings,
        costs=(
            *(Cost(*line) for line in opened.costs(row["id"], search, wall=False)),
            *_epochs_cost("training epochs", trainings),
            *_epochs_cost("calibration epochs", compared),
        ),
        wall_seconds={step: s for step, _, s in opened.costs(row["id"], search, wall=True)},
        meanings=row["meanings"] or {},
        counts=frozenset(row["counts"] or ()),
        ended=has_ended(row),
        running=opened.claims.driving(name),
        started=row["started"],
        shrunk=Shrunk(**row["shrunk"]) if row["shrunk"] else None,
        limited=Limited(**row["limited"]) if row["limited"] else None,
        calibrated=Calibrated.of(row["calibrated"]) if row["calibrated"] else None,
        budgeted=Budgeted(**row["budgeted"]) if row["budgeted"] else None,
        beside=tuple(other for other in opened.run_names(search) if other != name),
    )


def decided_config(row: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a row of `Store.run`, with what its time budget decided on."""
    config: dict[str, Any] = row["config"]
    return Budgeted(**row["budgeted"]).decided(config) if row["budgeted"] else config


def used_directions(row: Mapping[str, Any]) -> dict[str, int]:
    """Scores that the search of a row of `Store.run` ranks by -> +1, or -1 for lower is better."""
    known: dict[str, int] = row["directions"]
    used = Calibrated.of(row["calibrated"]).used if row["calibrated"] else known
    return {name: known[name] for name in used}


def has_ended(row: Mapping[str, Any]) -> bool:
    """Whether the search of a row of `Store.run` has."""
    return row["selected"] is not None or row["ended"] is not None


def _epochs_cost(step: str, trainings: tuple[TrainingRecord, ...]) -> tuple[Cost, ...]:
    epochs = sum(len(training.epochs) for training in trainings)
    seconds = sum((training.seconds for training in trainings), 0.0)
    return (Cost(step, epochs, seconds),) if epochs else ()


def training_of(row: Mapping[str, Any]) -> TrainingRecord:
    """A training as a row of `Store.trainings` has it."""
    confusion = row["confusion"]
    return TrainingRecord(
        architecture=row["architecture"],
        role=row["role"],
        parameters=row["parameters"] or 0,
        macs=row["macs"] or 0,
        epochs=row["epochs"],
        best_epoch=row["best_epoch"],
        test_accuracy=row["test_accuracy"],
        confusion=confusion and tuple(tuple(line) for line in confusion),
        reason=row["reason"],
        seconds=sum((epoch.seconds for epoch in row["epochs"]), 0.0),
    )
