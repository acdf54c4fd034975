"""Images distilled for kernel regression."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained import distill, draw_weights, infinite, load_images
from untrained.distillation import RandomFeatures
from untrained.images import Images


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_images("digits")


def linear(a: Tensor, b: Tensor) -> Tensor:
    return a.flatten(1) @ b.flatten(1).T + 1


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def wide(a: Tensor, b: Tensor) -> Tensor:
    layers = nn.Flatten(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 1)
    return infinite(nn.Sequential(*layers), sigma_b=0.1)(a, b).ntk


def test_predictions_are_those_of_ridge_regression(digits: Images) -> None:
    """With a linear kernel, of its weights, by the normal equations."""
    made = distill(digits, linear, generator=seeded(), per_class=2, steps=3, batch=50, ridge=0.1)
    x = digits.normalise(digits.test.pixels[:7]).double()
    support = torch.cat([made.inputs.flatten(1), torch.ones(20, 1)], 1)
    shown = torch.cat([x.flatten(1), torch.ones(7, 1)], 1)
    noise = 0.1 * support.square().sum(1).mean() * torch.eye(65)
    weights = torch.linalg.solve(support.T @ support + noise, support.T @ made.targets)
    torch.testing.assert_close(made.predict(x), shown @ weights)
    found = made.predict(digits.normalise(digits.test.pixels).double()).argmax(1)
    right = (found == digits.test.labels).double().mean()
    assert made.accuracy(digits.test, digits, chunk=100) == pytest.approx(right.item())


@pytest.mark.parametrize("kernel", ["infinite", "random features"])
def test_distilled_images_do_better_than_drawn_ones(digits: Images, kernel: str) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
    of = wide if kernel == "infinite" else RandomFeatures(network, seeded(1))
    drawn = distill(digits, of, generator=seeded(), per_class=1, steps=0)
    made = distill(digits, of, generator=seeded(), per_class=1, steps=40, batch=100, rate=0.05)
    assert torch.equal(drawn.targets.argmax(1), torch.arange(10))
    assert not drawn.losses
    assert np.mean(made.losses[-5:]) < np.mean(made.losses[:5])
    before, after = (each.accuracy(digits.test, digits) for each in (drawn, made))
    assert after > before + 0.1
    assert made.pixels(digits).shape == (10, 1, 8, 8)


def test_targets_may_stay_as_they_are(digits: Images) -> None:
    seen = list[int]()
    made = distill(digits, linear, generator=seeded(), per_class=1, steps=2, batch=10,
                   learn_targets=False, on_step=lambda step, loss: seen.append(step))  # fmt: skip
    torch.testing.assert_close(made.targets, torch.eye(10, dtype=torch.float64) - 0.1)
    assert seen == [0, 1]


def test_it_is_the_same_for_the_same_seed(digits: Images) -> None:
    first, again = (
        distill(digits, linear, generator=seeded(3), per_class=1, steps=2, batch=10)
        for _ in range(2)
    )
    assert torch.equal(first.inputs, again.inputs)


def test_random_features_are_in_the_mean_the_features_of_each_draw() -> None:
    layer = nn.Linear(4, 8)
    network, before = nn.Sequential(layer, nn.Tanh()), layer.weight.clone()
    x, generator = torch.randn(3, 4, generator=seeded()), seeded(5)
    found = RandomFeatures(network, seeded(5), count=2)(x, x[:2])
    expected = torch.zeros(3, 2)
    copy = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
    for _ in range(2):
        draw_weights(copy, "kaiming_fan_in", generator)
        expected += copy(x) @ copy(x[:2]).T / 16
    torch.testing.assert_close(found, expected.detach())
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"per_class": 0}, "per_class: expected a number of at least 1, got 0"),
        ({"steps": -1}, "steps: expected a number of at least 0, got -1"),
        ({"per_class": 500}, r"at most \d+, the training images of class '0', got 500"),
    ],
)
def test_wrong_use_is_told_in_one_line(digits: Images, given: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        distill(digits, linear, generator=seeded(), **given)  # type: ignore[arg-type]
