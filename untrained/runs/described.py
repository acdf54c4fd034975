"""A run as its row in the store describes it: what was asked, of which images, by which code."""

import logging
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from untrained.images import Images
from untrained.runs.code import version_of
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.setup import ScoreSetup
from untrained.runs.tasks import training_images
from untrained.scores import Score
from untrained.searchers import Goal
from untrained.training.auto import notes_on

logger = logging.getLogger(__name__)


def describe(
    config: ResolvedConfig,
    images: Images,
    setups: tuple[ScoreSetup, ...],
    goals: Sequence[Goal],
    name: str,
) -> dict[str, Any]:
    """The run's row in the store."""
    notes = [*images.notes, *_training_notes(config, images)]
    return {
        "name": name,
        "space": config.space,
        "searcher": config.searcher,
        "config": config.plain(),
        "images": {
            "name": images.name,
            "classes": list(images.classes),
            "train": len(images.train),
            "validation": len(images.validation),
            "test": len(images.test),
            "shape": list(images.shape),
            "fingerprint": images.fingerprint,
            "notes": notes,
        },
        "versions": {
            **{package: version(package) for package in ("untrained", "torch", "numpy")},
            "code": version_of(),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {platform.system()}",
        },
        "directions": {goal.score: 1 if goal.higher_is_better else -1 for goal in goals},
        "meanings": {i.name: meaning_of(i.score) for i in setups},
        "counts": [i.name for i in setups if i.score.is_count],
    }


def _training_notes(config: ResolvedConfig, images: Images) -> tuple[str, ...]:
    """What the images mean for training, if there is any; said once more to whoever watches."""
    if not config.train:
        return ()
    trained_on = training_images(images, config.training.images, config.seed)
    notes = notes_on(trained_on, config.recipe)
    for note in notes:
        logger.warning(note)
    return notes


def meaning_of(score: Score) -> str:
    """What a score measures and in which unit, for the report."""
    return f"{score.meaning} In {score.unit}." if score.unit else score.meaning
