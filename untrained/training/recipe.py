"""How a network is trained: every choice, as one frozen value."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from untrained.settings import LARGEST

Schedule = Literal["cosine", "exponential", "constant"]
Clock = Literal["step", "epoch"]
Precision = Literal["float32", "mixed"]


@dataclass(frozen=True)
class TrainingSpec:
    """What is to be trained, and how: a recipe by name, and what is asked otherwise.

    None leaves a value as the recipe has it.
    """

    recipe: str | None = None
    """Named recipe: `default` (20 epochs, batches of 64, learning rate 0.1), `calibration` (5
    epochs), `darts_cifar10`, `te_nas_cifar10`, `..._imagenet`, `short` (1 epoch), or
    package.module:name."""
    epochs: int | None = None
    "Passes over the training images."
    batch: int | None = None
    "Images per step."
    learning_rate: float | None = None
    "Peak learning rate, reached linearly over the warm-up; then it falls by the schedule."
    images: int | None = None
    "Training images, drawn at random; by default all."
    momentum: float | None = None
    "Share of the last step's velocity that is kept."
    weight_decay: float | None = None
    "L2 penalty on convolution and linear weights, not on biases and normalisation."
    label_smoothing: float | None = None
    "Share of the target spread evenly over all classes."
    crop: bool | None = None
    "Random crop after zero padding by an eighth of the side; images below 8 pixels stay whole."
    flip: bool | None = None
    "Random horizontal flip; where a recipe says nothing, for colour images only."
    cutout: int | None = None
    "Side in pixels of a square set to the mean; 0 cuts nothing."
    resized_crop: bool | None = None
    "Random crop of 8 % to 100 % of the area, resized to the full size, as for ImageNet."
    jitter: float | None = None
    "Largest relative change of brightness, contrast and saturation, each at random; below 1."
    nesterov: bool | None = None
    "Nesterov momentum instead of plain momentum."
    decay_all: bool | None = None
    "Apply the L2 penalty to biases and normalisation too."
    schedule: Schedule | None = None
    "How the learning rate falls after the warm-up."
    clock: Clock | None = None
    "Whether the learning rate changes with every step, or only with every epoch."
    warm_up: int | None = None
    "Epochs over which the learning rate rises, at most half of all; 0 starts at the peak."
    clip: float | None = None
    "Largest norm of the gradient of all parameters; a larger one is scaled down. 0: no clipping."
    drop_path: float | None = None
    """Probability of dropping a path, reached linearly over the epochs. The network needs an
    attribute `drop_path`, which is set for each epoch."""
    auxiliary: float | None = None
    """Weight of the auxiliary head's loss. In training the network returns (logits, auxiliary
    logits); with a weight of 0 the latter are ignored."""
    precision: Precision | None = None
    "`mixed` computes most of the forward pass in float16 and scales the loss; CUDA only."

    def over(self, other: "TrainingSpec") -> "TrainingSpec":
        """What this one asks for, and the other where this one asks for nothing.

        Example:
            >>> TrainingSpec(epochs=2).over(TrainingSpec(epochs=1, batch=32)).batch
            32
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **given)

    def altered(self, recipe: "Recipe") -> "Recipe":
        """The recipe with what is asked otherwise.

        Example:
            >>> TrainingSpec(epochs=20).altered(Recipe(epochs=600)).epochs
            20
        """
        names = [f.name for f in fields(Recipe)]
        return replace(
            recipe, **{n: v for n, v in vars(self).items() if n in names and v is not None}
        )


@dataclass(frozen=True)
class Recipe:
    """SGD with momentum under a falling learning rate, and what regularises it: every choice.

    `TrainingSpec` says what each value means.
    """

    epochs: int = 20
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    crop: bool = True
    flip: bool | None = None
    cutout: int = 0
    resized_crop: bool = False
    jitter: float = 0.0
    nesterov: bool = True
    decay_all: bool = False
    schedule: Schedule = "cosine"
    clock: Clock = "step"
    warm_up: int = 1
    clip: float = 0.0
    drop_path: float = 0.0
    auxiliary: float = 0.0
    precision: Precision = "float32"


FALLS: dict[str, Callable[[float], float]] = {
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    # DARTS on ImageNet: 0.97 after each of 250 epochs. A shorter training falls as far.
    "exponential": lambda x: 0.97 ** (250 * x),
    "constant": lambda x: 1.0,
}


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step.

    With the peak η, and f the fall of the schedule, where x runs from 0 to 1:

        f(x) = (1 + cos(π x)) / 2    cosine
        f(x) = 0.97^(250 x)          exponential
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


def flips(recipe: Recipe, channels: int) -> bool:
    """Whether images of that many channels are flipped: as told, else colour images only.

    Digits and letters are mostly grey and change their meaning in a mirror.
    """
    return channels == 3 if recipe.flip is None else recipe.flip


def check_recipe(recipe: Recipe) -> None:
    """Raise ValueError at the first value that cannot be trained with."""
    for name, low in (("epochs", 1), ("batch", 2), ("cutout", 0), ("warm_up", 0)):
        _check_count(name, getattr(recipe, name), low)
    _check_rate("learning_rate", recipe.learning_rate, math.inf, "try 0.1")
    _check_rate("momentum", recipe.momentum, 1.0, "try 0.9, or 0 for plain SGD")
    _check_rate("weight_decay", recipe.weight_decay, math.inf, "try 5e-4, or 0 for none")
    _check_rate("label_smoothing", recipe.label_smoothing, 1.0, "try 0.1, or 0 for none")
    _check_rate("jitter", recipe.jitter, 1.0, "try 0.4, or 0 for none")
    _check_rate("clip", recipe.clip, math.inf, "try 5, or 0 for none")
    _check_rate("drop_path", recipe.drop_path, 1.0, "try 0.2, or 0 for none")
    _check_rate("auxiliary", recipe.auxiliary, math.inf, "try 0.4, or 0 for none")
    for name in ("crop", "resized_crop", "nesterov", "decay_all"):
        _check_choice(name, getattr(recipe, name), (True, False))
    _check_choice("flip", recipe.flip, (None, True, False))
    _check_choice("schedule", recipe.schedule, get_args(Schedule))
    _check_choice("clock", recipe.clock, get_args(Clock))
    _check_choice("precision", recipe.precision, get_args(Precision))
    if recipe.learning_rate == 0:
        raise ValueError("learning_rate: expected more than 0, got 0; try 0.1")


def check_precision(recipe: Recipe, device: str) -> None:
    """Refuse mixed precision where float16 is no faster."""
    if recipe.precision == "mixed" and not device.startswith("cuda"):
        raise ValueError(
            f"precision: expected float32 on {device}, got {recipe.precision!r}; leave it off, "
            f"or train on a CUDA device"
        )


def _check_count(name: str, count: object, low: int) -> None:
    if type(count) is not int or not low <= count <= LARGEST:
        raise ValueError(
            f"{name}: expected a whole number of {low} or more, and at most {LARGEST}, got "
            f"{count!r}; try {low}"
        )


def _check_rate(name: str, rate: object, below: float, hint: str) -> None:
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 <= rate < below:  # type: ignore[operator]
        raise ValueError(
            f"{name}: expected 0 or more and less than {below:g}, got {rate!r}; {hint}"
        )


def _check_choice(name: str, choice: object, known: tuple[object, ...]) -> None:
    if not any(type(choice) is type(each) and choice == each for each in known):
        expected = " or ".join(map(str, known))
        raise ValueError(f"{name}: expected {expected}, got {choice!r}; try {known[0]}")
