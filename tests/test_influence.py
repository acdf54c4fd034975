"""What one example does to a Gaussian process, against the process without it."""

from inspect import unwrap
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from untrained.analysis import (
    Influence,
    influence_of_adding,
    influence_of_removing,
    regression,
)

N, C, M, RIDGE = 9, 3, 4, 0.05


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X = randn(N + C + M, 2)
K = torch.exp(-torch.cdist(X, X).square() / 2)
Y = torch.stack([X[:, 0].sin(), X[:, 1] * X[:, 0]], 1) + 0.1 * randn(N + C + M, 2, seed=1)
TRAIN, QUERIES = list(range(N)), list(range(N + C, N + C + M))
NOISE = RIDGE * K[:N, :N].diagonal().mean().item()
SCALE = regression(K[:N, :N], Y[:N], ridges=[RIDGE]).scale.item()


def part(chosen: list[int]) -> Tensor:
    """The kernel of some of the examples."""
    return K[chosen][:, chosen]


ALONE = part(TRAIN + QUERIES)


NAN = ALONE.clone()
NAN[-1] = NAN[:, -1] = torch.nan


def refitted(train: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and covariance at the queries, by solving for what is left."""
    a = part(train) + NOISE * torch.eye(len(train))
    across = K[QUERIES][:, train]
    mean = across @ torch.linalg.solve(a, Y[train])
    covariance = part(QUERIES) - across @ torch.linalg.solve(a, across.T)
    return mean, SCALE * covariance


def check(found: Influence, pairs: list[tuple[list[int], list[int]]]) -> None:
    """Against torch's divergences of the two processes, fitted with and without each example."""
    for i, (with_it, without) in enumerate(pairs):
        (m1, c1), (m0, c0) = refitted(with_it), refitted(without)
        torch.testing.assert_close(found.mean_distance[i], (m1 - m0).norm(dim=1))
        torch.testing.assert_close(found.gain[i][:, None] * found.residual[i], m1 - m0)
        torch.testing.assert_close(found.share[i], 1 - c1.diagonal() / c0.diagonal())
        each = kl_divergence(
            Normal(m1, c1.diagonal().sqrt()[:, None]), Normal(m0, c0.diagonal().sqrt()[:, None])
        )
        torch.testing.assert_close(found.divergence[i], each.sum(1))
        joint = kl_divergence(MultivariateNormal(m1.T, c1), MultivariateNormal(m0.T, c0))
        torch.testing.assert_close(found.joint_divergence[i], joint.sum())
    assert found.reason == ""


def test_removing_is_fitting_without() -> None:
    found = influence_of_removing(ALONE, Y[:N], ridges=[RIDGE])
    check(found, [(TRAIN, [j for j in TRAIN if j != i]) for i in TRAIN])


def test_adding_is_fitting_with() -> None:
    found = influence_of_adding(K, Y[:N], Y[N : N + C], ridges=[RIDGE])
    check(found, [([*TRAIN, N + i], TRAIN) for i in range(C)])


def test_residuals_are_those_of_leaving_one_out() -> None:
    found = influence_of_removing(ALONE, Y[:N], ridges=[RIDGE])
    fit = regression(K[:N, :N], Y[:N], ridges=[RIDGE])
    mean = found.residual.square().mean().item()
    assert mean == pytest.approx(fit.leave_one_out.squared_error[0].item())


def test_what_leaks_most_of_an_example_is_the_example() -> None:
    """Its prediction at itself, where examples are far enough apart."""
    x = 2.5 * torch.arange(6.0, dtype=torch.float64)[:, None]
    between = torch.linspace(-2, 15, 60, dtype=torch.float64)[:, None]
    queries = torch.cat([x, between[(between - x.T).abs().min(1).values > 0.05]])
    both = torch.cat([x, queries])
    k = torch.exp(-torch.cdist(both, both).square() / 2)
    found = influence_of_removing(k, randn(6, 1), ridges=[0.1])
    assert found.divergence.argmax(1).tolist() == list(range(6))
    assert found.mean_distance.argmax(1).tolist() == list(range(6))


def test_what_is_not_resolved_is_no_number() -> None:
    """A query that was seen, almost without noise, and one query twice."""
    seen = part([*TRAIN, 0, N])
    found = influence_of_removing(seen, Y[:N], ridges=[1e-15])
    assert found.divergence[:, 0].isnan().all()
    assert found.divergence[:, 1].isfinite().all()
    assert found.joint_divergence.isnan().all()
    assert "the variance of 1 of 2 queries is rounding noise" in found.reason
    twice = part([*TRAIN, N, N])
    found = influence_of_removing(twice, Y[:N], ridges=[RIDGE])
    assert found.divergence.isfinite().all()
    assert found.joint_divergence.isnan().all()
    assert "singular" in found.reason


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: influence_of_removing(NAN, Y[:N]), "NaN or infinity at the queries"),
        (lambda: unwrap(influence_of_removing)(K[:N, :N], Y[:N]), "and then others"),
        (
            lambda: unwrap(influence_of_adding)(K, Y[:N], Y[N:]),
            "7 others and then queries",
        ),
        (lambda: unwrap(influence_of_adding)(K, Y[:N], Y[N : N + C, :1]), "targets of shape"),
    ],
)
def test_wrong_shapes_are_told(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wrong()
