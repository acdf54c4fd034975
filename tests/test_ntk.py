"""The NTK's methods against the double loop, over a small zoo."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import naive
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.kernels import ntk
from untrained.kernels.ntk import METHODS
from untrained.kernels.structured import Unstructured
from untrained.spaces import get_space

Case = tuple[Callable[[], nn.Module], tuple[int, ...]]


class Functional(nn.Module):
    """Functional operations, a shared layer, and an unused parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.scale = nn.Linear(2, 3)
        self.unused = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = F.relu_(self.conv(x) + x)
        return self.scale(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embed(x))
        return self.attention(x, x, x, need_weights=False)[0].mean(1)


def supernet() -> nn.Module:
    space = get_space("nasbench201")
    return space.build(space.supernet(), space.scales["small"], inputs=3, classes=4)


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 18, (3, 1), stride=2, padding=(1, 0)),
        nn.ReLU(inplace=True),
        nn.Conv2d(18, 12, 3, dilation=2, padding=2, groups=6, bias=False),
        nn.BatchNorm2d(12),
        nn.Conv2d(12, 4, 2, dilation=(1, 2), padding=1),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


ZOO: dict[str, Case] = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), (5, 4)),
    "mlp with BatchNorm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2)),
        (5, 4),
    ),
    "convolutions": (convolutions, (4, 3, 6, 5)),
    "functional": (Functional, (4, 2, 5, 5)),
    "supernet": (supernet, (3, 3, 8, 8)),
    "attention": (Attention, (3, 5, 4)),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)), (5, 4)),
}
STRUCTURED = set(ZOO) - {"attention"}


def make(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    build, shape = ZOO[name]
    model, x = build(), torch.randn(shape)
    model(x)  # lazy layers take their shape; running statistics become other than 0 and 1
    return model.double().train(), x.double()


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-10 * b.abs().max())


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_methods_agree_with_the_double_loop(name: str, method: str) -> None:
    model, x = make(name)
    if method == "structured" and name not in STRUCTURED:
        with pytest.raises(Unstructured):
            ntk(model, x, method=method)
        return
    model.eval()
    expected = naive.ntk(model, x, [n for n, _ in model.named_parameters()])
    model.train()
    assert close(ntk(model, x, method=method), expected)


@pytest.mark.parametrize("name", ["mlp with BatchNorm", "supernet"])
def test_batch_policy_is_the_training_mode_of_the_published_code(name: str) -> None:
    model, x = make(name)
    expected = naive.ntk(model, x, [n for n, _ in model.named_parameters()])
    assert close(ntk(model, x, batchnorm="batch"), expected)


@pytest.mark.parametrize("name", ["mlp with BatchNorm", "supernet", "convolutions"])
def test_frozen_policy_holds_the_statistics_of_the_batch(name: str) -> None:
    """Frozen rows equal those of a copy whose running statistics are the batch's."""
    model, x = make(name)
    copy = with_batch_statistics(model, x)
    expected = naive.ntk(copy, x, [n for n, _ in copy.named_parameters()])
    for method in ("loop", "vmap", "structured"):
        assert close(ntk(model, x, batchnorm="frozen", method=method), expected), method


def with_batch_statistics(model: nn.Module, x: Tensor) -> nn.Module:
    """A copy in `eval` mode whose BatchNorm layers keep exactly this batch's statistics."""
    import copy

    model = copy.deepcopy(model).train()
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(keep_statistics) for layer in layers]
    model(x)
    for hook in hooks:
        hook.remove()
    return model.eval()


def keep_statistics(layer: nn.Module, inputs: tuple[Tensor]) -> None:
    x = inputs[0].detach().transpose(0, 1).flatten(1)
    layer.momentum = 0.0  # the forward pass that follows must not move them again
    layer.running_mean, layer.running_var = x.mean(1), x.var(1, correction=0)


def test_second_batch_sees_the_statistics_of_the_first() -> None:
    model, x = make("mlp with BatchNorm")
    full = ntk(with_batch_statistics(model, x[:3]), x, batchnorm="running")
    assert close(ntk(model, x[:3], x[3:], batchnorm="frozen"), full[:3, 3:])
    assert close(ntk(model, x[:2], x[2:]), ntk(model, x)[:2, 2:])


def test_selection_of_parameters() -> None:
    model, x = make("mlp with BatchNorm")
    weights = ["0.weight", "1.weight", "3.weight"]
    expected = naive.ntk(model.eval(), x, weights)
    assert close(ntk(model, x, parameters="weights"), expected)
    chosen = ntk(model, x, parameters=lambda name, parameter: name in weights)
    assert close(chosen, expected)
    model[0].weight.requires_grad_(False)
    assert close(ntk(model, x, parameters="weights"), naive.ntk(model, x, weights[1:]))


def test_float32_agrees_with_float64() -> None:
    model, x = make("supernet")
    expected = ntk(model, x, batchnorm="frozen")
    for method in ("vmap", "structured"):
        found = ntk(model.float(), x.float(), batchnorm="frozen", method=method)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_linear_model_has_the_kernel_of_its_inputs() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    model = nn.Linear(4, 3).double()
    assert close(ntk(model, x), 3 * (x @ x.T + 1))


def test_the_network_is_left_as_it_was() -> None:
    model, x = make("mlp with BatchNorm")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.random.get_rng_state()
    for method, policy in [("loop", "batch"), ("vmap", "frozen"), ("structured", "frozen")]:
        ntk(model, x, method=method, batchnorm=policy)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(random, torch.random.get_rng_state())


class ByHand(nn.Module):
    """A linear layer whose forward pass is given."""

    def __init__(self, forward: Callable[[nn.Linear, Tensor], Tensor]):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.by_hand = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.by_hand(self.layer, x)


class KeptElsewhere(nn.Module):
    """Uses a parameter through a list, where no method of torch.func can replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.kept = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kept[0] + self.layer.bias


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x)[0][:, -1]


AWKWARD: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "transposed weight": (lambda: ByHand(lambda f, x: torch.tanh(x @ f.weight.T)), (5, 4)),
    "batch mean": (lambda: ByHand(lambda f, x: (f(x) - f(x).mean(0)) ** 2), (5, 4)),
    "examples as features": (lambda: ByHand(lambda f, x: f(x.T).T ** 2), (4, 4)),
    "input changed in place": (lambda: ByHand(lambda f, x: f(x.mul_(2).add_(1))), (5, 4)),
    "parameter kept elsewhere": (KeptElsewhere, (5, 4)),
    "recurrent": (Recurrent, (3, 5, 4)),
    "wide padding": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 1, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3)),
        (3, 3, 4, 4),
    ),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_auto_is_exact_on_awkward_networks(name: str) -> None:
    """Where the fast methods do not fit, another is chosen: `auto` is never quietly wrong."""
    build, shape = AWKWARD[name]
    torch.manual_seed(0)
    model, x = build().double(), torch.randn(shape, dtype=torch.float64)
    before = x.clone()
    with torch.no_grad():  # of no consequence
        found = ntk(model, x)
    assert torch.equal(x, before)
    theta = torch.zeros(len(x), len(x), dtype=torch.float64)
    names = [n for n, _ in model.named_parameters()]
    rows = [naive.gradient(model, x.clone(), i, list(model.parameters())) for i in range(len(x))]
    for k in range(len(names)):
        column = torch.stack([row[k].flatten() for row in rows])
        theta += column @ column.T
    assert close(found, theta)


@pytest.mark.parametrize("method", ["vmap", "structured"])
def test_coupled_examples_are_refused(method: str) -> None:
    build, shape = AWKWARD["batch mean"]
    with pytest.raises(ValueError, match="influence each other"):
        ntk(build(), torch.randn(shape), method=method)


@pytest.mark.parametrize("outputs", [lambda f, x: (f(x), x), lambda f, x: f(x).flatten()])
def test_outputs_are_one_row_for_each_example(outputs: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="first dimension is the batch"):
        ntk(ByHand(outputs), torch.randn(5, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": lambda n, p: False}, "at least one trainable parameter"),
        ({"method": "vmap", "batchnorm": "batch"}, "couples"),
        ({"method": "structured", "batchnorm": "batch"}, "independent"),
    ],
)
def test_wrong_combinations_say_what_was_expected(options: dict[str, Any], message: str) -> None:
    model, x = make("mlp with BatchNorm")
    with pytest.raises(ValueError, match=message):
        ntk(model, x, **options)


def test_unknown_words_say_what_was_expected() -> None:
    """In a process without the type checker of this suite, which would speak first."""
    script = """
import torch
from untrained import ntk, spectrum
net, x = torch.nn.Linear(2, 1), torch.ones(3, 2)
for wrong in ({"batchnorm": "train"}, {"method": "fast"}, {"parameters": "biases"}):
    try:
        ntk(net, x, **wrong)
    except ValueError as error:
        print(error)
try:
    spectrum(torch.ones(2, 3))
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    expected = ["batch, frozen, running", "auto, loop, vmap, structured", "'weights'", "square"]
    for words, line in zip(expected, lines, strict=True):
        assert words in line


def test_running_policy_needs_running_statistics() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="keeps no running statistics"):
        ntk(model, torch.randn(5, 4), batchnorm="running")


def test_two_batches_cannot_be_coupled() -> None:
    model, x = make("mlp with BatchNorm")
    with pytest.raises(ValueError, match="couples"):
        ntk(model, x, x, batchnorm="batch")


def test_a_sequence_first_layer_is_not_mistaken_for_examples() -> None:
    """With as many positions as examples, only the layout tells; the method must refuse."""

    class SequenceFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(x.transpose(0, 1)).transpose(0, 1).flatten(1)

    model, x = SequenceFirst().double(), torch.randn(3, 3, 4, dtype=torch.float64)
    expected = naive.ntk(model, x, ["mix.weight", "mix.bias"])
    assert close(ntk(model, x), expected)
