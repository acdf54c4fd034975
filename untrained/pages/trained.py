"""What training gave: accuracy against size, curves, and the selected architecture's mistakes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from untrained.runs.record import RunRecord, TrainingRecord


def selected_training(run: RunRecord) -> TrainingRecord | None:
    """The selected architecture's training; of several, the first that gave an accuracy."""
    selected = [training for training in run.trainings if training.role == "selected"]
    return next((t for t in selected if t.test_accuracy is not None), next(iter(selected), None))


def accuracy_error(accuracy: float, images: int | None) -> float | None:
    """Standard error sqrt(p (1 - p) / n) of an accuracy p on n images.

    Example:
        >>> round(accuracy_error(0.9, 900), 4)
        0.01
    """
    return math.sqrt(accuracy * (1 - accuracy) / images) if images else None


def cautious_error(accuracy: float, images: int | None) -> float | None:
    """The standard error to compare accuracies by, which is never zero.

    Where every image is right, or none is, p is that of half a mistake, or of half a hit: few
    images without a mistake do not make an accuracy certain.

    Example:
        >>> round(cautious_error(0.9, 900), 4), round(cautious_error(1.0, 50), 4)
        (0.01, 0.0141)
    """
    half = 0.5 / images if images else 0.0
    return accuracy_error(min(max(accuracy, half), 1 - half), images)


@dataclass(frozen=True)
class TrainedPoint:
    """One trained network."""

    architecture: str
    role: str
    parameters: int
    macs: int
    accuracy: float
    "On the test images, in [0, 1]."
    standard_error: float | None
    "Of the accuracy, for the size of the test set; None where that is unknown."


def accuracy_by_size(run: RunRecord, test_images: int | None) -> tuple[TrainedPoint, ...]:
    """Every network with a test accuracy, the smallest first."""
    points = [_trained_point(training, test_images) for training in run.trainings]
    return tuple(sorted((p for p in points if p is not None), key=lambda p: p.parameters))


def _trained_point(training: TrainingRecord, test_images: int | None) -> TrainedPoint | None:
    if training.test_accuracy is None:
        return None
    return TrainedPoint(
        training.architecture,
        training.role,
        training.parameters,
        training.macs,
        training.test_accuracy,
        accuracy_error(training.test_accuracy, test_images),
    )


@dataclass(frozen=True)
class Curve:
    """One network's loss or accuracy by epoch."""

    architecture: str
    role: str
    split: Literal["train", "validation"]
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    best_epoch: int | None
    "The epoch whose weights were kept."


@dataclass(frozen=True)
class Curves:
    """Loss or accuracy of every network, the selected one's last, to be drawn on top."""

    quantity: Literal["loss", "accuracy"]
    curves: tuple[Curve, ...]


def training_curves(run: RunRecord) -> tuple[Curves, ...]:
    """Loss, then accuracy, of all networks that finished an epoch; empty if none did."""
    begun = [training for training in run.trainings if training.epochs]
    begun.sort(key=lambda training: training.role == "selected")
    return (
        (Curves("loss", _losses(begun)), Curves("accuracy", _accuracies(begun))) if begun else ()
    )


def _losses(trainings: Sequence[TrainingRecord]) -> tuple[Curve, ...]:
    return tuple(
        curve
        for training in trainings
        for curve in (
            _curve(training, "train", [epoch.train_loss for epoch in training.epochs]),
            _curve(training, "validation", [epoch.validation_loss for epoch in training.epochs]),
        )
    )


def _accuracies(trainings: Sequence[TrainingRecord]) -> tuple[Curve, ...]:
    return tuple(
        curve
        for training in trainings
        for curve in (
            _curve(training, "train", [epoch.train_accuracy for epoch in training.epochs]),
            _curve(training, "validation", [e.validation_accuracy for e in training.epochs]),
        )
    )


def _curve(
    training: TrainingRecord, split: Literal["train", "validation"], values: Sequence[float]
) -> Curve:
    epochs = tuple(epoch.number for epoch in training.epochs)
    return Curve(
        training.architecture, training.role, split, epochs, tuple(values), training.best_epoch
    )


class Confused(NamedTuple):
    """Images of one class taken for another."""

    true: str
    predicted: str
    images: int
    of: int
    "Test images of the true class."


@dataclass(frozen=True)
class Confusion:
    """Test images by true class (row) and predicted class (column)."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    "Counts as shares of their row; zero for a class without test images."
    most_confused: tuple[Confused, ...]
    "Up to twelve pairs, the most images first."

    @property
    def longest_name(self) -> int:
        """Characters of the longest class name."""
        return max(map(len, self.classes), default=0)


def confusion(run: RunRecord, classes: tuple[str, ...]) -> Confusion | None:
    """The selected architecture's confusion matrix; None if it has none."""
    training = selected_training(run)
    if training is None or training.confusion is None:
        return None
    counts = training.confusion
    names = tuple(classes[k] if k < len(classes) else f"class {k}" for k in range(len(counts)))
    shares = tuple(tuple(n / max(sum(row), 1) for n in row) for row in counts)
    return Confusion(names, counts, shares, _most_confused(names, counts))


def _most_confused(
    names: tuple[str, ...], counts: tuple[tuple[int, ...], ...]
) -> tuple[Confused, ...]:
    pairs = [
        Confused(names[i], names[j], count, sum(row))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count > 0
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.images)[:12])
