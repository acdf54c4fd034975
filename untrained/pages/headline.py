"""The first lines of a report: the data, the numbers that count, and whether the search helped."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import cast

from untrained.pages.compared import against_references, compared
from untrained.pages.measured import any_scored
from untrained.pages.trained import accuracy_error, cautious_error, selected_training
from untrained.runs.record import RunRecord


@dataclass(frozen=True)
class ImageFacts:
    """The data set in a line."""

    name: str
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    "Split -> images, for the splits that are known."
    shape: tuple[int, ...]
    "Channels, height, width; empty if unknown."
    notes: tuple[str, ...]
    "What the loader has to say, such as files left out."

    @property
    def test(self) -> int | None:
        """Test images; None if unknown."""
        return self.counts.get("test")


def image_facts(images: Mapping[str, object]) -> ImageFacts:
    """Facts of `RunRecord.images`; whatever is not there is left out."""
    splits = [split for split in ("train", "validation", "test") if split in images]
    return ImageFacts(
        name=str(images.get("name", "")),
        classes=tuple(str(name) for name in cast(Sequence[object], images.get("classes", ()))),
        counts={split: int(cast(int, images[split])) for split in splits},
        shape=tuple(cast(Sequence[int], images.get("shape", ()))),
        notes=tuple(str(note) for note in cast(Sequence[object], images.get("notes", ()))),
    )


@dataclass(frozen=True)
class Headline:
    """The numbers that count."""

    selected_accuracy: float | None
    "On the test images."
    accuracy_error: float | None
    "Standard error of the selected architecture's accuracy, for the size of the test set."
    random_accuracies: tuple[float, ...]
    "Of random architectures trained with the same recipe, the best first."
    search_seconds: float | None
    "Wall seconds."
    tried: int
    "Different architectures proposed."
    parameters: int | None
    macs: int | None
    verdict: str
    "Whether the search helped, in a sentence."
    caution: str
    "How far the verdict can be trusted; empty without a verdict."
    references: tuple[str, ...] = ()
    "How the selected architecture compares with each network by name, in a sentence."


def headline(run: RunRecord, test_images: int | None) -> Headline:
    """The headline of a run."""
    selected = selected_training(run)
    accuracy = next((n.accuracy for n in compared(run) if n.role == "selected"), None)
    shown, error = (
        None if accuracy is None else of(accuracy, test_images)
        for of in (accuracy_error, cautious_error)
    )
    randoms = random_accuracies(run)
    return Headline(
        selected_accuracy=accuracy,
        accuracy_error=shown,
        random_accuracies=randoms,
        search_seconds=run.wall_seconds.get("search"),
        tried=len({trial.architecture for trial in run.trials}),
        parameters=(selected.parameters or None) if selected else None,
        macs=(selected.macs or None) if selected else None,
        verdict=verdict(accuracy, randoms) if accuracy is not None else unfinished(run),
        caution=caution(accuracy, error, randoms, trained_times(run)),
        references=against_references(run, test_images),
    )


def trained_times(run: RunRecord) -> int:
    """How often each network was trained."""
    return max((network.trainings for network in compared(run)), default=0)


def random_accuracies(run: RunRecord) -> tuple[float, ...]:
    """Test accuracies of the random architectures, as means over trainings, the best first."""
    found = [network.accuracy for network in compared(run) if network.role == "random"]
    return tuple(sorted((a for a in found if a is not None), reverse=True))


def verdict(selected: float, randoms: Sequence[float]) -> str:
    """How the selected architecture compares with random ones trained with the same recipe.

    Example:
        >>> verdict(0.93, (0.94, 0.92, 0.90))  # doctest: +NORMALIZE_WHITESPACE
        'The selected architecture beats 2 of 3 random architectures trained with the same
        recipe, 1.0 points above their mean.'
    """
    if not randoms:
        return (
            "No random architecture was trained beside the selected one, so this run cannot say "
            "whether the search helped."
        )
    beaten, equal = sum(selected > r for r in randoms), sum(selected == r for r in randoms)
    also = f" and equals {equal}" if equal else ""
    other = "their mean" if len(randoms) > 1 else "it"
    return (
        f"The selected architecture beats {beaten}{also} of {_architectures(len(randoms))} "
        f"trained with the same recipe, {_against(selected - fmean(randoms), other)}."
    )


def _against(difference: float, other: str) -> str:
    points = round(100 * difference, 1)
    if points > 0:
        return f"{points} points above {other}"
    place = f"{-points} points below" if points < 0 else "level with"
    return f"{place} {other}: here the search did not help"


def _architectures(count: int) -> str:
    return f"{count} random architecture{'' if count == 1 else 's'}"


def unfinished(run: RunRecord) -> str:
    """Why there is no accuracy to judge."""
    if run.selected is None:
        return nothing_selected(run)
    training = selected_training(run)
    if training is None:
        return "The search has ended; the selected architecture has not been trained in this run."
    if training.reason:
        return f"Training of the selected architecture failed: {training.reason}"
    if run.running:
        return "The selected architecture is being trained: there is no test accuracy yet."
    return (
        "The training of the selected architecture was interrupted: the same command resumes it."
    )


def nothing_selected(run: RunRecord) -> str:
    """Why no architecture is selected: not yet, or not ever."""
    if run.ended and any_scored(run):
        return "The search ended without selecting an architecture."
    if run.ended:
        return "The search ended, and no architecture could be scored."
    if run.running:
        return "The search is still running: there is no selected architecture yet."
    return "The search was interrupted before it selected one: the same command resumes it."


def caution(
    accuracy: float | None, error: float | None, randoms: Sequence[float], trainings: int = 1
) -> str:
    """How large the difference from the mean of m random ones is, against chance.

    With mistakes independent between networks its standard error, from the choice of test images
    alone, is sqrt(1 + 1/m) times that of one accuracy.
    """
    if accuracy is None or error is None or not randoms:
        return ""
    spread = error * math.sqrt(1 + 1 / len(randoms))
    small = abs(accuracy - fmean(randoms)) < 2 * spread
    return (
        f"The choice of test images alone gives this difference a standard error of about "
        f"{100 * spread:.1f} points, so it {'may well be' if small else 'is unlikely to be'} "
        f"chance. Each network was trained {'once' if trainings == 1 else f'{trainings} times'}."
    )
