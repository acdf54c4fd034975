"""The built-in coloured shapes: the same bits everywhere, and no pixel says its class."""

import hashlib
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier

from untrained.images import Images, load_images
from untrained.images.shapes import ANGLES, CLASSES, TURNS, draw_shapes


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("shapes")


def test_they_are_ten_classes_of_as_many_coloured_images(images: Images) -> None:
    assert (images.name, images.shape, images.classes) == ("shapes", (3, 16, 16), CLASSES)
    counts = [part.labels.bincount().tolist() for part in (images.train, images.test)]
    assert counts == [[400] * 10, [100] * 10]
    assert images.notes == ()  # none occurs twice


def test_every_machine_draws_the_same_bits() -> None:
    """A checksum; and no cosine lies so near a half that machines could round it apart."""
    pixels = draw_shapes(600)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "90e5fd1fcafc89b6"
    assert len(TURNS) == ANGLES
    values = [256 * f(turn) % 1 for turn in TURNS for f in (math.cos, math.sin)]
    assert min(abs(value - 0.5) for value in values) > 1e-3


def test_a_larger_set_starts_with_the_same_images() -> None:
    assert np.array_equal(draw_shapes(30), draw_shapes(700)[:30])


def test_a_linear_model_stays_near_chance(images: Images) -> None:
    """What pixels by themselves say: a tenth is chance."""
    some = images.train.select(torch.arange(1_000))
    model = RidgeClassifier(alpha=1e3)
    model.fit(images.normalise(some.pixels).flatten(1).numpy(), some.labels.numpy())
    shown = images.normalise(images.test.pixels).flatten(1).numpy()
    assert 0.05 < model.score(shown, images.test.labels.numpy()) < 0.2
