"""Trained networks side by side: how accurate each is, and which can be told apart."""

import math
from dataclasses import dataclass
from statistics import fmean, variance

from untrained.outside import visible
from untrained.pages.trained import cautious_error
from untrained.runs.record import RunRecord

APART = 2.0
"Standard errors, beyond which a difference is unlikely to be chance."


@dataclass(frozen=True)
class Compared:
    """One network, over its trainings."""

    architecture: str
    role: str
    parameters: int
    accuracies: tuple[float, ...]
    "On the test images, one a training that gave an accuracy."
    trainings: int
    "How many there are."
    reason: str
    "Why a training ended early; empty if none did."

    @property
    def accuracy(self) -> float | None:
        """Mean over trainings; None until one gives an accuracy."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def between_trainings(self) -> float:
        """Standard error of the mean from initial weights and orders of images; 0 of a single
        training, of which it is not known."""
        count = len(self.accuracies)
        return math.sqrt(variance(self.accuracies) / count) if count > 1 else 0.0

    def error(self, test_images: int | None) -> float:
        """Standard error of the mean, from trainings and from the choice of test images."""
        chosen = cautious_error(self.accuracy, test_images) if self.accuracy is not None else None
        return math.hypot(self.between_trainings, chosen or 0.0)


def compared(run: RunRecord) -> tuple[Compared, ...]:
    """The networks of a run in the order in which they were asked for."""
    networks: dict[tuple[str, str], list[int]] = {}
    for position, training in enumerate(run.trainings):
        networks.setdefault((training.role, training.architecture), []).append(position)
    return tuple(_compared(run, positions) for positions in networks.values())


def _compared(run: RunRecord, positions: list[int]) -> Compared:
    trainings = [run.trainings[position] for position in positions]
    found = [t.test_accuracy for t in trainings if t.test_accuracy is not None]
    return Compared(
        architecture=trainings[0].architecture,
        role=trainings[0].role,
        parameters=trainings[0].parameters,
        accuracies=tuple(found),
        trainings=len(trainings),
        reason=next((t.reason for t in trainings if t.reason), ""),
    )


def against_references(run: RunRecord, test_images: int | None) -> tuple[str, ...]:
    """For each network by name, in a sentence, whether the selected architecture beats it."""
    networks = compared(run)
    selected = [n for n in networks if n.role == "selected" and n.accuracies]
    others = [n for n in networks if n.role == "reference" and n.accuracies]
    return tuple(sentence(one, other, test_images) for one in selected for other in others)


def sentence(selected: Compared, other: Compared, test_images: int | None) -> str:
    """Whether one beats the other, and by how much.

    With accuracies a and b and their standard errors, they are told apart where

        |a - b| > 2 sqrt(error(a)^2 + error(b)^2)

    which is too careful where both make the same mistakes: they see the same test images.

    Example:
        >>> one = Compared("cell", "selected", 1000, (0.80, 0.82), 2, "")
        >>> other = Compared("resnet", "reference", 1000, (0.75, 0.76), 2, "")
        >>> sentence(one, other, 10_000)  # doctest: +NORMALIZE_WHITESPACE
        'The selected architecture beats resnet: 81.0 % against 75.5 %, 5.5 ± 1.3 points, as means
        of 2 trainings each.'
    """
    assert selected.accuracy is not None
    assert other.accuracy is not None
    difference = selected.accuracy - other.accuracy
    error = math.hypot(selected.error(test_images), other.error(test_images))
    told = "cannot be told from"
    if abs(difference) > APART * error:
        told = "beats" if difference > 0 else "is beaten by"
    count = min(len(selected.accuracies), len(other.accuracies))
    trained = "each trained once" if count == 1 else f"as means of {count} trainings each"
    means = f"{100 * selected.accuracy:.1f} % against {100 * other.accuracy:.1f} %"
    points = f"{100 * difference:.1f} ± {100 * error:.1f} points"
    name = visible(other.architecture)
    return f"The selected architecture {told} {name}: {means}, {points}, {trained}."
