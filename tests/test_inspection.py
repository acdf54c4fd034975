"""Inspections: silence on healthy networks, causes by name, and naive ways of each measurement."""

from collections.abc import Callable, Iterator
from itertools import combinations
from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import zoo
from torch import Tensor, nn
from trainable import HEALTHY, SPOILED, he, mlp, resnet, vit
from zoo import Net

from untrained.images import Images
from untrained.inspection import Inspection, inspect
from untrained.inspection.passes import pass_through
from untrained.inspection.signal import signal_of
from untrained.inspection.slope import slope_of
from untrained.inspection.trunk import INPUT, on_trunk


def made(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def titles(found: Inspection) -> list[str]:
    return [finding.title for finding in found.findings]


# What is found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_in_a_healthy_network(name: str, seed: int, digits: Images) -> None:
    assert titles(inspect(made(HEALTHY[name], seed), digits, seed=seed)) == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SPOILED)
def test_what_spoils_a_network_is_found_and_named(name: str, seed: int, digits: Images) -> None:
    make, title, layer = SPOILED[name]
    found = inspect(made(make, seed), digits, seed=seed)
    findings = {finding.title: finding for finding in found.findings}
    assert title in findings
    assert (*findings[title].layers, "")[0] == layer
    assert all(each.measured and each.threshold and each.change for each in found.findings)


def test_images_that_are_not_normalised_are_found(digits: Images) -> None:
    raw = digits.train.pixels[:64].float()
    plain = inspect(made(lambda: he(mlp()), 0), raw).findings
    assert [f.title for f in plain] == ["the images are not normalised"]
    assert plain[0].hinders
    behind = inspect(made(resnet, 0), raw).findings
    assert [(f.title, f.hinders) for f in behind] == [("the images are not normalised", False)]


def test_what_may_be_meant_is_said_and_does_not_hinder(digits: Images) -> None:
    network = he(mlp())
    network[3].weight = network[5].weight  # type: ignore[index]
    network[1].requires_grad_(False)  # type: ignore[index]
    found = inspect(network, digits)
    assert titles(found) == ["frozen: 1.weight and 1.bias", "3.weight and 5.weight are one tensor"]
    assert found.problems == ()


def test_a_network_that_is_all_frozen_has_nothing_to_train(digits: Images) -> None:
    found = inspect(he(mlp()).requires_grad_(False), digits)
    assert [f.title for f in found.problems] == ["nothing is trainable"]
    assert found.condition_number == (None, "no parameter is trainable")


def test_logits_that_are_too_large_are_found_with_their_layer(
    digits: Images,
) -> None:
    network = Net(lambda m, x: 50 * m.body(x), body=made(resnet, 0))
    (finding,) = inspect(network, digits).findings
    assert (finding.title, finding.layers) == ("the logits are too large", ("mul",))


# What is measured


def signals() -> Tensor:
    return torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0)) + 0.5


def test_a_signal_is_measured_as_by_loops_over_images() -> None:
    h = signals()
    rows = h.flatten(1).double()
    cosines = [float(F.cosine_similarity(a, b, 0)) for a, b in combinations(rows, 2)]
    values = torch.linalg.svdvals(rows - rows.mean(0)).square()
    found = signal_of(h, 6)
    assert found.rms == pytest.approx(float(h.double().square().mean().sqrt()))
    assert found.mean == pytest.approx(float(h.double().mean()))
    assert found.correlation == pytest.approx(sum(cosines) / len(cosines))
    assert found.rank == pytest.approx(float(values.sum() ** 2 / values.square().sum()))


@pytest.mark.parametrize(
    "arrange",
    [
        lambda h: h.transpose(0, 1),  # sequences first
        lambda h: h.reshape(12, 6),  # two windows of each image
    ],
)
def test_images_are_told_apart_wherever_they_lie(arrange: Callable[[Tensor], Tensor]) -> None:
    h = signals()
    assert signal_of(arrange(h), 6) == pytest.approx(signal_of(h, 6))


def test_what_is_not_finite_has_no_numbers() -> None:
    assert signal_of(torch.tensor([[1.0], [float("nan")]]), 2) == (False, None, None, None, None)


def test_equal_images_correlate_fully_and_have_no_rank() -> None:
    found = signal_of(torch.ones(3, 5), 3)
    assert found.correlation == pytest.approx(1)
    assert found.rank is None


class Own(torch.autograd.Function):
    """Rounds, with a slope of 3 where that is above 0, and of 0 elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * gradients[0] * (x > 0)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (F.relu, lambda x: (x > 0).double()),
        (torch.tanh, lambda x: 1 - torch.tanh(x) ** 2),
        (F.gelu, lambda x: torch.special.ndtr(x) + x * (-x * x / 2).exp() / (2 * torch.pi) ** 0.5),
        (lambda x: x.relu_(), lambda x: (x > 0).double()),
        (Own.apply, lambda x: 3 * (x > 0).double()),
    ],
)
def test_slopes_are_those_of_the_function(
    function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]
) -> None:
    x = 4 * torch.randn(32, 5, generator=torch.Generator().manual_seed(0)).double()
    x[:, 2] = -9
    found = slope_of(function, x, 1, torch.Generator())
    expected = slope(x).abs()
    assert found is not None
    assert found.rms == pytest.approx(float(expected.square().mean().sqrt()))
    assert found.flat == pytest.approx(float((expected < 0.01).double().mean()))
    assert (found.dead, found.units) == (0.2, 5)
    assert found.mean == pytest.approx(float(x.mean()))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(1),
        lambda x: x - x.mean(0),
        lambda x: 3 * x + 1,
        lambda x: x.cumsum(1),
        lambda x: x[:, :2],
        lambda x: x.detach(),
    ],
)
def test_what_does_not_act_entry_by_entry_or_is_linear_has_no_slopes(
    function: Callable[[Tensor], Tensor],
) -> None:
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    assert slope_of(function, x, 1, torch.Generator()) is None


def paths(sources: list[frozenset[int]], end: int) -> Iterator[tuple[int, ...]]:
    for start in sources[end]:
        if start == INPUT:
            yield (end,)
        else:
            yield from ((*path, end) for path in paths(sources, start))


def test_the_trunk_is_what_all_paths_have_in_common() -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(200):
        sources = []
        for k in range(7):
            drawn = torch.randint(-1, k, (2,), generator=random).tolist() if k else [INPUT]
            sources.append(frozenset(drawn))
        all_paths = [set(path[:-1]) for path in paths([*sources, frozenset({6})], 7)]
        common = set.intersection(*all_paths)
        assert on_trunk(sources, frozenset({6})) == [k in common for k in range(7)]


def passed(network: nn.Module, x: Tensor) -> Any:
    return pass_through(network, x, torch.Generator().manual_seed(0))


def test_layers_are_named_as_the_network_names_what_makes_them() -> None:
    found = passed(made(resnet, 0), torch.randn(4, 1, 8, 8))
    names = [(layer.name, layer.seen.operation) for layer in found.layers]
    assert names[:4] == [
        ("0", "conv2d"),
        ("1", "batch_norm"),
        ("2", "relu"),
        ("3.conv1", "conv2d"),
    ]
    assert names[5] == ("3: relu", "relu")
    assert names[8:10] == [("3: add", "add"), ("3: relu #2", "relu")]
    assert names[-2:] == [("7", "adaptive_avg_pool2d"), ("10", "linear")]
    on = [layer.name for layer in found.layers if layer.trunk]
    assert on[:5] == ["0", "1", "2", "3: add", "3: relu #2"]


def test_gradients_are_those_of_a_random_sum_of_outputs() -> None:
    network = made(lambda: he(mlp(2)), 0).double()
    x = torch.randn(5, 1, 8, 8).double()
    found = pass_through(network, x, torch.Generator().manual_seed(3))
    drawn = torch.Generator().manual_seed(3)
    for _ in range(2):  # two activations, of which slopes were asked
        torch.randn(5, 64, generator=drawn)
    r = torch.randn(5, 10, generator=drawn)
    h = [x]
    for module in network.children():
        h.append(module(h[-1].detach().requires_grad_() if len(h) == 2 else h[-1]))
    inner = h[3:-1]
    gradients = torch.autograd.grad((h[-1] * r).sum(), inner)
    for layer, gradient in zip(found.layers[1:-1], gradients, strict=True):
        expected = gradient.square().sum(1).mean().sqrt()
        assert layer.backward is not None
        assert layer.backward.norm == pytest.approx(float(expected))


def test_shares_of_the_kernel_are_those_of_a_jacobian() -> None:
    network = made(lambda: he(mlp(1)), 0)
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = inspect(network, x)
    squares = {name: 0.0 for name, _ in network.named_parameters()}
    for row in network(x).sum(1):
        gradients = torch.autograd.grad(row, [*network.parameters()], retain_graph=True)
        for name, gradient in zip(squares, gradients, strict=True):
            squares[name] += float(gradient.double().square().sum())
    shares = dict(found.parameters.select("parameter", "ntk_share").iter_rows())
    total = sum(squares.values())
    assert shares == pytest.approx(
        {name: each / total for name, each in squares.items()}, rel=1e-5
    )
    assert sum(found.layers["ntk_share"].drop_nulls()) == pytest.approx(1)
    assert found.condition_number.value is not None


def test_coupling_is_the_share_of_derivatives_by_other_images() -> None:
    mean = Net(lambda m, x: m.head(x.flatten(1) - x.flatten(1).mean(0)), head=nn.Linear(64, 10))
    x = torch.randn(8, 1, 8, 8)
    # d / dx_j is W (delta_ij - 1 / 8): (7 / 8)^2 of its own, and 7 times (1 / 8)^2
    assert inspect(mean, x).coupling.value == pytest.approx(7 / (49 + 7))
    assert inspect(mlp(), x).coupling.value == pytest.approx(0, abs=1e-12)


def test_the_loss_is_that_of_the_labels_or_of_equal_chances() -> None:
    network, x = made(mlp, 0).requires_grad_(False), torch.randn(6, 1, 8, 8)
    labels = torch.arange(6)
    loss = inspect(network, x, labels).loss.value
    assert loss == pytest.approx(float(F.cross_entropy(network(x).double(), labels)))
    chances = -F.log_softmax(network(x).double(), 1).mean()
    assert inspect(network, x).loss.value == pytest.approx(float(chances))
    assert inspect(network, x).chance == pytest.approx(log(10))


def test_a_scale_that_is_doubled_reaches_the_outputs_unless_something_normalises() -> None:
    x = torch.randn(8, 1, 8, 8)
    plain = inspect(made(lambda: he(mlp()), 0), x).evidence
    assert all(plain.passes_scale(k) for k in (INPUT, 0, 3, 8))
    normal = inspect(made(resnet, 0), x).evidence
    names = [layer.name for layer in normal.passed.layers]
    assert not any(normal.passes_scale(names.index(name)) for name in ("0", "3.conv1", "6.conv2"))
    assert normal.passes_scale(names.index("10"))


def test_attention_and_recurrence_are_seen_call_by_call() -> None:
    operations = [layer.seen.operation for layer in passed(vit(), torch.randn(4, 1, 8, 8)).layers]
    assert operations.count("softmax") == 3
    recurrent = zoo.recurrent(nn.LSTM(4, 5, batch_first=True))
    found = passed(recurrent, torch.randn(6, 3, 4))
    names = [name for layer in found.layers for name in layer.seen.parameters]
    assert {*names} == {name for name, _ in recurrent.named_parameters()}
    assert all(gradient is not None for gradient in found.gradients.values())


class Swish(nn.Module):
    """An activation of somebody's own, of several calls."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()


def test_a_module_without_parameters_is_one_layer() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Swish(), nn.Linear(8, 10))
    found = passed(network, torch.randn(4, 1, 8, 8))
    assert [layer.seen.operation for layer in found.layers] == ["linear", "Swish", "linear"]
    assert found.layers[1].seen.slope is not None


def test_a_network_is_left_as_it_was(digits: Images) -> None:
    network = made(resnet, 0).train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    inspect(network, digits)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert not any(getattr(m, kind) for m in network.modules() for kind in hooks)
    assert torch.equal(random, torch.get_rng_state())


def test_the_same_seed_gives_the_same_numbers(digits: Images) -> None:
    network = made(resnet, 0)
    first, again = (inspect(network, digits, seed=3) for _ in range(2))
    assert first.layers.equals(again.layers)
    assert first.parameters.equals(again.parameters)


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_every_kind_of_network_can_be_inspected(name: str) -> None:
    network, x = zoo.make(name)
    found = inspect(network, x)
    assert len(found.layers) > 0
    assert set(found.parameters["parameter"]) == {each for each, _ in network.named_parameters()}


# Misuse


@pytest.mark.parametrize(
    ("network", "images", "message"),
    [
        (nn.Linear(3, 2), torch.ones(4, 5), "the network does not take inputs of shape"),
        (nn.Linear(3, 2), torch.ones(1, 3), "expected two images or more, got 1"),
        (nn.Linear(3, 2), torch.full((4, 3), float("nan")), "holds NaN or infinity in 4 of 4"),
        (nn.LSTM(3, 2), torch.ones(4, 3), "expected outputs as one real tensor .* got tuple"),
        (nn.Bilinear(3, 3, 2), torch.ones(4, 3), "does not take inputs .* missing 1 required"),
    ],
)
def test_wrong_use_is_refused_in_one_line(network: Any, images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        inspect(network, images)
    assert "\n" not in str(raised.value)


def test_outputs_are_a_logit_for_each_class(digits: Images) -> None:
    with pytest.raises(
        ValueError, match=r"logit for each of 10 classes, .* got outputs of 64 num"
    ):
        inspect(mlp(1)[:-1], digits)
