"""What changes in the course of a training: the learning rate, and how many paths are dropped."""

import math
from collections.abc import Callable

from untrained.training.recipe import Recipe

FALLS: dict[str, Callable[[float], float]] = {
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    # DARTS on ImageNet: 0.97 after each of 250 epochs. A shorter training falls as far.
    "exponential": lambda x: 0.97 ** (250 * x),
    "linear": lambda x: 1 - x,
    "constant": lambda x: 1.0,
}


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step.

    With the peak η, and f the fall of the schedule, where x runs from 0 to 1:

        f(x) = (1 + cos(π x)) / 2    cosine
        f(x) = 0.97^(250 x)          exponential
        f(x) = 1 - x                 linear
        f(x) = 1                     constant

    The clock `step` rises first and falls after. With T steps in all, of which the first W warm
    up:

        η_t = η (t + 1) / W                        for t < W
        η_t = η f((t + 1 - W) / (T + 1 - W))       for t >= W

    The fall starts from the peak at t = W - 1 and would end at t = T, so no step is spent at a
    rate of zero.

    The clock `epoch` has one rate for all steps of epoch e, counted from 0, of E; the first W
    epochs are damped, as the codes of DARTS and its successors do:

        η_e = η f(e / E) min(1, (e + 1) / W)

    Either way W is at most half of the training.

    Args:
        recipe: gives η, schedule, clock, warm-up and the number of epochs.
        step: t, from 0, counted over the whole training.
        steps_per_epoch: steps in one epoch.

    Example:
        >>> [round(learning_rate(Recipe(epochs=3), step, 2), 4) for step in range(6)]
        [0.05, 0.1, 0.0905, 0.0655, 0.0345, 0.0095]
        >>> recipe = Recipe(epochs=3, clock="epoch", warm_up=0)
        >>> [round(learning_rate(recipe, step, 2), 4) for step in range(6)]
        [0.1, 0.1, 0.075, 0.075, 0.025, 0.025]
    """
    peak, fall = recipe.learning_rate, FALLS[recipe.schedule]
    if recipe.clock == "epoch":
        epoch, warm_up = step // steps_per_epoch, min(recipe.warm_up, recipe.epochs // 2)
        risen = min(1, (epoch + 1) / warm_up) if warm_up else 1
        return peak * fall(epoch / recipe.epochs) * risen
    steps = recipe.epochs * steps_per_epoch
    warm_up = min(recipe.warm_up * steps_per_epoch, steps // 2)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * fall((step + 1 - warm_up) / (steps + 1 - warm_up))


def steady(recipe: Recipe) -> bool:
    """Whether fewer epochs of it are the beginning of more.

    Example:
        >>> steady(Recipe()), steady(Recipe(schedule="constant", warm_up=0))
        (False, True)
    """
    return recipe.schedule == "constant" and recipe.warm_up == 0 and recipe.drop_path == 0


def drop_probability(recipe: Recipe, epoch: int) -> float:
    """Probability of dropping a path in one epoch, counted from 1.

        p_e = p (e - 1) / E

    So the first epoch drops none, and p itself would be that of the epoch after the last.

    Example:
        >>> [round(drop_probability(Recipe(epochs=4, drop_path=0.2), e), 2) for e in (1, 2, 3, 4)]
        [0.0, 0.05, 0.1, 0.15]

    Source:
        The code of Liu, Simonyan and Yang 2019, DARTS, https://arxiv.org/abs/1806.09055
    """
    return recipe.drop_path * (epoch - 1) / recipe.epochs
