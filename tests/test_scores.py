"""The contract that every score keeps, and each score against something independent."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.kernels import draw_weights
from untrained.runs.tasks import read
from untrained.scores import SCORES, Reading, Score, get_score
from untrained.spaces import get_space

SPACE = get_space("nasbench201")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def setting(name: str, digits: Images) -> tuple[Score, nn.Module, Probe]:
    """The score, and a small network and probe of the kind that it asks for."""
    score = SCORES[name]()
    spec = ProbeSpec(12, patch=score.probe.patch, one_channel=score.probe.one_channel)
    network = SPACE.build(
        SPACE.sample(random.Random(5)), SPACE.scales[score.network], inputs=1, classes=10
    )
    draw_weights(network, score.weights, generator())
    return score, network.train(), draw_probe(digits, spec, generator())


@pytest.mark.parametrize("name", SCORES)
def test_network_and_random_state_are_left_as_they_were(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = probe.inputs.clone()
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    score(network, probe, generator())
    assert all(torch.equal(v, state[key]) for key, v in network.state_dict().items())
    assert all(v.dtype == state[key].dtype for key, v in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    assert torch.equal(inputs, probe.inputs)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", SCORES)
def test_same_seed_same_bits_and_a_copy_scores_equal(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    first = score(network, probe, generator(3))
    assert first == score(network, probe, generator(3))
    assert first == score(copy.deepcopy(network), probe, generator(3))


@pytest.mark.parametrize("name", SCORES)
def test_a_reading_is_a_finite_number_or_a_reason(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    for broken in (None, torch.nan):
        if broken is not None:
            with torch.no_grad():
                next(network.parameters()).fill_(broken)
        reading = read(score, network, probe, generator())
        assert isinstance(reading, Reading)
        if reading.value is None:
            assert reading.reason
        else:
            assert np.isfinite(reading.value)
            assert reading.reason == ""


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_a_frozen_hashable_value(name: str) -> None:
    assert SCORES[name]() == SCORES[name]()
    assert len({SCORES[name](), SCORES[name]()}) == 1


@pytest.mark.parametrize("name", SCORES)
def test_every_architecture_of_the_space_can_be_asked(name: str, digits: Images) -> None:
    score, _, probe = setting(name, digits)
    empty = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for architecture in (SPACE.parse(empty), SPACE.supernet()):
        network = SPACE.build(architecture, SPACE.scales[score.network], inputs=1, classes=10)
        reading = read(score, network, probe, generator())
        assert (reading.value is None) == bool(reading.reason)


def test_nan_weights_are_a_reason_and_not_a_number(digits: Images) -> None:
    score, network, probe = setting("condition_number", digits)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    reading = score(network, probe, generator())
    assert reading.value is None
    assert "NaN" in reading.reason


def test_sizes_against_closed_forms(digits: Images) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 10))
    probe = draw_probe(digits, ProbeSpec(1), generator())
    values = {
        name: SCORES[name]()(network, probe, generator()).value
        for name in ("parameters", "macs", "trainable_layers")
    }
    assert values == {
        "parameters": (9 + 1) * 4 + (256 + 1) * 10,
        "macs": 64 * 9 * 4 + 256 * 10,
        "trainable_layers": 2,
    }


def test_unknown_score_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="condition_number"):
        get_score("condition_numbr")


def test_a_score_of_your_own_by_import_path() -> None:
    assert get_score("untrained.scores.size:Parameters") is SCORES["parameters"]
    with pytest.raises(ValueError, match=r"expected package\.module:name"):
        get_score("no_such_module:Thing")
