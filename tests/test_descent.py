"""Training in closed form, against training step by step, and in the space of parameters."""

from inspect import unwrap
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from untrained.analysis import gradient_descent, gradient_flow, regression


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


N, M, P, K = 7, 4, 12, 3
TRAIN, OTHER, Y = randn(N, P), randn(M, P, seed=1), randn(N, K, seed=2)
START = randn(P, K, seed=3)
"Weights of a linear model f = z w, whose kernel is z z^T, before training."
THETA, BETWEEN = TRAIN @ TRAIN.T, OTHER @ TRAIN.T


def trained(steps: int, rate: float, momentum: float = 0.0) -> Tensor:
    """Weights after gradient descent on them, step by step."""
    w, last = START, START
    for _ in range(steps):
        gradient = TRAIN.T @ (TRAIN @ w - Y)
        w, last = w - rate * gradient + momentum * (w - last), w
    return w


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("steps", [0, 1, 2, 17])
def test_descent_is_that_of_a_linear_model_on_its_weights(steps: int, momentum: float) -> None:
    found = gradient_descent(THETA, Y, rate=0.02, momentum=momentum, start=TRAIN @ START)
    w = trained(steps, 0.02, momentum)
    torch.testing.assert_close(found.outputs(steps), TRAIN @ w)
    torch.testing.assert_close(found.predict(BETWEEN, steps, OTHER @ START), OTHER @ w)
    loss = (TRAIN @ w - Y).square().sum().item() / 2
    assert found.loss(steps) == pytest.approx(loss)


def test_the_flow_is_descent_in_small_steps() -> None:
    found = gradient_flow(THETA, Y, start=TRAIN @ START)
    errors = []
    for steps in (400, 800):
        w = trained(steps, 0.1 / steps)
        errors.append((found.predict(BETWEEN, 0.1, OTHER @ START) - OTHER @ w).abs().max().item())
    assert errors[1] < 0.55 * errors[0] < 1e-2  # of first order in the step


@pytest.mark.parametrize("made", [{}, {"rate": 0.02}, {"rate": 0.02, "momentum": 0.5}])
def test_in_the_end_it_is_regression_without_a_ridge(made: dict[str, Any]) -> None:
    found = (gradient_descent if made else gradient_flow)(THETA, Y, **made)
    torch.testing.assert_close(found.outputs(inf), Y)
    expected = BETWEEN @ torch.linalg.solve(THETA, Y)
    torch.testing.assert_close(found.predict(BETWEEN), expected)
    torch.testing.assert_close(found.predict(BETWEEN, 10**5), expected)
    nearly = regression(THETA, Y, ridges=[1e-12]).predict(BETWEEN)[0]
    torch.testing.assert_close(found.predict(BETWEEN), nearly, rtol=1e-6, atol=1e-8)


def test_modes_are_learnt_each_at_its_own_speed() -> None:
    found = gradient_flow(THETA, Y)
    s, u = torch.linalg.eigh(THETA)
    parts = (u.T @ Y).square().sum(1) / 2
    torch.testing.assert_close(found.losses(0.05), (-0.1 * s).exp() * parts)
    assert found.loss(0.0) == pytest.approx(Y.square().sum().item() / 2)


def test_what_a_kernel_does_not_resolve_is_not_learnt() -> None:
    """Two examples are one and the same, with different targets."""
    z = TRAIN[[0, 0, 1]]
    found = gradient_flow(z @ z.T, Y[:3])
    mean = Y[:2].mean(0)
    torch.testing.assert_close(found.outputs(inf), torch.stack([mean, mean, Y[2]]))
    torch.testing.assert_close(found.outputs(1e9), found.outputs(inf))
    assert found.left(inf).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("t", [0.0, 0.03, inf])
def test_an_ensemble_of_linear_models(t: float) -> None:
    """Weights N(0, 1): what is left of them after t is e^(-z^T z t), in their own space."""
    s, v = torch.linalg.eigh(TRAIN.T @ TRAIN)
    left = torch.exp(-t * s) if t < inf else (s < 1e-9).double()
    kept = OTHER @ (v * left) @ v.T
    both = torch.cat([TRAIN, OTHER])
    found = gradient_flow(THETA, Y).covariance(BETWEEN, both @ both.T, t)
    torch.testing.assert_close(found, kept @ kept.T)


def test_it_is_what_neural_tangents_predicts() -> None:
    """By numbers of `fixtures/neural_tangents_descent.py`; its loss is a mean, ours a sum."""
    found = np.load(Path(__file__).parent / "fixtures" / "neural_tangents_descent.npz")
    at = {name: torch.from_numpy(array) for name, array in found.items()}
    theta, between = at["ntk"][:N, :N], at["ntk"][N:, :N]
    trained = gradient_flow(theta, at["y"], start=at["start"][:N])
    ensemble = gradient_flow(theta, at["y"])
    for i, time in enumerate(at["times"].tolist()):
        t = time / at["y"].numel()
        torch.testing.assert_close(trained.outputs(t), at["train"][i])
        there = trained.predict(between, t, at["start"][N:])
        torch.testing.assert_close(there, at["other"][i])
        torch.testing.assert_close(ensemble.predict(between, t), at["mean"][i])
        covariance = ensemble.covariance(between, at["nngp"], t)
        torch.testing.assert_close(covariance, at["cov"][i])
    torch.testing.assert_close(ensemble.predict(between), at["limit_mean"])
    torch.testing.assert_close(ensemble.covariance(between, at["nngp"]), at["limit_cov"])
    nngp, across = at["nngp"][:N, :N], at["nngp"][N:, :N]
    posterior = gradient_flow(nngp, at["y"])
    torch.testing.assert_close(posterior.predict(across), at["posterior_mean"])
    torch.testing.assert_close(posterior.covariance(across, at["nngp"]), at["posterior_cov"])


def test_descent_that_diverges_has_no_end() -> None:
    largest = torch.linalg.eigvalsh(THETA)[-1].item()
    fast = gradient_descent(THETA, Y, rate=2.01 / largest)
    assert fast.largest_rate == pytest.approx(2 / largest)
    assert fast.loss(2000) > fast.loss(0)
    with pytest.raises(ValueError, match=r"rate: expected one below .* diverges"):
        fast.predict(BETWEEN)
    slower = gradient_descent(THETA, Y, rate=2.01 / largest, momentum=0.5)
    assert slower.loss(2000) < 1e-9


def test_class_numbers_are_centred() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    found = gradient_flow(THETA, labels)
    assert found.targets[0].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])


flow, descent = unwrap(gradient_flow), unwrap(gradient_descent)
"Without the type checker of this suite, which would speak first."


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: flow(BETWEEN, Y), "a square kernel and a label for each row"),
        (lambda: flow(THETA, Y, start=Y[:2]), r"start: expected outputs of shape \(7, 3"),
        (lambda: flow(THETA * torch.nan, Y), "NaN or infinity"),
        (lambda: flow(-THETA, Y), "positive semi-definite"),
        (lambda: descent(THETA, Y, rate=0), "rate: expected a positive number"),
        (lambda: descent(THETA, Y, rate=0.1, momentum=1), r"momentum: .*\[0, 1\)"),
        (lambda: flow(THETA, Y).outputs(-1), "t: expected a time of 0 or more, got -1"),
        (lambda: descent(THETA, Y, rate=0.1).outputs(1.5), "t: expected whole steps"),
        (lambda: flow(THETA, Y).predict(BETWEEN.T), "try its transpose"),
        (lambda: flow(THETA, Y).covariance(BETWEEN, THETA), r"and then the 4 others"),
    ],
)
def test_wrong_use_is_told_in_one_line(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        wrong()
    assert "\n" not in str(error.value)
