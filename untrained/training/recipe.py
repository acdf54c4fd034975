"""How a network is trained: every choice, as one frozen value."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum and a cosine schedule, for small images."""

    epochs: int = 20
    "Passes over the training images."
    batch: int = 64
    "Images a step."
    learning_rate: float = 0.1
    "Peak learning rate; rises linearly over the first epoch, then falls as a cosine to zero."
    momentum: float = 0.9
    "Nesterov momentum."
    weight_decay: float = 5e-4
    "L2 penalty on convolution and linear weights, not on biases and normalisation."
    label_smoothing: float = 0.0
    "Share of the target spread evenly over all classes."
    crop: bool = True
    "Random crop after zero padding by an eighth of the side."
    flip: bool | None = None
    "Random horizontal flip; None flips colour images only."
    cutout: int = 0
    "Side in pixels of a square set to the mean; 0 cuts nothing."


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step.

    With T steps in all, of which the first W warm up (one epoch, or half of a recipe that has
    but one), and the peak η:

        η_t = η (t + 1) / W                                  for t < W
        η_t = η (1 + cos(π (t + 1 - W) / (T + 1 - W))) / 2   for t >= W

    The cosine starts from the peak at t = W - 1 and would be zero at t = T, so no step is spent
    at a rate of zero.

    Args:
        recipe: gives η and the number of epochs.
        step: t, from 0, counted over the whole training.
        steps_per_epoch: steps in one epoch.

    Example:
        >>> [round(learning_rate(Recipe(epochs=3), step, 2), 4) for step in range(6)]
        [0.05, 0.1, 0.0905, 0.0655, 0.0345, 0.0095]
    """
    steps = recipe.epochs * steps_per_epoch
    warm_up = min(steps_per_epoch, steps // 2)
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / warm_up
    fallen = (step + 1 - warm_up) / (steps + 1 - warm_up)
    return recipe.learning_rate * (1 + math.cos(math.pi * fallen)) / 2


def flips(recipe: Recipe, channels: int) -> bool:
    """Whether images of that many channels are flipped: as told, else colour images only.

    Digits and letters are mostly grey and change their meaning in a mirror.
    """
    return channels == 3 if recipe.flip is None else recipe.flip


def check_recipe(recipe: Recipe) -> None:
    """Raise ValueError at the first value that cannot be trained with."""
    for name, low in (("epochs", 1), ("batch", 2), ("cutout", 0)):
        _check_count(name, getattr(recipe, name), low)
    _check_rate("learning_rate", recipe.learning_rate, math.inf, "try 0.1")
    _check_rate("momentum", recipe.momentum, 1.0, "try 0.9, or 0 for plain SGD")
    _check_rate("weight_decay", recipe.weight_decay, math.inf, "try 5e-4, or 0 for none")
    _check_rate("label_smoothing", recipe.label_smoothing, 1.0, "try 0.1, or 0 for none")
    if recipe.learning_rate == 0:
        raise ValueError("learning_rate: expected more than 0, got 0; try 0.1")


def _check_count(name: str, count: object, low: int) -> None:
    if not isinstance(count, int) or count < low:
        raise ValueError(
            f"{name}: expected a whole number of {low} or more, got {count!r}; try {low}"
        )


def _check_rate(name: str, rate: float, below: float, hint: str) -> None:
    if not 0 <= rate < below:
        raise ValueError(
            f"{name}: expected 0 or more and less than {below:g}, got {rate!r}; {hint}"
        )
