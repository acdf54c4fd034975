"""The schedule against its closed form, and every value that cannot be trained with."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR

from untrained.training.recipe import Clock, Recipe, check_recipe, flips
from untrained.training.schedule import drop_probability, learning_rate


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    recipe = Recipe(epochs=5, learning_rate=0.4)
    rates = [learning_rate(recipe, step, 8) for step in range(8)]
    assert rates == pytest.approx([0.4 * k / 8 for k in range(1, 9)])


def test_the_rest_is_half_a_cosine_from_the_peak_to_zero() -> None:
    recipe = Recipe(epochs=5, learning_rate=0.4)
    rates = [learning_rate(recipe, step, 8) for step in range(7, 40)]
    angles = [math.pi * k / 33 for k in range(33)]
    assert rates == pytest.approx([0.4 * math.cos(angle / 2) ** 2 for angle in angles])
    assert learning_rate(recipe, 40, 8) == pytest.approx(0)


def test_a_single_epoch_still_falls() -> None:
    recipe = Recipe(epochs=1, learning_rate=1.0)
    rates = [learning_rate(recipe, step, 10) for step in range(10)]
    assert max(rates) == rates[4] == 1.0
    assert 0 < rates[-1] < 0.1


def test_a_single_step_has_a_rate() -> None:
    assert learning_rate(Recipe(epochs=1, learning_rate=1.0), 0, 1) == pytest.approx(0.5)


def rates_of_epochs(recipe: Recipe) -> list[float]:
    """The rate of every epoch, where all three steps of each have the same."""
    rates = [learning_rate(recipe, step, 3) for step in range(3 * recipe.epochs)]
    assert rates[::3] == rates[1::3] == rates[2::3]
    return rates[::3]


def rates_of_torch(scheduler: type, epochs: int, argument: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    falling, rates = scheduler(optimizer, argument), []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        falling.step()
    return rates


def test_by_epochs_the_cosine_is_that_of_torch() -> None:
    recipe = Recipe(epochs=7, learning_rate=0.4, clock="epoch", warm_up=0)
    assert rates_of_epochs(recipe) == pytest.approx(rates_of_torch(CosineAnnealingLR, 7, 7))


def test_by_epochs_the_exponential_of_250_is_that_of_torch() -> None:
    recipe = Recipe(
        epochs=250, learning_rate=0.4, clock="epoch", warm_up=0, schedule="exponential"
    )
    rates = rates_of_epochs(recipe)
    assert rates == pytest.approx(rates_of_torch(ExponentialLR, 250, 0.97))
    assert rates_of_epochs(replace(recipe, epochs=25)) == pytest.approx(rates[::10])


def test_by_epochs_the_warm_up_damps_the_fall() -> None:
    recipe = Recipe(epochs=10, learning_rate=0.4, clock="epoch", warm_up=0)
    bare = rates_of_epochs(recipe)
    damped = [rate * share for rate, share in zip(bare, [0.25, 0.5, 0.75] + [1] * 7, strict=True)]
    assert rates_of_epochs(replace(recipe, warm_up=4)) == pytest.approx(damped)


@pytest.mark.parametrize("clock", ["step", "epoch"])
def test_a_warm_up_takes_at_most_half_of_the_training(clock: Clock) -> None:
    recipe = Recipe(epochs=6, clock=clock, warm_up=3)
    rates = [learning_rate(recipe, step, 2) for step in range(12)]
    assert rates == [learning_rate(replace(recipe, warm_up=50), step, 2) for step in range(12)]


def test_by_steps_a_longer_warm_up_reaches_the_peak_later_and_none_begins_near_it() -> None:
    recipe = Recipe(epochs=10, learning_rate=0.4, warm_up=3)
    rates = [learning_rate(recipe, step, 4) for step in range(12)]
    assert rates == pytest.approx([0.4 * k / 12 for k in range(1, 13)])
    rates = [learning_rate(replace(recipe, warm_up=0), step, 4) for step in range(40)]
    assert rates == pytest.approx([0.4 * math.cos(math.pi * k / 82) ** 2 for k in range(1, 41)])


def test_paths_are_dropped_more_and_more() -> None:
    recipe = Recipe(epochs=5, drop_path=0.3)
    assert [drop_probability(recipe, epoch) for epoch in range(1, 6)] == pytest.approx(
        [0, 0.06, 0.12, 0.18, 0.24]
    )


def test_only_colour_images_are_flipped_unless_told() -> None:
    assert [flips(Recipe(), channels) for channels in (1, 3)] == [False, True]
    assert flips(Recipe(flip=True), 1)
    assert not flips(Recipe(flip=False), 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": True},
        {"epochs": "3"},
        {"epochs": 2**31},
        {"momentum": "0.9"},
        {"momentum": False},
        {"crop": 1},
        {"flip": "yes"},
        {"nesterov": None},
        {"schedule": ["cosine"]},
        {"batch": 1},
        {"cutout": -1},
        {"learning_rate": 0.0},
        {"learning_rate": -0.1},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"momentum": 1.0},
        {"momentum": -0.5},
        {"weight_decay": -1e-4},
        {"label_smoothing": 1.0},
        {"warm_up": -1},
        {"warm_up": 0.5},
        {"jitter": 1.0},
        {"clip": -1.0},
        {"clip": math.nan},
        {"drop_path": 1.0},
        {"auxiliary": -0.4},
        {"schedule": "sawtooth"},
        {"optimizer": "adam"},
        {"mixup": -0.2},
        {"trivial_augment": 1},
        {"balance": math.nan},
        {"ema": 1.0},
        {"clock": "minute"},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_wrong_values_are_named_with_what_to_try(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    recipe = Recipe()
    for field, choice in wrong.items():  # past the constructor, whose types a test hook checks
        object.__setattr__(recipe, field, choice)
    with pytest.raises(ValueError, match=rf"{name}: expected .*, got .*; try"):
        check_recipe(recipe)


def test_defaults_and_plain_sgd_are_allowed() -> None:
    check_recipe(Recipe())
    check_recipe(replace(Recipe(), momentum=0.0, weight_decay=0.0, cutout=8))
