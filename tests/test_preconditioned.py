"""Kernels of optimizers that scale steps."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from untrained import ntk
from untrained.kernels import (
    adam_scales,
    preconditioned_contributions,
    preconditioned_ntk,
    sign_scales,
)


def made() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Dropout(), nn.Flatten(), nn.Linear(12, 2)
    ).double()
    return network, torch.randn(5, 1, 4, 4).double(), torch.randn(5, 2).double()


def jacobian(network: nn.Module, x: Tensor) -> Tensor:
    """Of summed outputs, row by row."""
    parameters = list(network.parameters())
    rows = []
    for one in network(x).sum(1):
        found = torch.autograd.grad(one, parameters, retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def test_columns_of_the_jacobian_are_scaled() -> None:
    network, x, _ = made()
    scales = {name: torch.rand_like(p) for name, p in network.named_parameters()}
    network.train()
    found = preconditioned_ntk(network, x, scales=scales)
    assert network.training
    j = jacobian(network.eval(), x)
    p = torch.cat([scale.flatten() for scale in scales.values()])
    torch.testing.assert_close(found.as_subclass(Tensor), (j * p) @ j.T)
    between = preconditioned_ntk(network, x[:2], x[2:], scales=scales)
    torch.testing.assert_close(between, found[:2, 2:])
    ones = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    torch.testing.assert_close(preconditioned_ntk(network, x, scales=ones), ntk(network, x))


def test_a_step_of_adam_is_that_of_its_kernel() -> None:
    """To first order in the learning rate, without momentum and with squares that hardly move."""
    network, x, y = made()
    network.eval()
    adam = torch.optim.Adam(network.parameters(), lr=0.0, betas=(0.0, 0.999999))

    def step() -> Tensor:
        adam.zero_grad()
        before = network(x)
        ((before - y).square().sum() / 2).backward()
        adam.step()
        return before.detach()

    for _ in range(3):
        step()
    scales = adam_scales(network, adam)
    theta = preconditioned_ntk(network, x, scales=scales, output="full").as_subclass(Tensor)
    adam.param_groups[0]["lr"] = 1e-6
    before = step()
    moved = (network(x).detach() - before) / 1e-6
    expected = -(theta @ (before - y).flatten()).reshape(5, 2)
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ({"weight": torch.ones(3)}, r"scales: .* got \(3,\) for 'weight'"),
        ({"weights": torch.ones(1, 2)}, "for 'weights'"),
        ({"weight": -torch.ones(1, 2)}, "0 or more"),
    ],
)
def test_scales_that_do_not_fit_are_told(scales: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        preconditioned_ntk(nn.Linear(2, 1), torch.randn(3, 2), scales=scales)


def test_an_optimizer_without_squares_is_told() -> None:
    network = nn.Linear(2, 1)
    for other in (torch.optim.SGD(network.parameters(), 0.1), torch.optim.Adam([torch.ones(1)])):
        with pytest.raises(ValueError, match="expected Adam or AdamW with a step"):
            adam_scales(network, other)


def test_contributions_add_up() -> None:
    network, x, _ = made()
    scales = {name: torch.rand_like(p) for name, p in network.named_parameters()}
    parts = preconditioned_contributions(network, x, scales=scales)
    assert list(parts) == ["0", "4"]
    torch.testing.assert_close(
        parts["0"] + parts["4"], preconditioned_ntk(network, x, scales=scales)
    )


def test_flags_of_single_modules_stay() -> None:
    network, x, _ = made()
    network.train()
    network[2].eval()  # type: ignore[index]
    preconditioned_ntk(network, x, scales={"4.bias": torch.ones(2)})
    assert [module.training for module in network.children()] == [True, True, False, True, True]


def test_the_first_step_of_adam_is_that_of_its_gradients() -> None:
    network, x, y = made()
    adam = torch.optim.Adam(network.parameters(), lr=0.0)
    (network(x) - y).square().sum().backward()
    before = adam_scales(network, adam)
    adam.step()
    for name, scale in adam_scales(network, adam).items():
        torch.testing.assert_close(before[name], scale)


def test_the_largest_squares_of_amsgrad_count() -> None:
    """A step along its own scale, with a gradient that has become small."""
    p = nn.Linear(1, 1, bias=False)
    adam = torch.optim.Adam(p.parameters(), lr=0.0, betas=(0.0, 0.5), amsgrad=True)
    for slope in (1.0, 1e-3):
        p.weight.grad = torch.full((1, 1), slope)
        adam.param_groups[0]["lr"] = 0.0 if slope == 1 else 1.0
        before = p.weight.detach().clone()
        adam.step()
    moved = (before - p.weight.detach()).item()
    assert moved == pytest.approx(1e-3 * adam_scales(p, adam)["weight"].item(), rel=1e-3)


def test_signs_without_gradients_are_told() -> None:
    with pytest.raises(ValueError, match="expected gradients of the network, got none"):
        sign_scales(nn.Linear(2, 1))


def test_batchnorm_has_its_policy_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(6, 3)
    ones = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    for policy in ("frozen", "batch", "running"):
        found = preconditioned_ntk(network, x, scales=ones, batchnorm=policy)
        torch.testing.assert_close(found, ntk(network, x, batchnorm=policy), rtol=1e-4, atol=1e-6)
