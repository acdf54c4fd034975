"""The contract of every method: the naive kernel, for every output, over the whole zoo."""

import os
import subprocess
import sys
from functools import cache
from typing import Literal

import naive
import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor

from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk
from untrained.networks.readout import Output

Asked = Literal["sum", "trace", "full", "class", "projections"]
OUTPUTS: tuple[Asked, ...] = ("sum", "trace", "full", "class", "projections")
# torch has no rule for vmap over these layers' backward passes, none for the second derivative
# of a bag.
CANNOT_FOLLOW = {
    ("GRU", "vmap"),
    ("GRU, time-major", "vmap"),
    ("LSTM", "vmap"),
    ("PReLU", "vmap"),
    ("embedding bag, mean", "products"),
    ("embedding bag, sum", "products"),
}
PAIRS = sorted((name, method) for name in zoo.ZOO for method in ("auto", *METHODS))


@cache
def jacobian(name: str) -> Tensor:
    """J of a network of the zoo in evaluation mode, (n, K, p)."""
    model, x = zoo.make(name)
    return naive.jacobian(model.eval(), x, zoo.trainable(model))


@cache
def truth(name: str, output: Asked) -> Tensor:
    """Theta by a loop over pairs of examples."""
    j = jacobian(name)
    if output == "full":
        return kernel_of(j.flatten(0, 1))
    if output == "sum":
        return kernel_of(j.sum(1))
    if output == "class":
        return kernel_of(j[:, -1])
    columns = j.unbind(1) if output == "trace" else (j.mT @ projections(j.shape[1])).unbind(2)
    return sum(map(kernel_of, columns), torch.zeros(len(j), len(j), dtype=torch.float64))


def kernel_of(rows: Tensor) -> Tensor:
    return torch.stack([torch.stack([(a * b).sum() for b in rows]) for a in rows])


def projections(outputs: int) -> Tensor:
    return torch.linspace(-1, 1, 2 * outputs, dtype=torch.float64).reshape(outputs, 2).cos()


def choice(output: Asked, outputs: int) -> Output:
    """What to ask `ntk` for: the last class, or two fixed projections."""
    if output == "class":
        return outputs - 1
    if output == "projections":
        return projections(outputs)
    return output


def outputs_for(name: str, method: Method) -> tuple[Asked, ...]:
    """All of them; but two for methods that know no formulas, other ones for each network."""
    if method == "structured":
        return OUTPUTS
    k = list(zoo.ZOO).index(name)
    return tuple(OUTPUTS[(k + shift) % len(OUTPUTS)] for shift in (0, 2))


def test_truth_is_that_of_the_definitions() -> None:
    """The shortcuts above, against the sums over blocks of the full kernel."""
    model, x = zoo.make("layer used twice")
    outputs = jacobian("layer used twice").shape[1]
    for output in OUTPUTS:
        asked = choice(output, outputs)
        slow = naive.ntk(model.eval(), x, zoo.trainable(model), asked)
        assert deviation(truth("layer used twice", output), slow) < 1e-12, output


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_methods_agree_with_the_naive_kernel(name: str, method: Method) -> None:
    model, x = zoo.make(name)
    classes = jacobian(name).shape[1]
    if (name, method) in CANNOT_FOLLOW:
        words = rf"method '{method}' cannot follow this network: .*; use method='auto'$"
        with pytest.raises(ValueError, match=words) as raised:
            ntk(model, x, output="trace", method=method)
        assert "\n" not in str(raised.value)
        return
    for output in outputs_for(name, method):
        expected = truth(name, output)
        found = ntk(model, x, output=choice(output, classes), method=method)
        assert found.dtype == torch.float64
        assert torch.equal(found, found.T), output
        assert method in ("auto", found.plan.method)
        assert deviation(found, expected) < 1e-10, output


@pytest.mark.parametrize(
    ("name", "method"),
    [pair for k, pair in enumerate(PAIRS) if pair not in CANNOT_FOLLOW
     if k % 5 == 0 or pair[1] == "structured"],
)  # fmt: skip
def test_two_batches_are_a_block_of_the_kernel_of_both(name: str, method: Method) -> None:
    model, x = zoo.make(name)
    output = OUTPUTS[(list(zoo.ZOO).index(name) + len(method)) % len(OUTPUTS)]
    expected, classes = truth(name, output), jacobian(name).shape[1]
    rows = len(expected) // len(x)  # of Theta, for each example
    found = ntk(model, x[:2], x[1:], output=choice(output, classes), method=method)
    assert deviation(found, expected[: 2 * rows, rows:]) < 1e-10


@pytest.mark.parametrize(
    ("name", "method"),
    [(name, method) for name, method in PAIRS if (name, method) not in CANNOT_FOLLOW
     if name in {"BatchNorm2d", "GRU", "convolutions", "embedding", "vision transformer"}],
)  # fmt: skip
def test_float32_agrees_with_float64(name: str, method: Method) -> None:
    model, x = zoo.make(name)
    model = model.float()
    x = x.float() if x.is_floating_point() else x
    for output in ("trace", "full"):
        found = ntk(model, x, output=output, method=method)
        assert found.dtype == torch.float64
        assert deviation(found, truth(name, output)) < 1e-5, output


@pytest.mark.parametrize("output", ["sum", "trace", "full"])
def test_more_examples_than_a_block_of_symmetric_products(output: Output) -> None:
    """Above `contraction.HALVED` rows, one half of Theta is mirrored from the other."""
    torch.manual_seed(0)
    model, _ = zoo.make("linear")
    x = torch.randn(300, 4, dtype=torch.float64)
    inner = x @ x.T + 1  # of one output, and 1 from its bias
    expected = torch.kron(inner, torch.eye(3)) if output == "full" else 3 * inner
    for method in ("structured", "vmap"):
        assert deviation(ntk(model, x, output=output, method=method), expected) < 1e-10, method


def test_a_parameter_of_two_modules_is_one() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 4))
    model[2].weight = model[0].weight
    model, x = model.double(), torch.randn(4, 4, dtype=torch.float64)
    names = ["0.weight", "0.bias", "2.bias"]
    assert zoo.trainable(model) == names
    for method in METHODS:
        assert deviation(ntk(model, x, method=method), naive.ntk(model, x, names)) < 1e-10, method


def test_every_process_gives_the_same_bits() -> None:
    """Whatever order its sets have: sums of another order round otherwise."""
    script = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from untrained import ntk

torch.manual_seed(0)
layers = [part for _ in range(8) for part in (weight_norm(nn.Linear(6, 6)), nn.Tanh())]
model, x = nn.Sequential(*layers), torch.randn(5, 6)
for output in ("trace", "full"):
    theta = ntk(model, x, output=output, method="structured")
    print([value.hex() for value in theta.flatten().tolist()])
"""
    told = []
    for seed in ("1", "2"):
        there = dict(os.environ, PYTHONHASHSEED=seed)
        done = subprocess.run([sys.executable, "-c", script], env=there, capture_output=True)
        told.append(done.stdout)
    assert told[0].count(b"0x") == 5 * 5 + 30 * 30
    assert told[0] == told[1]
