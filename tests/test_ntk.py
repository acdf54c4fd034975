"""The front door: policies, selections, contributions, awkward networks, nothing left behind."""

import copy
from collections.abc import Callable
from typing import Any

import naive
import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor, nn
from zoo import Net

from untrained.analysis.plan import Plan
from untrained.kernels import ntk
from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk_contributions
from untrained.networks.choices import Policy

COUPLING: tuple[Method, ...] = ("batched", "loop", "products")
"Methods that are exact whatever examples do to each other."

# BatchNorm policies

NORMALISED = ["BatchNorm1d", "BatchNorm2d", "batch and time merged", "cells"]


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("method", ["auto", *COUPLING])
def test_batch_policy_is_the_training_mode_of_the_published_codes(
    name: str, method: Method
) -> None:
    model, x = zoo.make(name)
    names = zoo.trainable(model)
    for output in ("sum", "trace"):
        expected = naive.ntk(copy.deepcopy(model).train(), x, names, output)
        found = ntk(model, x, output=output, batchnorm="batch", method=method)
        assert deviation(found, expected) < 1e-10, output


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("method", METHODS)
def test_frozen_policy_holds_the_statistics_of_the_batch(name: str, method: Method) -> None:
    """As a copy in evaluation mode whose running statistics are the batch's."""
    model, x = zoo.make(name)
    frozen = with_batch_statistics(model, x)
    expected = naive.ntk(frozen, x, zoo.trainable(model), "trace")
    found = ntk(model, x, output="trace", batchnorm="frozen", method=method)
    assert deviation(found, expected) < 1e-10


@pytest.mark.parametrize("method", ["structured", "vmap"])
def test_frozen_statistics_are_those_of_all_chunks(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the batch is too large for a pass, its moments are merged chunk by chunk."""
    monkeypatch.setattr("untrained.kernels.planning.LEAST_WORKSPACE", 64)
    model, _ = zoo.make("BatchNorm2d")
    x = torch.randn(11, 3, 4, 4, dtype=torch.float64) + 3
    names = zoo.trainable(model)
    expected = naive.ntk(with_batch_statistics(model, x), x, names)
    memory = {"structured": 40_000, "vmap": 100_000}[method]
    found = ntk(model, x, batchnorm="frozen", method=method, memory=memory)
    assert 1 <= found.plan.chunk < len(x)
    assert deviation(found, expected) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_a_second_batch_sees_the_statistics_of_the_first(method: Method) -> None:
    model, x = zoo.make("BatchNorm1d")
    names = zoo.trainable(model)
    expected = naive.ntk(with_batch_statistics(model, x[:3]), x, names)
    found = ntk(model, x[:3], x[3:], batchnorm="frozen", method=method)
    assert deviation(found, expected[:3, 3:]) < 1e-10


def with_batch_statistics(model: nn.Module, x: Tensor) -> nn.Module:
    """A copy in evaluation mode whose BatchNorm layers keep exactly this batch's statistics."""
    model = copy.deepcopy(model).train()
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    hooks = [layer.register_forward_pre_hook(keep_statistics) for layer in layers]
    model(x.clone())
    for hook in hooks:
        hook.remove()
    return model.eval()


def keep_statistics(layer: Any, inputs: tuple[Tensor]) -> None:
    x = inputs[0].detach().transpose(0, 1).flatten(1)
    layer.momentum = 0.0  # the forward pass that follows must not move them again
    layer.running_mean, layer.running_var = x.mean(1), x.var(1, correction=0)


def test_running_policy_needs_running_statistics() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    for method in ("auto", *METHODS):
        with pytest.raises(ValueError, match="keeps no running statistics"):
            ntk(model, torch.randn(5, 4), batchnorm="running", method=method)
    assert ntk(model, torch.randn(5, 4), batchnorm="frozen").isfinite().all()


# Selections and contributions


@pytest.mark.parametrize("method", METHODS)
def test_selection_of_parameters(method: Method) -> None:
    model, x = zoo.make("BatchNorm1d")
    weights = [name for name in zoo.trainable(model) if "weight" in name]
    assert 0 < len(weights) < len(zoo.trainable(model))
    expected = naive.ntk(model.eval(), x, weights)
    assert deviation(ntk(model, x, parameters="weights", method=method), expected) < 1e-10
    vectors = [name for name, p in model.named_parameters() if p.ndim == 1]
    found = ntk(model, x, parameters=lambda name, p: p.ndim == 1, method=method)
    assert deviation(found, naive.ntk(model, x, vectors)) < 1e-10
    model.get_parameter("0.weight").requires_grad_(False)
    found = ntk(model, x, parameters="weights", method=method)
    assert deviation(found, naive.ntk(model, x, weights[1:])) < 1e-10


GROUPINGS: dict[str, Callable[[str], str]] = {
    "layer": lambda name: name.rpartition(".")[0],
    "parameter": lambda name: name,
    "function": lambda name: name.rpartition(".")[2],
}


@pytest.mark.parametrize(
    ("name", "method"),
    [("cells", "structured"), *((n, m) for n in ("layer used twice", "weight norm")
                                for m in METHODS)],
)  # fmt: skip
@pytest.mark.parametrize("by", GROUPINGS)
def test_contributions_are_kernels_of_their_parameters(name: str, by: Any, method: Method) -> None:
    model, x = zoo.make(name)
    group = GROUPINGS[by]
    shares = ntk_contributions(
        model, x, by=group if by == "function" else by, output="trace", method=method
    )
    names = zoo.trainable(model)
    assert list(shares) == list(dict.fromkeys(map(group, names)))
    for label, share in shares.items():
        mine = [name for name in names if group(name) == label]
        assert deviation(share, naive.ntk(model.eval(), x, mine, "trace")) < 1e-10, label
    whole = torch.stack(list(shares.values())).sum(0)
    assert deviation(whole, ntk(model, x, output="trace")) < 1e-10


def test_contributions_of_two_batches_and_of_a_selection() -> None:
    model, x = zoo.make("vision transformer")
    whole = ntk_contributions(model, x, parameters="weights")
    assert "" not in whole  # the class token is no weight
    parts = ntk_contributions(model, x[:2], x[2:], parameters="weights", memory=2**20)
    for label, share in parts.items():
        assert deviation(share, whole[label][:2, 2:]) < 1e-10, label


# Awkward networks


class KeptElsewhere(nn.Module):
    """Uses a parameter through a list, where no method of torch.func can replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.kept = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kept[0] + self.layer.bias


def by_hand(step: Callable[[nn.Linear, Tensor], Tensor]) -> nn.Module:
    """A linear layer whose forward pass is given."""
    return Net(lambda m, x: step(m.layer, x), layer=nn.Linear(4, 4))


AWKWARD: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "transposed weight": (lambda: by_hand(lambda f, x: torch.tanh(x @ f.weight.T)), (5, 4)),
    "batch mean": (lambda: by_hand(lambda f, x: (f(x) - f(x).mean(0)) ** 2), (5, 4)),
    "examples as features": (lambda: by_hand(lambda f, x: f(x.T).T ** 2), (4, 4)),
    "input changed in place": (lambda: by_hand(lambda f, x: f(x.mul_(2).add_(1))), (5, 4)),
    "parameter kept elsewhere": (KeptElsewhere, (5, 4)),
    "wide padding": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3)),
        (3, 3, 4, 4),
    ),
    "images without a batch": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 1)),
        (4, 3, 3),  # the examples are its channels
    ),
    "one example": (lambda: by_hand(lambda f, x: torch.tanh(f(x))), (1, 4)),
    "all examples added": (lambda: by_hand(lambda f, x: f(x) * f(x).sum(0)), (5, 4)),
}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_awkward_networks_are_exact_or_refused(name: str, method: Method) -> None:
    """`auto` and the loop are exact; no method is ever quietly wrong."""
    build, shape = AWKWARD[name]
    torch.manual_seed(0)
    model, x = build().double(), torch.randn(shape, dtype=torch.float64)
    before = x.clone()
    expected = naive.ntk(model.eval(), x.clone(), zoo.trainable(model))
    try:
        with torch.no_grad():  # of no consequence
            found = ntk(model, x, method=method)
    except ValueError:
        assert method in ("structured", "vmap")
        return
    assert torch.equal(x, before)
    assert deviation(found, expected) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_network_has_the_kernel_of_its_inputs(method: Method) -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    model = nn.Linear(4, 3).double()
    inner = x @ x.T + 1
    assert deviation(ntk(model, x, method=method), 3 * inner) < 1e-10
    assert deviation(ntk(model, x, output=1, method=method), inner) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_require_gradients(method: Method) -> None:
    model, x = zoo.make("layer used twice")
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    found = ntk(model, x.requires_grad_(), method=method)
    assert deviation(found, expected) < 1e-10
    assert x.grad is None


def test_what_is_computed_says_how() -> None:
    model, x = zoo.make("convolutions")
    x = x.repeat(8, 1, 1, 1) + torch.randn(32, 3, 8, 6, dtype=torch.float64)
    theta = ntk(model, x)
    assert isinstance(theta.plan, Plan)
    assert theta.plan.method == min(theta.plan.predicted, key=theta.plan.predicted.__getitem__)
    assert set(theta.plan.predicted) == set(METHODS)
    assert theta.plan.method in theta.plan.reason
    coupled = ntk(by_hand(lambda f, x: f(x) - f(x).mean(0)), torch.randn(5, 4))
    assert "influence each other" in coupled.plan.reason
    assert coupled.plan.method in COUPLING


def test_auto_goes_on_where_a_method_fails() -> None:
    """PReLU's backward pass has no rule for vmap: found out on the way, and said in the plan."""
    model, x = zoo.make("PReLU")
    found = ntk(model, x, method="auto")
    assert deviation(found, naive.ntk(model.eval(), x, zoo.trainable(model))) < 1e-10


# Nothing is left behind

CHOICES = [
    *[(method, "running") for method in METHODS],
    *[(method, "frozen") for method in METHODS],
    *[(method, "batch") for method in COUPLING],
]


def state_of(model: nn.Module) -> list[Any]:
    """All that a network could be found to have changed."""
    return [
        [(name, id(t), t.tolist(), t.requires_grad, t.grad)
         for name, t in (*model.named_parameters(), *model.named_buffers())],
        [(module.training, len(module._forward_hooks), len(module._forward_pre_hooks),
          len(module._backward_hooks)) for module in model.modules()],
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "policy"), CHOICES)
@pytest.mark.parametrize("name", ["BatchNorm1d", "dropout", "frozen parameters", "weight norm"])
def test_the_network_is_left_as_it_was(name: str, method: Method, policy: Policy) -> None:
    model, x = zoo.make(name)
    model.register_forward_hook(lambda module, inputs, output: None)
    list(model.children())[-1].eval()  # flags that differ
    before, inputs, random = state_of(model), x.clone(), torch.random.get_rng_state()
    ntk(model, x, method=method, batchnorm=policy)
    ntk(model, x[:2], method=method, batchnorm=policy)
    assert state_of(model) == before
    assert torch.equal(x, inputs)
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.is_grad_enabled()


class Counts(nn.Module):
    """Changes its buffers whenever it is called, in every way there is."""

    added: Tensor
    behind: Tensor
    assigned: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("added", torch.zeros(3))
        self.register_buffer("behind", torch.zeros(2, dtype=torch.long))
        self.register_buffer("assigned", torch.tensor(0.5))
        self.register_buffer("absent", None)
        self.register_buffer("graph", torch.eye(3).to_sparse())
        self.register_buffer("mask", torch.ones(2, dtype=torch.bool).expand(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        self.added += 1
        self.behind.data[0] += 1  # leaves no version
        self.assigned = self.assigned + 1
        self.absent = x
        return torch.tanh(self.layer(x))


def test_buffers_are_left_as_they_were() -> None:
    model, x = Counts(), torch.randn(5, 4)
    before = [(name, id(b)) for name, b in model.named_buffers()]
    version = model.mask._version
    with pytest.raises(ValueError, match=r"'vmap' cannot follow this network: .*in-place"):
        ntk(model, x, method="vmap")
    for method in ("structured", *COUPLING):
        ntk(model, x, method=method)
        assert model.added.tolist() == [0, 0, 0]
        assert model.behind.tolist() == [0, 0]
        assert model.assigned == 0.5
        assert model.absent is None
    assert [(name, id(b)) for name, b in model.named_buffers()] == before
    assert model.mask._version == version  # what did not change was not written


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_it_was_by_a_failure(method: Method) -> None:
    """On the last pass, when the survey is long done."""
    passes = 0

    def step(m: Net, x: Tensor) -> Tensor:
        nonlocal passes
        x = m.first(x)
        passes += 1
        if passes > allowed:
            raise ArithmeticError("broken on purpose")
        return m.second(torch.tanh(x))

    model = Net(step, first=nn.Linear(4, 4), norm=nn.BatchNorm1d(4), second=nn.Linear(4, 2))
    model.second.bias.requires_grad_(False)
    allowed, x = 10**6, torch.randn(5, 4)
    ntk(model, x, method=method)
    before, random = state_of(model), torch.random.get_rng_state()
    passes, allowed = 0, 0
    with pytest.raises(ValueError, match="broken on purpose"):
        ntk(model, x, method=method)
    assert state_of(model) == before
    assert torch.equal(random, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["BatchNorm2d", "embedding", "transformer layer"])
@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_the_same_call_gives_the_same_bits(name: str, method: Method) -> None:
    model, x = zoo.make(name)
    first = ntk(model, x, output="trace", method=method)
    torch.rand(3)
    assert torch.equal(first, ntk(model, x, output="trace", method=method))
    assert torch.equal(first, ntk(copy.deepcopy(model), x, output="trace", method=method))


def test_weights_may_change_between_calls() -> None:
    """What is remembered of a network is its program."""
    model, x = zoo.make("ReLU in place")
    ntk(model, x)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    for method in METHODS:
        found = ntk(model, x, method=method)
        assert deviation(found, naive.ntk(model.eval(), x, zoo.trainable(model))) < 1e-10, method
