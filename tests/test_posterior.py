"""Gaussian processes conditioned on what was seen."""

from inspect import unwrap
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from untrained import infinite, nngp, posterior, regression
from untrained.analysis import Posterior

N, M = 12, 6


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X = randn(N + M, 2)
K = torch.exp(-torch.cdist(X, X).square() / 2)
Y = torch.stack([X[:, 0].sin(), X[:, 1] * X[:, 0]], 1) + 0.1 * randn(N + M, 2, seed=1)


def test_it_is_the_joint_gaussian_conditioned() -> None:
    """By Schur complements of the joint covariance, with noise on what was seen."""
    found = posterior(K, Y[:N], ridges=[0.03])
    noise = 0.03 * K[:N, :N].diagonal().mean()
    precision = torch.linalg.inv(K[:N, :N] + noise * torch.eye(N))
    scale = (Y[:N] * (precision @ Y[:N])).sum() / (2 * N)
    torch.testing.assert_close(found.mean, K[N:, :N] @ precision @ Y[:N])
    torch.testing.assert_close(
        found.covariance, scale * (K[N:, N:] - K[N:, :N] @ precision @ K[:N, N:])
    )
    assert found.noise == pytest.approx((scale * noise).item())


def test_its_likelihood_is_that_of_the_regression() -> None:
    fit = regression(K[:N, :N], Y[:N])
    found = posterior(K, Y[:N])
    r = fit.best("log_marginal_likelihood")
    errors = fit.errors(K[N:, :N], Y[N:], K.diagonal()[N:])
    assert errors.negative_log_likelihood is not None
    nll = found.negative_log_likelihood(Y[N:])
    assert nll == pytest.approx(errors.negative_log_likelihood[r].item())
    assert found.ridge == pytest.approx(fit.ridges[r].item())


def test_draws_have_its_mean_and_covariance() -> None:
    found = posterior(K, Y[:N], ridges=[0.03])
    draws = found.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), found.mean, atol=0.02, rtol=0)
    for column in range(2):
        torch.testing.assert_close(draws[..., column].T.cov(), found.covariance, atol=0.02, rtol=0)


def test_intervals_hold_what_they_say_where_the_process_is_true() -> None:
    """Of functions drawn from it, at all but a few points; 2,000 of them as so many columns."""
    truth = MultivariateNormal(torch.zeros(N + M, dtype=K.dtype), K + 0.1 * torch.eye(N + M))
    torch.manual_seed(0)
    y = truth.sample(torch.Size([2000])).T
    found = posterior(K, y[:N], ridges=[0.1]).coverage(y[N:], (0.5, 0.9))
    assert found[0.5] == pytest.approx(0.5, abs=0.02)
    assert found[0.9] == pytest.approx(0.9, abs=0.02)
    sure = Posterior(torch.zeros(M, 2000).double(), 1e-6 * torch.eye(M).double(), 0.0, 0.1)
    assert sure.coverage(y[N:])[0.95] < 0.1


def test_kernels_of_networks_will_do() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    wide = infinite(net, sigma_b=0.3)(X).nngp
    drawn = nngp(net.double(), X, generator=torch.Generator().manual_seed(0)).mean
    for kernel in (wide, drawn):
        found = posterior(kernel, torch.tensor([0, 1] * (N // 2)))
        assert found.mean.shape == (M, 2)
        assert (found.deviation > 0).all()


@pytest.mark.parametrize(
    ("kernel", "said"), [(K[:N], "a square kernel of 12"), (K[:N, :N], "and then others")]
)
def test_wrong_shapes_are_told(kernel: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unwrap(posterior)(kernel, Y[:N])
