"""What the NTK refuses, and in which words; and kernels that say what they cannot tell."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo
from torch import Tensor, nn
from zoo import Net

from untrained.analysis import spectrum
from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk, ntk_contributions, ntk_operator

Call = Callable[..., Any]
DOORS: dict[str, Call] = {"ntk": ntk, "contributions": ntk_contributions, "operator": ntk_operator}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 3))


def broken(*places: tuple[int, ...], value: float = float("nan")) -> Tensor:
    x = drawn(6, 4)
    for place in places:
        x[place] = value
    return x


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (broken((2, 1), (4, 0)), r"x1 holds NaN .* in 2 of 6 examples, first in number 2"),
        (broken((0, 0), value=torch.inf), r"in 1 of 6 examples, first in number 0"),
        (broken((5, 3), value=-torch.inf), r"in 1 of 6 examples, first in number 5"),
        (torch.empty(0, 4), r"x1 as a tensor of one example or more, got \(0, 4\)"),
        (torch.tensor(1.0), r"x1 as a tensor of one example or more, got \(\)"),
        (drawn(3, 5), r"does not take inputs of shape \(3, 5\) and type torch.float32"),
        (drawn(3, 4).double(), r"does not take inputs of shape \(3, 4\) and type torch.float64"),
        (torch.ones(3, 4, dtype=torch.long), r"does not take inputs .* torch.int64"),
    ],
)
def test_inputs(door: str, x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DOORS[door](mlp(), x)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (drawn(3, 5), r"expected x2 like x1, of examples \(4,\) in torch.float32, got \(5,\)"),
        (drawn(3, 4).double(), r"expected x2 like x1, .* got \(4,\) in torch.float64"),
        (broken((1, 1)), r"x2 holds NaN .* first in number 1"),
        (torch.empty(0, 4), r"expected x2 as a tensor of one example or more"),
    ],
)
def test_second_batches(door: str, x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DOORS[door](mlp(), drawn(3, 4), x)


def test_two_batches_cannot_be_coupled() -> None:
    model, x = zoo.make("BatchNorm1d")
    for door in DOORS.values():
        with pytest.raises(ValueError, match=r"couples the examples .* expected x2=None"):
            door(model, x, x, batchnorm="batch")


def test_two_batches_of_a_network_that_couples_them() -> None:
    model = Net(lambda m, x: m.layer(x) - m.layer(x).mean(0), layer=nn.Linear(4, 2))
    for door in DOORS.values():
        with pytest.raises(ValueError, match="influence each other"):
            door(model, drawn(3, 4), drawn(2, 4))


def test_words_that_are_not_in_the_vocabulary() -> None:
    model, x = zoo.make("embedding")
    with pytest.raises(ValueError, match="does not take inputs"):
        ntk(model, torch.full_like(x, 99))


@pytest.mark.parametrize("door", DOORS)
def test_networks_without_parameters(door: str) -> None:
    frozen = nn.Linear(4, 2).requires_grad_(False)
    for model in (nn.ReLU(), nn.Sequential(), frozen):
        with pytest.raises(ValueError, match=r"at least one trainable parameter .* got none"):
            DOORS[door](model, drawn(3, 4))


@pytest.mark.parametrize("door", DOORS)
def test_nothing_selected(door: str) -> None:
    with pytest.raises(ValueError, match="at least one trainable parameter"):
        DOORS[door](mlp(), drawn(3, 4), parameters=lambda name, p: False)
    model = Net(lambda m, x: x * m.gain, gain=torch.ones(4))
    with pytest.raises(ValueError, match="selected by 'weights', got none"):
        DOORS[door](model, drawn(3, 4), parameters="weights")


@pytest.mark.parametrize(
    ("step", "got"),
    [
        (lambda m, x: (m.layer(x), x), "tuple"),
        (lambda m, x: {"logits": m.layer(x)}, "dict"),
        (lambda m, x: m.layer(x).flatten(), r"shape \(12,\)"),
        (lambda m, x: m.layer(x).sum(), r"shape \(\)"),
        (lambda m, x: m.layer(x).T, r"shape \(4, 3\)"),
        (lambda m, x: m.layer(x).argmax(1), "torch.int64"),
        (lambda m, x: m.layer(x).to(torch.complex64), "torch.complex64"),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_outputs(door: str, step: zoo.Step, got: str) -> None:
    model = Net(step, layer=nn.Linear(4, 4))
    with pytest.raises(ValueError, match=rf"first dimension is the batch of 3, got {got}"):
        DOORS[door](model, drawn(5, 4))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("output", "message"),
    [
        (3, r"output=3: expected a number from 0 to 2, since the network has 3 outputs"),
        (-1, r"output=-1: expected a number from 0 to 2"),
        (drawn(4, 2), r"expected a readout of shape \(3, q\) for 3 outputs, got \(4, 2\)"),
        (torch.empty(3, 0), r"expected a readout of shape \(3, q\)"),
    ],
)
def test_classes_and_projections(door: str, output: int | Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DOORS[door](mlp(), drawn(5, 4), output=output)


@pytest.mark.parametrize("method", ["vmap", "structured"])
def test_methods_for_independent_examples(method: Method) -> None:
    model, x = zoo.make("BatchNorm1d")
    with pytest.raises(ValueError, match=r"needs independent examples.* use method='loop'"):
        ntk(model, x, method=method, batchnorm="batch")


WRONG = [
    ({"batchnorm": "train"}, "expected one of batch, frozen, running, got 'train'"),
    ({"method": "fast"}, "expected auto, structured, vmap, batched, loop, products, got 'fast'"),
    ({"parameters": "biases"}, "expected 'all', 'weights', 'weights_below_head' or a function"),
    ({"output": "mean"}, "expected 'sum', 'trace', 'full', a class or a (k, q) tensor"),
    ({"output": True}, "got True"),
    ({"output": 1.0}, "got 1.0"),
    ({"precision": "float16"}, "expected auto, float64, float32, bfloat16, got 'float16'"),
    ({"by": "block"}, "expected 'layer', 'parameter' or a function of a name, got 'block'"),
    ({"x": [[1.0, 2.0]]}, "an iterable of these, got batches of type float"),
    ({"x": 3}, "an iterable of these, got one of type int"),
]


def test_unknown_words() -> None:
    """In a process without the type checker of this suite, which would speak first."""
    script = f"""
import torch
from untrained.kernels.ntk import ntk, ntk_contributions
net = torch.nn.Linear(2, 1)
for wrong in {[wrong for wrong, _ in WRONG]!r}:
    call = ntk_contributions if "by" in wrong else ntk
    try:
        call(net, wrong.pop("x", torch.ones(3, 2)), **wrong)
        print("nothing said")
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert not done.stderr, done.stderr
    for (wrong, words), line in zip(WRONG, done.stdout.splitlines(), strict=True):
        assert words in line, (json.dumps(wrong), line)


# Kernels that are not resolved


def reasons(model: nn.Module, x: Tensor) -> dict[Method, str]:
    """Why the spectrum is not resolved, for each method that does not refuse the network."""
    found = {}
    for method in ("auto", *METHODS):
        try:
            found[method] = spectrum(ntk(model, x, method=method)).reason
        except ValueError:  # a network whose examples do not differ
            assert method == "structured", method
    return found


@pytest.mark.parametrize(
    "x", [torch.ones(5, 4), torch.zeros(5, 4), drawn(5, 4)[[0, 1, 2, 3, 1]]],
    ids=["ones", "zeros", "duplicate"],
)  # fmt: skip
def test_equal_inputs(x: Tensor) -> None:
    for method, reason in reasons(mlp().double(), x.double()).items():
        assert "below the resolution" in reason, method


def test_dead_networks() -> None:
    """Nothing comes through the first layer: all that is left is the last bias, and then not."""
    model = mlp()
    with torch.no_grad():
        model.get_parameter("0.bias").fill_(-1e6)
    for method, reason in reasons(model, drawn(5, 4)).items():
        assert "below the resolution" in reason, method
    model.get_parameter("2.bias").requires_grad_(False)
    for method, reason in reasons(model, drawn(5, 4)).items():
        assert "the kernel is zero" in reason, method


def test_outputs_that_are_constant() -> None:
    model = Net(lambda m, x: m.layer(x).sign(), layer=nn.Linear(4, 4))
    for method, reason in reasons(model, drawn(5, 4)).items():
        assert "the kernel is zero" in reason, method


def ungraded(m: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        return m.layer(x)


def inferred(m: Net, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return m.layer(x)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize(
    "step",
    [lambda m, x: m.layer(x).detach(), lambda m, x: x * 2, ungraded, inferred],
    ids=["detached", "unused", "no_grad", "inference_mode"],
)
def test_outputs_that_no_gradient_leaves(step: zoo.Step, method: Any) -> None:
    with pytest.raises(
        ValueError, match=r"do not require gradients|cannot be exact|cannot follow"
    ):
        ntk(Net(step, layer=nn.Linear(4, 4)), drawn(5, 4), method=method)


def test_an_operator_of_outputs_that_no_gradient_leaves() -> None:
    operator = ntk_operator(Net(ungraded, layer=nn.Linear(4, 4)), drawn(5, 4))
    with pytest.raises(ValueError, match="outputs do not require gradients"):
        operator.matvec(torch.ones(5).double().numpy())


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(value: float, everywhere: bool) -> None:
    """Never a kernel of zeros."""
    model = mlp()
    with torch.no_grad():
        model.get_parameter("0.weight")[... if everywhere else (0, 0)] = value
    for method, reason in reasons(model, drawn(5, 4).abs() + 1).items():
        assert "NaN or infinity" in reason, method


def test_a_network_that_recovers_from_nan() -> None:
    """What was seen of it then is no longer so."""
    model, x = mlp().double(), drawn(5, 4).double()
    kept = model.get_parameter("0.weight").clone()
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(torch.nan)
        reasons(model, x)
        model.get_parameter("0.weight").copy_(kept)
    found = reasons(model, x)
    assert not any(found.values()), found


def test_a_network_that_recovers_is_surveyed_again() -> None:
    model, x = mlp().double(), drawn(5, 4).double()
    kept = model.get_parameter("0.weight").clone()
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(torch.nan)
        reasons(model, x)
        model.get_parameter("0.weight").copy_(kept)
    assert "structured" in reasons(model, x)
