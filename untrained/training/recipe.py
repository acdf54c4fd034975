"""How a network is trained: every choice, as one frozen value."""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from untrained.settings import LARGEST

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "exponential", "linear", "constant"]
Clock = Literal["step", "epoch"]
Precision = Literal["float32", "bfloat16", "mixed"]

AUTO = "auto"
"The recipe that images, epochs and device decide; see `auto_recipe`."


@dataclass(frozen=True)
class TrainingSpec:
    """What is to be trained, and how: a recipe by name, and what is asked otherwise.

    None leaves a value as the recipe has it.
    """

    recipe: str | None = None
    """Of trainings to the end, `auto`, which images, epochs and device decide; or a recipe by
    name: `default` (20 epochs, batches of 64, learning rate 0.1), `calibration` (5 epochs),
    `darts_cifar10`, `te_nas_cifar10`, `..._imagenet`, `short` (1 epoch), or
    package.module:name."""
    epochs: int | None = None
    "Passes over the training images."
    batch: int | None = None
    "Images per step."
    learning_rate: float | None = None
    "Peak learning rate, reached linearly over the warm-up; then it falls by the schedule."
    images: int | None = None
    "Training images, drawn at random; by default all."
    optimizer: Optimizer | None = None
    """`sgd` with momentum, or `adamw`, for which try a learning rate of 0.002 and a weight decay
    of 0.05."""
    momentum: float | None = None
    "Share of the last step's velocity that is kept; of AdamW, of its mean gradient."
    weight_decay: float | None = None
    """Of convolution and linear weights, not of biases and normalisation: an L2 penalty, or with
    AdamW the share of a weight that a step at a learning rate of 1 would take away."""
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
    "Nesterov momentum instead of plain momentum, of SGD."
    decay_all: bool | None = None
    "Apply the weight decay to biases and normalisation too."
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
    """Of most of the forward pass: `bfloat16`, or `mixed`, which is float16 with a scaled loss, on
    CUDA only."""
    channels_last: bool | None = None
    """Lay weights and images out with channels last, where the network can: a quarter faster on a
    CPU, with other last bits."""
    mixup: float | None = None
    """Parameter a of a Beta(a, a), from which each batch draws the share of a second image that is
    mixed into each of its images; 0 mixes none."""
    trivial_augment: bool | None = None
    "One alteration of each image, at random and of random strength, as TrivialAugment has it."
    balance: float | None = None
    """How far the loss makes up for unequal classes: the weight of a class with n training images
    is proportional to n^-balance, so 0 changes nothing and 1 lets all classes weigh the same."""
    ema: float | None = None
    """Largest decay of a moving average of the weights over steps, such as 0.999; the average is
    what is evaluated and kept. 0 keeps the weights themselves."""

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
    """An optimizer under a falling learning rate, and what regularises it: every choice.

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
    optimizer: Optimizer = "sgd"
    channels_last: bool = False
    mixup: float = 0.0
    trivial_augment: bool = False
    balance: float = 0.0
    ema: float = 0.0


def flips(recipe: Recipe, channels: int) -> bool:
    """Whether images of that many channels are flipped: as told, else colour images only.

    Digits and letters are mostly grey and change their meaning in a mirror.
    """
    return channels == 3 if recipe.flip is None else recipe.flip


LARGEST_OF_ADAMW = 0.05
"Learning rate, above which every step would change most weights by their own size."


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
    _check_rate("mixup", recipe.mixup, math.inf, "try 0.2, or 0 for none")
    _check_rate("balance", recipe.balance, math.inf, "try 0.5, or 0 for none")
    _check_rate("ema", recipe.ema, 1.0, "try 0.999, or 0 for none")
    for name in (
        "crop",
        "resized_crop",
        "nesterov",
        "decay_all",
        "trivial_augment",
        "channels_last",
    ):
        _check_choice(name, getattr(recipe, name), (True, False))
    _check_choice("flip", recipe.flip, (None, True, False))
    _check_choice("optimizer", recipe.optimizer, get_args(Optimizer))
    _check_choice("schedule", recipe.schedule, get_args(Schedule))
    _check_choice("clock", recipe.clock, get_args(Clock))
    _check_choice("precision", recipe.precision, get_args(Precision))
    if recipe.learning_rate == 0:
        raise ValueError("learning_rate: expected more than 0, got 0; try 0.1")
    if recipe.optimizer == "adamw" and recipe.learning_rate > LARGEST_OF_ADAMW:
        raise ValueError(
            f"learning_rate: expected at most {LARGEST_OF_ADAMW:g} with adamw, whose steps do not "
            f"depend on the gradient's size, got {recipe.learning_rate!r}; try 0.002"
        )


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
