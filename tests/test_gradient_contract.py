"""What every score of gradients keeps, whatever the network, the images and the surroundings."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from odd import CLASSES, Odd, generator, odd, probe
from torch import nn

from untrained.scores import SCORES, Score
from untrained.scores.gradient_noise import GradientNoise
from untrained.scores.sensitivity import LossGradientScore

OF_BATCH = [n for n, s in SCORES.items() if issubclass(s, LossGradientScore)] + ["grasp"]
OURS = [
    *OF_BATCH, "synflow", "synflow_bn", "l2_norm", "zico", "zico:zico", "xi_gsnr",
    "xigsnr:xi_gsnr", "knas:mgm", "knas", "lpntk_contrast", "gradsign",
]  # fmt: skip


def score_of(name: str) -> Score:
    score = SCORES[name]()
    return replace(score, batches=4) if isinstance(score, GradientNoise) else score


@pytest.mark.parametrize("name", [*OF_BATCH, "knas", "lpntk_contrast", "gradsign"])
def test_the_order_of_images_is_not_seen(name: str) -> None:
    network, shown = odd(), probe()
    order = torch.randperm(12, generator=generator(5))
    moved = replace(shown, inputs=shown.inputs[order], labels=shown.labels[order])
    first, second = (score_of(name)(network, each, generator()).value for each in (shown, moved))
    assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize("name", OURS)
def test_gradients_that_were_there_stay_and_so_does_what_is_frozen(name: str) -> None:
    network, shown = odd(), probe()
    for p in network.parameters():
        p.grad = torch.full_like(p, 3.0)
    state = copy.deepcopy(network.state_dict())
    score_of(name)(network, shown, generator())
    assert all(p.grad is not None and (p.grad == 3).all() for p in network.parameters())
    assert not any(p.requires_grad for p in network.frozen.parameters())
    assert all(torch.equal(v, state[key]) for key, v in network.state_dict().items())
    assert network.training
    assert not network.stem._forward_hooks


@pytest.mark.parametrize("name", OURS)
def test_no_gradients_outside_is_no_hindrance(name: str) -> None:
    expected = score_of(name)(odd(), probe(), generator())
    for outside in (torch.no_grad(), torch.inference_mode()):
        network, shown = odd(), probe()
        with outside:
            assert score_of(name)(network, shown, generator()) == expected


def test_one_pass_serves_the_whole_family() -> None:
    scores = [SCORES[name]() for name in SCORES if issubclass(SCORES[name], LossGradientScore)]
    asked = {(s.view, s.probe, s.network, s.weights) for s in scores}  # type: ignore[attr-defined]
    assert len(scores) == 7
    assert len(asked) == 1


def poisoned(network: Odd) -> None:
    network.shared.weight[0, 0] = torch.nan


def overflowing(network: Odd) -> None:
    for p in (network.stem.weight, network.shared.weight, network.kernel, network.head.weight):
        p.mul_(1e38)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("spoil", [poisoned, overflowing])
def test_nan_and_infinity_are_a_reason(name: str, spoil: Callable[[Odd], None]) -> None:
    network = odd()
    with torch.no_grad():
        spoil(network)
    found = score_of(name)(network, probe(), generator())
    if spoil is overflowing and name in ("l2_norm", "synflow", "synflow_bn"):
        assert found.value is not None  # float64 holds them
    else:
        assert found.value is None
        assert found.reason


@pytest.mark.parametrize("name", OURS)
def test_a_batch_of_one_class(name: str) -> None:
    shown = replace(probe(), labels=torch.zeros(12, dtype=torch.int64))
    found = score_of(name)(odd(), shown, generator())
    assert (found.value is None) == (name == "lpntk_contrast")
    assert bool(found.reason) == (name == "lpntk_contrast")


@pytest.mark.parametrize("name", OURS)
def test_a_network_that_trains_nothing_is_told_so(name: str) -> None:
    network = odd().requires_grad_(False)
    with pytest.raises(ValueError, match=r"expected .* trainable parameter"):
        score_of(name)(network, probe(), generator())


@pytest.mark.parametrize("name", ["grasp", "synflow", "l2_norm", "zico", "gradsign"])
def test_a_network_of_vectors_has_no_weights(name: str) -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d((CLASSES, 1)), nn.Flatten())
    with pytest.raises(ValueError, match="two dimensions or more, got vectors alone"):
        score_of(name)(network, probe(), generator())
