"""Evidence by the tangent kernel: its value, its gradients, and what lies below it."""

from inspect import unwrap
from math import log, pi
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from untrained import ntk, ntk_contributions, regression
from untrained.analysis import log_evidence, log_occam_factor, softmax_curvature

N, K, NOISE = 6, 3, 0.2


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


torch.manual_seed(0)
NETWORK = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, K)).double()
X, Y = randn(N, 4), randn(N, K, seed=1)
THETA = ntk(NETWORK, X, output="full", precision="float64").as_subclass(Tensor)
OUTPUTS, BATCHES = torch.arange(K).repeat(N), (torch.arange(N) // 2).repeat_interleave(K)


def test_it_is_the_density_of_the_targets() -> None:
    covariance = THETA + NOISE * torch.eye(N * K)
    expected = MultivariateNormal(torch.zeros(N * K).double(), covariance).log_prob(Y.flatten())
    torch.testing.assert_close(log_evidence(THETA, Y, NOISE), expected)
    shared = THETA[::K, ::K]  # one kernel for each of K independent outputs
    alone = MultivariateNormal(torch.zeros(N).double(), shared + NOISE * torch.eye(N))
    torch.testing.assert_close(log_evidence(shared, Y, NOISE), alone.log_prob(Y.T).sum())


def test_regression_has_the_same_for_its_ridges() -> None:
    shared = THETA[::K, ::K]
    fit = regression(shared, Y, ridges=[0.03, 2.0])
    for ridge, noise in enumerate(fit.noise.tolist()):
        found = log_evidence(shared, Y, noise).item()
        assert found == pytest.approx(fit.log_marginal_likelihood_at(1)[ridge].item())


def test_in_the_space_of_parameters_it_is_a_gaussian_integral() -> None:
    """max_theta of likelihood and prior, and -1/2 log det(I + J^T J / (delta sigma^2)), p x p."""
    delta = 0.7
    model = nn.Linear(4, K, bias=False).double()
    theta = ntk(model, X, output="full", precision="float64").as_subclass(Tensor)
    j = torch.kron(X, torch.eye(K, dtype=torch.float64))  # rows of f = W x by W^T, of p = 4 K
    torch.testing.assert_close(theta, j @ j.T)
    hessian = j.T @ j / NOISE + delta * torch.eye(4 * K)
    w = torch.linalg.solve(hessian, j.T @ Y.flatten() / NOISE)
    fit = -(Y.flatten() - j @ w).square().sum() / (2 * NOISE) - delta / 2 * w.square().sum()
    factor = -(hessian / delta).logdet() / 2
    expected = fit + factor - N * K / 2 * log(2 * pi * NOISE)
    torch.testing.assert_close(log_evidence(theta / delta, Y, NOISE), expected)
    torch.testing.assert_close(log_occam_factor(theta / delta, NOISE), factor)


@pytest.mark.parametrize("seed", range(5))
def test_the_bounds_lie_below(seed: int) -> None:
    """Finer groups below coarser ones, and single blocks are their terms."""
    z = randn(N * K, 4 * N, seed=seed)
    theta = z @ z.T * 10.0 ** (seed - 2)
    whole = log_evidence(theta, Y, NOISE)
    outputs = log_evidence(theta, Y, NOISE, groups=OUTPUTS)
    batches = log_evidence(theta, Y, NOISE, groups=BATCHES)
    both = log_evidence(theta, Y, NOISE, groups=BATCHES * K + OUTPUTS)
    assert both < min(outputs, batches)
    assert max(outputs, batches) < whole
    one = [log_occam_factor(theta[k::K, k::K], NOISE) for k in range(K)]
    torch.testing.assert_close(
        log_occam_factor(theta, NOISE, groups=OUTPUTS), torch.stack(one).sum()
    )
    torch.testing.assert_close(
        torch.stack(one).mean() * K - log_occam_factor(theta, NOISE), outputs - whole
    )


def test_blocks_come_from_kernels_of_their_own() -> None:
    """The bounds need no more than the kernel of each output, or of each batch."""
    apart = [log_occam_factor(ntk(NETWORK, X, output=k), NOISE) for k in range(K)]
    found = log_occam_factor(THETA, NOISE, groups=OUTPUTS)
    torch.testing.assert_close(torch.stack(apart).sum(), found)
    batches = [log_occam_factor(ntk(NETWORK, x, output="full"), NOISE) for x in X.split(2)]
    found = log_occam_factor(THETA, NOISE, groups=BATCHES)
    torch.testing.assert_close(torch.stack(batches).sum(), found)


@pytest.mark.parametrize("groups", [None, OUTPUTS, BATCHES])
def test_gradients_in_precisions_and_noise(groups: Tensor | None) -> None:
    layers = [t.as_subclass(Tensor) for t in ntk_contributions(NETWORK, X, output="full").values()]

    def evidence(log_precisions: Tensor, log_noise: Tensor) -> Tensor:
        theta = sum((-d).exp() * t for d, t in zip(log_precisions, layers, strict=True))
        assert isinstance(theta, Tensor)
        return log_evidence(theta, Y, log_noise.exp(), groups=groups)

    at = randn(2, seed=3).requires_grad_(), randn(seed=4).requires_grad_()
    assert torch.autograd.gradcheck(evidence, at)


def test_gradients_through_the_kernel_to_the_inputs() -> None:
    """Of whatever makes the inputs, as a scale of each feature; and of parameters."""

    def evidence(scales: Tensor) -> Tensor:
        theta = ntk(NETWORK, X * scales, output="full", differentiable=True)
        return log_evidence(theta, Y, NOISE, groups=OUTPUTS)

    assert torch.autograd.gradcheck(evidence, torch.ones(4).double().requires_grad_(), rtol=1e-4)
    theta = ntk(NETWORK, X, output="full", differentiable=True)
    found = torch.autograd.grad(log_evidence(theta, Y, NOISE), list(NETWORK.parameters())[:1])
    assert found[0].abs().max() > 1e-3


def test_gradients_at_a_kernel_of_an_ntk_find_the_noise() -> None:
    """Of targets drawn with it, by ascent; and it is where the gradient of a grid changes sign."""
    truth = 0.3
    z = randn(200, 5, seed=5)
    y = z @ randn(5, 4, seed=6) + truth**0.5 * randn(200, 4, seed=7)
    log_noise = torch.zeros((), dtype=torch.float64, requires_grad=True)
    ascent = torch.optim.LBFGS([log_noise], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        ascent.zero_grad()
        value = -log_evidence(z @ z.T, y, log_noise.exp())
        value.backward()
        return value

    ascent.step(loss)
    assert log_noise.exp().item() == pytest.approx(truth, rel=0.1)  # sqrt(2 / 800) is 0.05


def test_the_curvature_of_cross_entropy() -> None:
    """det(I + L^T Theta L) = det(I + Theta H), H the blocks diag(p) - p p^T."""
    p = randn(N, K, seed=8).softmax(1)
    h = torch.block_diag(*(torch.diag(q) - q[:, None] * q for q in p))
    found = softmax_curvature(THETA, p)
    expected = -torch.linalg.slogdet(torch.eye(N * K) + THETA @ h).logabsdet / 2
    torch.testing.assert_close(log_occam_factor(found), expected)
    torch.testing.assert_close(found, found.T)
    sure = torch.eye(K)[torch.arange(N) % K]
    assert not softmax_curvature(THETA, sure).any()


evidence, occam = unwrap(log_evidence), unwrap(log_occam_factor)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: evidence(THETA[:4, :4], Y, 1.0), "a kernel of 6 rows, or of 18"),
        (lambda: evidence(THETA, Y, 0.0), "noise: expected a positive and finite variance"),
        (lambda: occam(-THETA), "positive semi-definite"),
        (lambda: occam(THETA * torch.nan), "of finite numbers"),
        (lambda: occam(THETA, groups=torch.zeros(3)), "groups: expected a number for each of 18"),
        (lambda: unwrap(softmax_curvature)(THETA, Y[:2]), "each example and output, 6, got 18"),
    ],
)
def test_wrong_use_is_told_in_one_line(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        wrong()
    assert "\n" not in str(error.value)
