"""Products of the NTK with vectors, against the kernel itself."""

from typing import Any

import naive
import numpy as np
import pytest
import torch
import zoo
from torch import Tensor, nn

from untrained.kernels.ntk import ntk, ntk_operator
from untrained.kernels.products import NTKOperator, conjugate_gradients, largest_eigenvalues
from untrained.networks.choices import Policy
from untrained.networks.readout import Output

NAMES = ["BatchNorm2d", "LSTM", "convolutions", "embedding", "layer used twice",
         "transformer layer"]  # fmt: skip
OUTPUTS = ("sum", "trace", "full")


def columns_of(operator: NTKOperator) -> Tensor:
    """All of it, a product with a unit vector at a time."""
    return torch.from_numpy(np.stack([operator @ e for e in np.eye(operator.shape[1])], 1))


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-10 * b.abs().max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_products_are_those_of_the_naive_kernel(name: str, output: Output) -> None:
    model, x = zoo.make(name)
    expected = naive.ntk(model.eval(), x, zoo.trainable(model), output)
    operator = ntk_operator(model.train(), x, output=output)
    assert operator.shape == tuple(expected.shape)
    u = np.random.default_rng(0).standard_normal((len(expected), 2))
    assert close(torch.from_numpy(operator @ u), expected @ torch.from_numpy(u))
    assert close(torch.from_numpy(operator @ u[:, 0]), expected @ torch.from_numpy(u[:, 0]))
    assert model.training


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_rectangular_operators_and_their_adjoints(output: Output, chunk: int | None) -> None:
    model, x = zoo.make("layer used twice")
    whole = naive.ntk(model.eval(), x, zoo.trainable(model), output)
    rows = len(whole) // len(x)
    expected = whole[: 3 * rows, 2 * rows :]
    operator = ntk_operator(model, x[:3], x[2:], output=output, chunk=chunk)
    assert close(columns_of(operator), expected)
    assert close(columns_of(operator.T), expected.T)
    assert close(columns_of(operator.H), expected.T)


def test_operators_and_kernels_under_inference_mode() -> None:
    model, x = zoo.make("BatchNorm2d")
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    with torch.inference_mode():
        inferred = x + 0  # whoever made the inputs may have been in it too
        operator = ntk_operator(model, inferred)
        assert close(columns_of(operator), expected)
        assert close(operator.times(inferred.new_ones(len(x), 1)), expected.sum(1, True))
        assert close(ntk(model, inferred), expected)
    assert close(columns_of(ntk_operator(model, inferred, inferred, chunk=2)), expected)


def test_the_adjoint_of_a_square_operator_is_itself() -> None:
    model, x = zoo.make("linear")
    operator = ntk_operator(model, x)
    assert close(columns_of(operator.T), columns_of(operator))


def test_the_second_backward_pass_stands_in_for_forward_derivatives() -> None:
    """The norm of a whole tensor, as in a weight norm, has none."""
    model, x = zoo.make("weight norm")
    operator = ntk_operator(model, x)
    assert operator.forward_mode
    found = columns_of(operator)
    assert not operator.forward_mode
    assert close(found, naive.ntk(model.eval(), x, zoo.trainable(model)))
    plain = ntk_operator(*zoo.make("convolutions"))
    columns_of(plain)
    assert plain.forward_mode


@pytest.mark.parametrize("policy", ["batch", "frozen"])
def test_products_under_the_policies_of_batchnorm(policy: Policy) -> None:
    model, x = zoo.make("BatchNorm1d")
    expected = ntk(model, x, output="trace", batchnorm=policy, method="loop")
    assert close(columns_of(ntk_operator(model, x, output="trace", batchnorm=policy)), expected)
    if policy == "frozen":  # chunks see the statistics of all
        chunked = ntk_operator(model, x, output="trace", batchnorm=policy, chunk=2)
        assert close(columns_of(chunked), expected)


def test_coupled_examples_stay_together() -> None:
    layer = nn.Linear(4, 3)
    model = zoo.Net(lambda m, x: torch.tanh(m.layer(x) - m.layer(x).mean(0)), layer=layer).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    assert close(columns_of(ntk_operator(model, x)), naive.ntk(model, x, zoo.trainable(model)))
    with pytest.raises(ValueError, match=r"influence each other: expected chunk=None"):
        ntk_operator(model, x, chunk=2)
    with pytest.raises(ValueError, match="x2=None"):
        ntk_operator(model, x, x)
    normalised, x = zoo.make("BatchNorm1d")
    with pytest.raises(ValueError, match="couples"):
        ntk_operator(normalised, x, batchnorm="batch", chunk=2)
    with pytest.raises(ValueError, match="couples"):
        ntk_operator(normalised, x, x, batchnorm="batch")


def test_selected_parameters_alone() -> None:
    model, x = zoo.make("convolutions")
    weights = [name for name in zoo.trainable(model) if "weight" in name]
    found = columns_of(ntk_operator(model, x, parameters="weights"))
    assert close(found, naive.ntk(model.eval(), x, weights))


@pytest.mark.parametrize("policy", ["running", "batch"])
def test_largest_eigenvalues_by_lanczos(policy: Policy) -> None:
    model, _ = zoo.make("BatchNorm1d")
    x = torch.randn(12, 2, 6, dtype=torch.float64)
    expected = np.linalg.eigvalsh(ntk(model, x, batchnorm=policy, method="loop").numpy())[::-1]
    found = largest_eigenvalues(ntk_operator(model, x, batchnorm=policy), 4)
    np.testing.assert_allclose(found.values, expected[:4], rtol=1e-8)
    assert (found.residuals <= 1e-6 * expected[0]).all()
    again = largest_eigenvalues(ntk_operator(model, x, batchnorm=policy), 4)
    np.testing.assert_array_equal(found.values, again.values)


def test_lanczos_needs_a_larger_square() -> None:
    model, x = zoo.make("linear")
    for operator in (ntk_operator(model, x[:2], x), ntk_operator(model, x)):
        with pytest.raises(ValueError, match="square operator of more than 5 rows"):
            largest_eigenvalues(operator, 5)


@pytest.mark.parametrize("policy", ["running", "batch"])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_regression_by_conjugate_gradients(policy: Policy, ridge: float) -> None:
    model, x = zoo.make("BatchNorm1d")
    theta = ntk(model, x, batchnorm=policy, method="loop")
    if policy == "batch" and not ridge:
        ridge = 1e-3 * theta.diagonal().mean().item()  # a singular kernel
    y = torch.randn(len(x), 2, dtype=torch.float64)
    solved = torch.linalg.solve(theta + ridge * torch.eye(len(x), dtype=torch.float64), y)
    operator = ntk_operator(model, x, batchnorm=policy)
    found = conjugate_gradients(operator, y, ridge, tolerance=1e-12)
    assert found.converged
    assert found.residual < 1e-9
    torch.testing.assert_close(found.alpha, solved, rtol=1e-6, atol=1e-8)


def test_predictions_for_other_inputs() -> None:
    model, x = zoo.make("layer used twice")
    whole = ntk(model, x, method="loop")
    y = torch.randn(3, 1, dtype=torch.float64)
    found = conjugate_gradients(ntk_operator(model, x[:3]), y, 0.1, tolerance=1e-12)
    predicted = ntk_operator(model, x[3:], x[:3]) @ found.alpha.numpy()
    ridged = whole[:3, :3] + 0.1 * torch.eye(3, dtype=torch.float64)
    expected = whole[3:, :3] @ torch.linalg.solve(ridged, y)
    torch.testing.assert_close(torch.from_numpy(predicted), expected, rtol=1e-6, atol=1e-8)


def test_an_unfinished_solution_says_so() -> None:
    model, x = zoo.make("BatchNorm1d")
    y = torch.randn(len(x), 1)
    found = conjugate_gradients(ntk_operator(model, x), y, 0.0, tolerance=1e-13, iterations=1)
    assert not found.converged
    assert found.residual > 1e-6


def test_targets_and_ridges_that_do_not_fit() -> None:
    operator = ntk_operator(*zoo.make("linear"))
    for y, ridge in [(torch.ones(4, 1), 0.1), (torch.ones(5, 1), -0.1)]:
        with pytest.raises(ValueError, match=r"expected targets of shape \(5, k\)"):
            conjugate_gradients(operator, y, ridge)


@pytest.mark.parametrize("output", ["sum", "full"])
def test_outputs_that_parameters_do_not_reach(output: Output) -> None:
    model = zoo.Net(lambda m, x: x.detach() * 2, layer=nn.Linear(4, 2)).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    operator = ntk_operator(model, x, output=output)
    with pytest.raises(ValueError, match="outputs do not require gradients"):
        operator @ np.ones(operator.shape[1])


def halved(layer: nn.Linear) -> nn.Linear:
    layer.weight.register_hook(lambda d: d / 2)
    return layer


class Clipped(torch.autograd.Function):
    """z, with a gradient that is not its own, and not linear."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clamp(-0.1, 0.1)


def test_gradients_that_are_changed_on_the_way_back() -> None:
    """By a hook that is linear, which has products of its own; and by what is not."""
    torch.manual_seed(0)
    x = torch.randn(5, 4, dtype=torch.float64)
    hooked = nn.Sequential(halved(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 2)).double()
    truth = naive.ntk(hooked, x, zoo.trainable(hooked))
    assert close(columns_of(ntk_operator(hooked, x)), truth)
    clipped = zoo.Net(
        lambda m, x: m.last(Clipped.apply(m.layer(x))), layer=nn.Linear(4, 6), last=nn.Linear(6, 2)
    ).double()
    with pytest.raises(ValueError, match="not those of its outputs"):
        ntk_operator(clipped, x) @ np.ones(5)
