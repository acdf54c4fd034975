"""How long one thread takes to measure a network of a space, and to train it for an epoch."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from untrained.images import Images
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.setup import NetworkSpec, ScoreSetup, training_scale
from untrained.runs.surroundings import attempt_apart
from untrained.runs.tasks import ScoreTask, TrainTask, initialised, perform, training_images
from untrained.spaces import Architecture, Space
from untrained.training import Recipe, TrainingSpec, seconds_of_epoch


def seconds_of_evaluation(
    config: ResolvedConfig,
    setups: Sequence[ScoreSetup],
    images: Images,
    networks: Sequence[Architecture],
) -> float:
    """Seconds of all scores and draws of an architecture, of the slower of these.

    One draw is timed. The first network is measured once before, since libraries load with it.
    """
    together: dict[NetworkSpec, list[ScoreSetup]] = {}
    for setup in sorted(setups, key=lambda setup: setup.epochs):
        together.setdefault(setup.network_spec, []).append(setup)

    def once(network: Architecture) -> float:
        seconds = 0.0
        for spec, alike in together.items():
            begun = time.perf_counter()
            perform(
                ScoreTask(config.space, str(network), tuple(alike), (0,), config.device), images
            )
            draws = 1 if spec.weights is None else config.draws
            seconds += draws * (time.perf_counter() - begun)
        return seconds

    once(networks[0])
    return max(map(once, networks))


def slowest_epoch(
    config: ResolvedConfig,
    space: Space[Any],
    images: Images,
    networks: Sequence[Architecture],
    spec: TrainingSpec,
) -> float:
    """Seconds of an epoch, of the slower of some networks."""
    return max(epoch_of(config, space, images, network, spec) for network in networks)


def epoch_of(
    config: ResolvedConfig,
    space: Space[Any],
    images: Images,
    network: Architecture | str,
    spec: TrainingSpec,
) -> float:
    """Seconds of an epoch of a network's training; 0 where it fails, which takes no time.

    A text is the name of a network that is no architecture of the space.
    """
    named = isinstance(network, str)
    task = TrainTask(
        space=None if named else config.space,
        architecture=str(network),
        scale=training_scale(space, config),
        recipe=spec.altered(Recipe()),
        images=spec.images,
        seed=config.seed,
        until=1,
        checkpoint=Path(),
        device=config.device,
    )
    timed = partial(_timed, task, images)
    seconds, _ = attempt_apart(timed, config.device, nullcontext, config.seed)
    return seconds or 0.0


def _timed(task: TrainTask, images: Images) -> float:
    shown = training_images(images, task.images, task.seed)
    network = initialised(task, images)
    return seconds_of_epoch(network, shown, task.recipe, device=task.device, of=fmean)
