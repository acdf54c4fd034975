"""Weight draws: their laws, and common numbers."""

import pytest
import torch
from torch import nn

from untrained.kernels import draw_weights
from untrained.kernels.weights import WEIGHTS
from untrained.spaces import get_space


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("method", "std"),
    [
        ("kaiming_fan_out", (2 / (64 * 9)) ** 0.5),
        ("kaiming_fan_in", (2 / (32 * 9)) ** 0.5),
        ("torch_default", (1 / (3 * 32 * 9)) ** 0.5),
    ],
)
def test_standard_deviations(method: str, std: float) -> None:
    layer = nn.Conv2d(32, 64, 3)
    draw_weights(layer, method, generator())
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.weight.mean().abs().item() < 0.02 * std
    assert (layer.bias == 0).all() == (method != "torch_default")


def test_same_law_as_torch_kaiming_normal() -> None:
    layer, other = nn.Linear(300, 200), nn.Linear(300, 200)
    draw_weights(layer, "kaiming_fan_in", generator())
    nn.init.kaiming_normal_(other.weight, mode="fan_in", nonlinearity="relu")
    assert layer.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.02)


@pytest.mark.parametrize("method", WEIGHTS)
def test_networks_that_share_a_layer_share_its_weights(method: str) -> None:
    space = get_space("nasbench201")
    parent = space.supernet()
    child = space.without(parent, space.choices(parent)[5])
    networks = [
        space.build(a, space.scales["small"], inputs=3, classes=10) for a in (parent, child)
    ]
    for network in networks:
        draw_weights(network, method, generator(7))
    weights, fewer = (dict(network.named_parameters()) for network in networks)
    assert set(fewer) < set(weights)
    assert all(torch.equal(fewer[name], weights[name]) for name in fewer)


def test_normalisation_starts_anew() -> None:
    layer = nn.Sequential(nn.BatchNorm2d(3))
    layer(torch.randn(4, 3, 2, 2) + 5)
    nn.init.constant_(layer[0].weight, 3)
    draw_weights(layer, "kaiming_fan_in", generator())
    assert (layer[0].weight == 1).all()
    assert (layer[0].running_mean == 0).all()


def test_slopes_and_scales_are_not_weights() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.PReLU(), nn.RMSNorm(3))
    draw_weights(model, "kaiming_fan_in", generator())
    assert model[1].weight.item() == 0.25
    assert (model[2].weight == 1).all()


def test_other_seeds_other_weights_and_global_state_untouched() -> None:
    state = torch.random.get_rng_state()
    a, b, c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    state = torch.random.get_rng_state()
    for layer, seed in ((a, 1), (b, 1), (c, 2)):
        draw_weights(layer, "torch_default", generator(seed))
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert torch.equal(state, torch.random.get_rng_state())


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean kaiming_fan_out"):
        draw_weights(nn.Linear(2, 2), "kaiming_fanout", generator())
