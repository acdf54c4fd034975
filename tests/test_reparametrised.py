"""Draws of weights that are made of parameters, against draws of the plain layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_weights import generator
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import register_parametrization

from untrained.networks.weights import WEIGHTS, draw_weights, ntk_parametrisation

METHODS = sorted(set(WEIGHTS) - {"ntk"})
PLAIN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "linear": (lambda: nn.Linear(8, 12), "weight"),
    "convolution": (lambda: nn.Conv2d(4, 6, 3, groups=2), "weight"),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3), "weight"),
    "embedding": (lambda: nn.Embedding(9, 4, padding_idx=2), "weight"),
    "recurrent": (lambda: nn.LSTM(4, 6), "weight_hh_l0"),
    "attention": (lambda: nn.MultiheadAttention(8, 2), "in_proj_weight"),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), "weight"),
}

OF_ALL: Any = None  # torch's stub wants a dimension

# Ways of making a weight that can be any weight.
EXACT: dict[str, Callable[[nn.Module, str], object]] = {
    "weight norm": parametrizations.weight_norm,
    "weight norm of all": partial(parametrizations.weight_norm, dim=OF_ALL),
    "hooks of weight norm": nn.utils.weight_norm,
    "hooks of weight norm of all": partial(nn.utils.weight_norm, dim=OF_ALL),
    "pruning none": prune.identity,
}
quiet = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")


@quiet
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", EXACT)
@pytest.mark.parametrize("name", PLAIN)
def test_the_weight_is_that_of_the_plain_layer(name: str, way: str, method: str) -> None:
    make, key = PLAIN[name]
    plain, layer = make(), make()
    EXACT[way](layer, key)
    for network in (plain, layer):
        draw_weights(network, method, generator(3))
    # before any forward pass, and without a pass that would make it
    torch.testing.assert_close(getattr(layer, key), getattr(plain, key))
    rest = [k for k, _ in plain.named_parameters() if k != key]
    assert all(torch.equal(layer.get_parameter(k), plain.get_parameter(k)) for k in rest)


PRUNED: dict[str, Callable[[nn.Module], object]] = {
    "random": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    "smallest": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
    "structured": lambda layer: prune.ln_structured(layer, "weight", 0.5, n=2, dim=0),
    "twice": lambda layer: prune.random_structured(
        prune.random_unstructured(layer, "weight", 0.5), "weight", 0.5, dim=1
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", PRUNED)
def test_masks_stay(how: str, method: str) -> None:
    plain, layer = nn.Linear(8, 12), nn.Linear(8, 12)
    PRUNED[how](layer)
    mask = layer.get_buffer("weight_mask").clone()
    for network in (plain, layer):
        draw_weights(network, method, generator(3))
    assert torch.equal(layer.get_buffer("weight_mask"), mask)
    assert torch.equal(layer.weight, plain.weight * mask)
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x), F.linear(x, plain.weight * mask, plain.bias))
    assert layer.weight.grad_fn is not None  # as a forward pass leaves it


def test_pruned_normalisation_starts_anew() -> None:
    layer = nn.BatchNorm2d(6)
    prune.random_unstructured(layer, "weight", 0.5)
    with torch.no_grad():
        layer.get_parameter("weight_orig").fill_(3)
    layer(torch.randn(4, 6, 2, 2) + 5)
    draw_weights(layer, "kaiming_fan_in", generator())
    assert torch.equal(layer.weight, layer.get_buffer("weight_mask"))
    assert not layer.get_buffer("running_mean").any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, nn.utils.spectral_norm])
@pytest.mark.parametrize("name", ["linear", "convolution", "transposed"])
def test_spectral_norm_is_of_what_was_drawn(
    name: str, norm: Callable[[nn.Module], nn.Module], training: bool
) -> None:
    make, _ = PLAIN[name]
    plain: Any = make()
    layer: Any = norm(make()).train(training)
    for network in (plain, layer):
        draw_weights(network, "kaiming_fan_in", generator(3))
    w = plain.weight.detach()
    matrix = (w.transpose(0, 1) if name == "transposed" else w).flatten(1)
    sigma = torch.linalg.svdvals(matrix)[0]
    torch.testing.assert_close(layer.weight.detach(), w / sigma)
    torch.testing.assert_close(layer.eval().weight.detach(), w / sigma)


def test_an_orthogonal_weight_is_the_factor_of_what_was_drawn() -> None:
    plain, layer = nn.Linear(8, 12), nn.Linear(8, 12)
    parametrizations.orthogonal(layer)
    for network in (plain, layer):
        draw_weights(network, "kaiming_fan_in", generator(3))
    w = layer.weight
    torch.testing.assert_close(w.T @ w, torch.eye(8), atol=1e-5, rtol=0)
    triangle = w.T @ plain.weight  # W = Q R
    torch.testing.assert_close(triangle.tril(-1), torch.zeros(8, 8), atol=1e-5, rtol=0)
    first = w.clone()
    draw_weights(layer, "kaiming_fan_in", generator(4))
    assert not torch.allclose(first, layer.weight)


class Masked(nn.Module):
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(96) % 3 > 0).view(12, 8))

    def forward(self, w: Tensor) -> Tensor:
        return w * self.mask


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).T


class Signed(nn.Module):
    """Another way to write the same number, which has an inverse."""

    def forward(self, w: Tensor) -> Tensor:
        return w.sinh()

    def right_inverse(self, w: Tensor) -> Tensor:
        return w.asinh()


def test_other_parametrisations_that_give_what_they_are_asked_for() -> None:
    ways: list[tuple[nn.Module, Tensor | int]] = [(Masked(), Masked().mask), (Signed(), 1)]
    for step, mask in ways:
        plain, layer = nn.Linear(8, 12), nn.Linear(8, 12)
        register_parametrization(layer, "weight", step)
        for network in (plain, layer):
            draw_weights(network, "kaiming_fan_in", generator(3))
        torch.testing.assert_close(layer.weight, plain.weight * mask)


def test_others_are_refused_by_name_and_may_be_kept() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    register_parametrization(model[1], "weight", Symmetric())
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"'1\.weight' is parametrised by Symmetric.*keep="):
        draw_weights(model, "kaiming_fan_in", generator())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    keep = ["1.parametrizations.weight.original"]
    draw_weights(model, "kaiming_fan_in", generator(), keep=keep)
    kept = model.get_parameter("1.parametrizations.weight.original")
    assert any(torch.equal(kept, p) for p in before)
    assert not any(torch.equal(model.get_parameter("0.weight"), p) for p in before)


@quiet
def test_what_is_parametrised_twice_is_refused() -> None:
    layer = nn.utils.weight_norm(nn.Linear(4, 4))
    prune.random_unstructured(layer, "weight_v", 0.5)
    with pytest.raises(ValueError, match=r"'0\.weight' is parametrised twice"):
        draw_weights(nn.Sequential(layer), "kaiming_fan_in", generator())


@quiet
@pytest.mark.parametrize("way", EXACT)
def test_ntk_parametrisation_refuses_a_weight_that_is_parametrised(way: str) -> None:
    layer = nn.Linear(4, 4)
    EXACT[way](layer, "weight")
    with pytest.raises(ValueError, match="cannot be parametrised"):
        ntk_parametrisation(nn.Sequential(layer))
