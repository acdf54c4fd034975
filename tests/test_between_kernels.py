"""Between the NNGP and the NTK: networks whose readout learns faster than the layers below it.

The readout's share of the NTK Theta is the NNGP K. If the layers below learn at the rate a of the
readout's, the kernel of training is

    Theta_a = K + a (Theta - K) = (1 - a) K + a Theta

and an ensemble is `gradient_flow(Theta_a).covariance(..., nngp=K)`: see docs/ensembles.md.
"""

from math import inf
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from untrained import gradient_descent, gradient_flow, infinite, linearised, ntk_contributions
from untrained.networks import draw_weights, ntk_parametrisation

N, M = 7, 4


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y = randn(N + M, 3), randn(N, 2, seed=1)
LIMIT = infinite(nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 1)), sigma_b=0.3)(X)
GAUSSIAN, TANGENT = LIMIT.nngp.as_subclass(Tensor), LIMIT.ntk.as_subclass(Tensor)


def ensemble(a: float, t: float) -> tuple[Tensor, Tensor]:
    """Mean and covariance on the other examples."""
    theta = (1 - a) * GAUSSIAN + a * TANGENT
    flow = gradient_flow(theta[:N, :N], Y)
    return flow.predict(theta[N:, :N], t), flow.covariance(theta[N:, :N], GAUSSIAN, t)


def blocks(k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return k[:N, :N], k[N:, :N], k[N:, N:]


def test_with_the_readout_alone_it_ends_at_the_posterior_of_the_nngp() -> None:
    mean, covariance = ensemble(0.0, inf)
    k, across, others = blocks(GAUSSIAN)
    torch.testing.assert_close(mean, across @ torch.linalg.solve(k, Y))
    torch.testing.assert_close(covariance, others - across @ torch.linalg.solve(k, across.T))


def test_with_equal_rates_it_ends_at_regression_with_the_ntk() -> None:
    """Lee et al., https://arxiv.org/abs/1902.06720, equation 16."""
    mean, covariance = ensemble(1.0, inf)
    theta, between, _ = blocks(TANGENT)
    k, across, others = blocks(GAUSSIAN)
    a = torch.linalg.solve(theta, between.T).T
    torch.testing.assert_close(mean, a @ Y)
    torch.testing.assert_close(covariance, others + a @ k @ a.T - a @ across.T - across @ a.T)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_it_begins_at_the_prior(a: float) -> None:
    mean, covariance = ensemble(a, 0.0)
    assert not mean.any()
    torch.testing.assert_close(covariance, GAUSSIAN[N:, N:])


def test_the_readouts_share_of_the_tangent_kernel_is_the_nngp() -> None:
    """To about 1 / sqrt(width)."""
    wide = nn.Sequential(nn.Linear(3, 4096), nn.ReLU(), nn.Linear(4096, 1)).double()
    network = ntk_parametrisation(wide, sigma_b=0.3)
    draw_weights(network, "ntk", torch.Generator().manual_seed(0))
    share = ntk_contributions(network, X, by=lambda name: name.split(".")[0])["2"]
    torch.testing.assert_close(share.as_subclass(Tensor), GAUSSIAN, rtol=0.05, atol=0.02)


def test_in_between_it_is_training_at_two_rates() -> None:
    """Of a network of any width, made linear: step by step, with a rate for each layer."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    below, readout = ntk_contributions(network, X).values()
    a, rate, y = 0.3, 0.01, Y[:, :1]
    theta = (readout + a * below).as_subclass(Tensor)
    start = network(X).detach()
    closed = gradient_descent(theta[:N, :N], y, rate=rate, start=start[:N])
    linear = linearised(network)
    moved = list(linear.moved)
    groups: list[dict[str, Any]] = [
        {"params": moved[:2], "lr": a * rate},
        {"params": moved[2:], "lr": rate},
    ]
    descent = torch.optim.SGD(groups)
    for _ in range(60):
        descent.zero_grad()
        (linear(X[:N]) - y).square().sum().div(2).backward()
        descent.step()
    expected = closed.predict(theta[N:, :N], 60, start[N:])
    torch.testing.assert_close(linear(X[N:]).detach(), expected)
