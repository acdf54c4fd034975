"""The recipe `auto`: what it chooses, when, and how it becomes part of a run's configuration."""

import time
from dataclasses import replace
from functools import partial
from statistics import fmean

import pytest
import torch
from test_training import digits, same_bits, small_network, weights
from test_training_extras import unequal

from untrained.images import Images, Labelled
from untrained.runs import RunConfig
from untrained.runs.presets import fit, resolve
from untrained.runs.tasks import training_images
from untrained.tracking.config import TrackConfig
from untrained.training import TrainingSpec, auto_recipe
from untrained.training.auto import CROPPED, CUT, LONG, notes_on
from untrained.training.recipe import AUTO, Recipe, check_recipe
from untrained.training.timing import LONGEST, auto_within, seconds_of_epoch


def coloured(count: int, side: int = 32) -> Images:
    images = digits()
    pixels = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    train = Labelled(pixels, torch.arange(count) % 10)
    return replace(images, train=train, mean=torch.zeros(3), std=torch.ones(3))


@pytest.mark.parametrize(("count", "epochs"), [(200, 50), (2_000, 30), (3_001, 20), (50_000, 20)])
def test_fewer_images_are_shown_more_often(count: int, epochs: int) -> None:
    assert auto_recipe(coloured(count, side=2)).epochs == epochs
    assert auto_recipe(coloured(count, side=2), epochs=7).epochs == 7


def test_longer_trainings_alter_images_more() -> None:
    images = coloured(20)
    short, some, many, long = (auto_recipe(images, epochs=e) for e in (1, CROPPED, CUT, LONG))
    assert (short.crop, short.cutout, short.ema, short.mixup) == (False, 0, 0.0, 0.0)
    assert (some.crop, some.cutout) == (True, 0)
    assert (many.cutout, many.ema > 0, many.trivial_augment) == (8, True, False)
    assert (long.trivial_augment, long.mixup > 0) == (True, True)


def test_small_images_stay_whole() -> None:
    recipe = auto_recipe(digits(), epochs=LONG)
    assert (recipe.cutout, recipe.mixup, recipe.trivial_augment) == (0, 0.0, False)


@pytest.mark.parametrize("epochs", [None, 1, 10, 50, 1000])
def test_what_is_chosen_can_be_trained_with(epochs: int | None) -> None:
    for images in (digits(), coloured(30)):
        check_recipe(auto_recipe(images, epochs=epochs))


def test_unequal_classes_are_noticed_and_handled() -> None:
    images = digits()
    assert auto_recipe(images).balance == 0
    assert notes_on(images, Recipe()) == ()
    images = unequal(images)
    recipe = auto_recipe(images)
    assert recipe.balance == 0.5
    (note,) = notes_on(images, recipe)
    assert "2 of 9; in the loss, a class of n images weighs n^-0.5" in note
    assert "try --training.balance 0.5" in notes_on(images, Recipe())[0]


def test_what_is_asked_for_takes_precedence_and_the_rest_is_filled_in() -> None:
    spec = TrainingSpec(recipe=AUTO, epochs=3, batch=50, flip=True, images=60)
    images = coloured(200)
    fitted = fit(resolve(RunConfig(training=spec)), images)
    drawn = training_images(images, 60, 0)
    assert fitted.recipe == replace(auto_recipe(drawn, epochs=3), batch=50, flip=True)
    assert (fitted.training.recipe, fitted.training.images) == (AUTO, 60)
    assert fit(fitted, unequal(digits())).training == fitted.training  # as its TOML would


def test_it_is_the_default_of_what_is_trained_alone() -> None:
    assert resolve(RunConfig(train=True)).training.recipe == AUTO
    assert resolve(RunConfig()).training.recipe == "default"
    named = TrainingSpec(recipe="default", epochs=2)
    assert resolve(RunConfig(train=True, training=named)).recipe == Recipe(epochs=2)


def test_what_cannot_be_trained_with_is_refused_beside_it() -> None:
    for wrong in ({"learning_rate": 0.5}, {"epochs": 0}, {"precision": "mixed"}):
        spec = TrainingSpec(recipe=AUTO, **wrong)
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            fit(resolve(RunConfig(training=spec)), digits())
    with pytest.raises(ValueError, match="expected a recipe by name for a network that is track"):
        TrackConfig(training=TrainingSpec(recipe=AUTO)).check()


def test_an_epoch_is_timed_on_a_copy() -> None:
    network, images = small_network(), digits()
    before, state = weights(network), torch.get_rng_state()
    network.train()
    spent = seconds_of_epoch(network, images, Recipe(), clock=time.process_time)
    assert 0 < spent < 5
    assert same_bits(weights(network), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training


def test_of_three_rounds_the_fastest_counts_or_their_mean() -> None:
    """Steps take 1, 2 and 6 s, evaluations none, by a clock that is read three times a round."""
    images = digits(train=64, validation=30)
    for of, steps in ((min, 1.0), (fmean, 3.0)):
        looks = iter((0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 9.0, 9.0))
        found = seconds_of_epoch(
            small_network(), images, Recipe(), clock=partial(next, looks), of=of
        )
        assert found == pytest.approx(steps)


def test_epochs_fill_the_seconds() -> None:
    """By a clock that moves on by a hundredth of a second whenever it is looked at."""
    ticks = iter(range(10**6))

    def clock() -> float:
        return next(ticks) / 100

    images = digits(train=200, validation=60)
    once = 4 * 0.01 / 3 + 60 * 0.01 / 60  # of 4 batches, 3 are timed
    spent = 2 * 10 * 0.01  # two measurements of 9 looks, and one look after each
    found = auto_within(6.0, small_network(), images, clock=clock)
    assert found.epochs == pytest.approx((6.0 - spent) / once, abs=2)
    assert auto_within(0.1, small_network(), images, clock=clock).epochs == 1
    assert auto_within(1e6, small_network(), images, clock=clock).epochs == LONGEST
