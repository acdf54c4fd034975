"""The schedule against its closed form, and every value that cannot be trained with."""

import math
from dataclasses import replace

import pytest

from untrained.training.recipe import Recipe, check_recipe, flips, learning_rate


def test_warm_up_is_linear_and_reaches_the_peak():
    recipe = Recipe(epochs=5, learning_rate=0.4)
    rates = [learning_rate(recipe, step, 8) for step in range(8)]
    assert rates == pytest.approx([0.4 * k / 8 for k in range(1, 9)])


def test_the_rest_is_half_a_cosine_from_the_peak_to_zero():
    recipe = Recipe(epochs=5, learning_rate=0.4)
    rates = [learning_rate(recipe, step, 8) for step in range(7, 40)]
    angles = [math.pi * k / 33 for k in range(33)]
    assert rates == pytest.approx([0.4 * math.cos(angle / 2) ** 2 for angle in angles])
    assert learning_rate(recipe, 40, 8) == pytest.approx(0)


def test_a_single_epoch_still_falls():
    recipe = Recipe(epochs=1, learning_rate=1.0)
    rates = [learning_rate(recipe, step, 10) for step in range(10)]
    assert max(rates) == rates[4] == 1.0
    assert 0 < rates[-1] < 0.1


def test_a_single_step_has_a_rate():
    assert learning_rate(Recipe(epochs=1, learning_rate=1.0), 0, 1) == pytest.approx(0.5)


def test_only_colour_images_are_flipped_unless_told():
    assert [flips(Recipe(), channels) for channels in (1, 3)] == [False, True]
    assert flips(Recipe(flip=True), 1)
    assert not flips(Recipe(flip=False), 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1.5},
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
    ],
    ids=str,
)
def test_wrong_values_are_named_with_what_to_try(wrong):
    (name,) = wrong
    recipe = Recipe()
    for field, choice in wrong.items():  # past the constructor, whose types a test hook checks
        object.__setattr__(recipe, field, choice)
    with pytest.raises(ValueError, match=rf"{name}: expected .*, got .*; try"):
        check_recipe(recipe)


def test_defaults_and_plain_sgd_are_allowed():
    check_recipe(Recipe())
    check_recipe(replace(Recipe(), momentum=0.0, weight_decay=0.0, cutout=8))
