"""How long a training will take, measured before it starts."""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import nn

from untrained.images.dataset import Images
from untrained.training.auto import auto_recipe
from untrained.training.batches import draw_batches
from untrained.training.descent import set_up, train_on
from untrained.training.evaluation import evaluate
from untrained.training.recipe import Recipe

ROUNDS, STEPS = 3, 3
"Times that a few steps are timed, and steps."
LONGEST = 300
"Epochs that a time is filled with at most."

Clock = Callable[[], float]


def seconds_of_epoch(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    device: str = "cpu",
    clock: Clock = time.perf_counter,
    of: Callable[[Sequence[float]], float] = min,
) -> float:
    """Seconds of an epoch of `train`: of its steps, and of the evaluation on validation images.

    Args:
        network: is left as it is; a copy is trained.
        images: as in `train`.
        recipe: as in `train`.
        device: as in `train`.
        clock: gives seconds: wall time, or `time.process_time`.
        of: which of three rounds counts: `min` as on a machine with nothing else to do, or their
            mean, as it is.

    Raises:
        ValueError: if network, images and recipe do not fit each other.
    """
    setup = set_up(deepcopy(network), images, recipe, 0, device)
    generator = torch.Generator().manual_seed(0)
    batches = draw_batches(len(images.train), recipe.batch, generator)
    some = batches[:STEPS]
    validation = images.validation.select(torch.arange(min(256, len(images.validation))))
    steps, evaluations = [], []
    with torch.random.fork_rng(), torch.enable_grad():
        for _ in range(ROUNDS):
            begun = clock()
            train_on(setup, some, [0.0] * len(some), generator)
            between = clock()
            evaluate(setup.judged, validation, images, device=device)
            steps.append((between - begun) / len(some))
            evaluations.append((clock() - between) / len(validation))
    return len(batches) * of(steps) + len(images.validation) * of(evaluations)


def auto_within(
    seconds: float,
    network: nn.Module,
    images: Images,
    *,
    device: str = "cpu",
    clock: Clock = time.perf_counter,
) -> Recipe:
    """The recipe `auto` for as many epochs as fit into the seconds, at least one.

    Args:
        seconds: for the whole training and for this measurement, of the clock's kind.
        network: to be trained, and left as it is.
        images: to be trained on.
        device: where is trained.
        clock: as in `seconds_of_epoch`.
    """
    begun, epochs = clock(), 1
    for _ in range(2):  # what longer trainings add to an epoch takes time too
        recipe = auto_recipe(images, epochs=epochs, device=device)
        once = seconds_of_epoch(network, images, recipe, device=device, clock=clock)
        left = seconds - (clock() - begun)
        epochs = min(max(1, round(left / once)), LONGEST)
    return auto_recipe(images, epochs=epochs, device=device)
