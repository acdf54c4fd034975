"""The NNGP kernel against loops over draws, closed forms, and networks in training mode."""

import copy
import sys
import threading
import warnings
from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.kernels.nngp import drawn_features, nngp, nngp_blocks
from untrained.networks.weights import draw_weights, ntk_parametrisation
from untrained.spaces import get_space, prunable


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(width: int = 30) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))


def normalised() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def images(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, 6, 6, generator=generator(seed))


def features_of_draws(model: nn.Sequential, x: Tensor, draws: int, seed: int = 0) -> list[Tensor]:
    """What enters the last layer of a copy, draw after draw, in whatever mode the model is."""
    model, same, kept = copy.deepcopy(model), generator(seed), []
    model[-1].register_forward_pre_hook(lambda layer, inputs: kept.append(inputs[0].detach()))
    for _ in range(draws):
        draw_weights(model, "kaiming_fan_in", same)
        model(x)
    return kept


def naive(z1: list[Tensor], z2: list[Tensor]) -> np.ndarray:
    """K of each draw, one pair of examples and one feature at a time."""
    kernels = np.zeros((len(z1), len(z1[0]), len(z2[0])))
    for m, (a, b) in enumerate(zip(z1, z2, strict=True)):
        for i, j in np.ndindex(*kernels.shape[1:]):
            kernels[m, i, j] = sum(
                float(u) * float(v) for u, v in zip(a[i], b[j], strict=True)
            ) / len(a[i])
    return kernels


def test_mean_and_standard_error_are_those_of_a_loop() -> None:
    model, x = mlp(), torch.randn(5, 4)
    found = nngp(model, x[:3], x, generator=generator(), draws=6)
    z = features_of_draws(model, x, 6)
    kernels = naive([part[:3] for part in z], z)
    np.testing.assert_allclose(found.mean, kernels.mean(0), rtol=1e-6)
    assert found.standard_error is not None
    expected = kernels.std(0, ddof=1) / 6**0.5
    np.testing.assert_allclose(found.standard_error, expected, rtol=1e-5)
    assert (found.draws, found.features, found.readout) == (6, 30, "linear")
    assert found.reason == ""
    symmetric = nngp(model, x, generator=generator(), draws=2).mean
    assert torch.equal(symmetric, symmetric.T)


def test_the_closed_form_lies_within_the_standard_error() -> None:
    """E relu(u) relu(v) of one hidden layer, exact at any width (Cho & Saul, 2009)."""
    x = F.normalize(torch.randn(6, 4, generator=generator(), dtype=torch.float64))
    angle = (x @ x.T).clamp(-1, 1).arccos()
    expected = 2 / 4 * (angle.sin() + (torch.pi - angle) * angle.cos()) / (2 * torch.pi)
    found = nngp(mlp().double(), x, generator=generator(), draws=400)
    assert found.standard_error is not None
    deviations = (found.mean - expected) / found.standard_error
    assert deviations.abs().max() < 4
    assert 0.3 < deviations.square().mean().sqrt() < 2


def test_the_standard_error_falls_as_the_square_root_of_the_draws() -> None:
    x, draws = torch.randn(20, 4, generator=generator()), (16, 64, 256)
    errors = []
    for m in draws:
        error = nngp(mlp(), x, generator=generator(m), draws=m).standard_error
        assert error is not None
        errors.append(error.mean().item())
    slope = np.polyfit(np.log(draws), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.08)


def test_frozen_statistics_are_those_of_the_whole_calibration() -> None:
    model, x, other = normalised(), images(12), images(7, 1)
    z = features_of_draws(model.train(), x, 3)  # the batch's own statistics
    found = nngp(model, x, generator=generator(), draws=3, chunk=5)
    np.testing.assert_allclose(found.mean, naive(z, z).mean(0), rtol=1e-4)
    # Part of the calibration batch sees the statistics of all of it.
    part = nngp(model, x[:4], generator=generator(), draws=3, calibration=x, chunk=3)
    torch.testing.assert_close(part.mean, found.mean[:4, :4], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(nngp(model, x[:4], generator=generator()).mean, part.mean)
    # Other examples see them too: those of x, not their own.
    both = nngp(model, torch.cat([x, other]), generator=generator(), draws=3, calibration=x)
    cross = nngp(model, x, other, generator=generator(), draws=3)
    torch.testing.assert_close(cross.mean, both.mean[:12, 12:], rtol=1e-4, atol=1e-6)


def test_batch_statistics_are_those_of_training_mode() -> None:
    model, x, other = normalised(), images(9), images(7, 1)
    found = nngp(model, x, other, generator=generator(), draws=2, batchnorm="batch", chunk=2)
    z1, z2 = (features_of_draws(model.train(), batch, 2) for batch in (x, other))
    np.testing.assert_allclose(found.mean, naive(z1, z2).mean(0), rtol=1e-4)


def test_running_statistics_are_those_of_a_new_network() -> None:
    model, x = normalised(), images(5)
    model(images(20, 3))  # what training left is of no account: a draw starts anew
    found = nngp(model, x, generator=generator(), draws=2, batchnorm="running")
    z = features_of_draws(model.eval(), x, 2)
    np.testing.assert_allclose(found.mean, naive(z, z).mean(0), rtol=1e-5)


def test_published_statistics_are_one_update_of_torch_in_training_mode() -> None:
    model, x = normalised(), images(120)
    found = nngp(model, x, generator=generator(), draws=2, batchnorm="published")
    same, kernel = generator(), torch.zeros(120, 120, dtype=torch.float64)
    for _ in range(2):
        net = copy.deepcopy(model).train()
        draw_weights(net, "kaiming_fan_in", same)
        for layer in (net[1], net[4]):
            assert isinstance(layer, nn.BatchNorm2d)
            layer.momentum = 1 - 0.997
        net(x[torch.randperm(120, generator=same)[:100]])
        z = net.eval()[:-1](x).detach().double()
        kernel += z @ z.T / (2 * 6)
    # torch counts n - 1 in the variance, which moves it by less than 1e-6 here
    torch.testing.assert_close(found.mean, kernel, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("batchnorm", ["frozen", "batch", "running", "published"])
def test_blocks_are_of_the_same_draws(batchnorm: Any) -> None:
    model, x, other = normalised(), images(8), images(5, 1)
    options: dict[str, Any] = {"draws": 3, "batchnorm": batchnorm, "chunk": 3}
    found = nngp_blocks(model, x, other, generator=generator(), **options)
    train = nngp(model, x, generator=generator(), **options)
    cross = nngp(model, x, other, generator=generator(), **options)
    torch.testing.assert_close(found.train, train.mean)
    torch.testing.assert_close(found.validation, cross.mean.T)
    assert found.prior is not None
    joint = torch.cat(
        [
            torch.cat([found.train, found.validation.T], 1),
            torch.cat([found.validation, torch.diag(found.prior)], 1),
        ]
    )
    for v in range(8, 13):  # positive semi-definite with one validation example at a time
        keep = [*range(8), v]
        assert torch.linalg.eigvalsh(joint[keep][:, keep])[0] > -1e-12


@pytest.mark.parametrize("batchnorm", ["frozen", "running", "published"])
def test_chunks_change_nothing(batchnorm: Any) -> None:
    model, x, other = normalised(), images(10), images(9, 1)
    kernels = [
        nngp(model, x, other, generator=generator(), draws=2, batchnorm=batchnorm, chunk=chunk)
        for chunk in (2, None)
    ]
    torch.testing.assert_close(kernels[0].mean, kernels[1].mean, rtol=1e-5, atol=1e-8)


def test_a_law_of_weights_and_its_parametrisation() -> None:
    """N(0, 1) in NTK parametrisation is the Kaiming law, of the same numbers."""
    model, x = normalised(), images(5)
    one = nngp(model, x, generator=generator(), draws=2)
    other = nngp(ntk_parametrisation(model), x, generator=generator(), draws=2, weights="ntk")
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-4, atol=1e-7)
    orthogonal = nngp(model, x, generator=generator(), draws=2, weights="orthogonal")
    assert not torch.allclose(one.mean, orthogonal.mean)


def test_the_network_is_left_as_it_was() -> None:
    model = normalised()
    model(images(4))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.random.get_rng_state()
    first = nngp(model, images(5), generator=generator())
    with torch.no_grad():
        model.get_parameter("0.weight").zero_()  # of no account
    assert torch.equal(first.mean, nngp(model, images(5), generator=generator()).mean)
    model.load_state_dict(before)
    for batchnorm in ("frozen", "batch", "running", "published"):
        nngp(model, images(5), generator=generator(), draws=1, batchnorm=batchnorm)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())


def test_a_network_of_the_zoo() -> None:
    space = prunable(get_space("nasbench201"))
    model = space.build(space.supernet(), space.scales["small"], inputs=(3, 32, 32), classes=10)
    found = nngp(model, images(6), generator=generator(), draws=2)
    assert (found.features, found.readout) == (12, "linear")
    assert torch.linalg.eigvalsh(found.mean)[0] > -1e-12


def test_without_a_readout_the_outputs_are_the_features() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
    found = nngp(model, torch.randn(3, 4), generator=generator())
    assert (found.features, found.readout) == (5, "")


class Dead(nn.Module):
    """Features that are a constant times those of the input."""

    def __init__(self, slope: float, offset: float):
        super().__init__()
        self.slope, self.offset = slope, offset
        self.readout = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.slope * x + self.offset)


@pytest.mark.parametrize(("offset", "reason"), [(0.0, "zero"), (2.0, "constant")])
def test_a_kernel_that_tells_nothing_apart_says_so(offset: float, reason: str) -> None:
    found = nngp(Dead(0.0, offset), torch.randn(3, 4), generator=generator())
    assert reason in found.reason


def test_one_draw_has_no_standard_error() -> None:
    found = nngp(mlp(), torch.randn(3, 4), generator=generator(), draws=1)
    assert found.standard_error is None
    assert found.mean.isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_numbers_name_the_draw(value: float) -> None:
    with pytest.raises(ValueError, match="draw 1 of 8"):
        nngp(Dead(1.0, value), torch.randn(3, 4), generator=generator())


@pytest.mark.parametrize("options", [{"draws": 0}, {"chunk": 0, "batchnorm": "running"}])
def test_wrong_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        nngp(mlp(), torch.randn(3, 4), generator=generator(), **options)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batchnorm": "train"}, "frozen, batch, running, published"),
        ({"weights": "kaiming"}, "did you mean kaiming_fan_in"),
    ],
)
def test_unknown_words_say_what_was_expected(wrong: dict[str, str], words: str) -> None:
    """Without the type checker of this suite, which would speak first."""
    with pytest.raises(ValueError, match=words):
        unwrap(nngp)(nn.Linear(2, 1), torch.ones(3, 2), generator=generator(), **wrong)


class Viewing(nn.Module):
    """A network that takes its activations for vectors in the order of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.hidden = nn.Linear(4 * 36, 10)
        self.out = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x).relu()
        return self.out(self.hidden(z.view(len(z), -1)).relu())


def test_networks_that_view_their_activations_are_passed_as_they_are() -> None:
    torch.manual_seed(0)
    network, x = Viewing(), torch.randn(5, 3, 8, 8)
    with pytest.raises(RuntimeError, match="view"):
        copy.deepcopy(network).to(memory_format=torch.channels_last)(  # type: ignore[call-overload]
            x.contiguous(memory_format=torch.channels_last)
        )
    drawn = drawn_features(network, x, generator=torch.Generator().manual_seed(1), draws=3)
    weights = torch.Generator().manual_seed(1)
    for found in drawn:
        draw_weights(network, "kaiming_fan_in", weights)
        with torch.no_grad():
            z = network.hidden(network.conv(x).relu().flatten(1)).relu()
        torch.testing.assert_close(found.z, z)


class OfVolumes(nn.Module):
    """Shows images to a convolution of volumes, whose weights cannot have channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(1, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x[:, None]).relu().mean((2, 3, 4)))


def test_networks_with_convolutions_of_volumes_are_passed_too() -> None:
    network, x = OfVolumes(), torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    [found] = drawn_features(network, x, generator=torch.Generator().manual_seed(1), draws=1)
    draw_weights(network, "kaiming_fan_in", torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = network.conv(x[:, None]).relu().mean((2, 3, 4))
    torch.testing.assert_close(found.z, z)


def test_drawn_features_make_the_kernel() -> None:
    network, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(6, 3)
    zs = [
        found.z.double()
        for found in drawn_features(network, x, generator=torch.Generator().manual_seed(1))
    ]
    expected = sum(z @ z.T / z.shape[1] for z in zs) / len(zs)
    found = nngp(network, x, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.mean, expected)


class Held(nn.Module):
    """A network that holds what no copy can be made of."""

    def __init__(self, what: str):
        super().__init__()
        self.first, self.last = nn.Linear(4, 30), nn.Linear(30, 2)
        self.what = {
            "lock": threading.Lock(),
            "file": sys.stdout,
            "generator": (i for i in range(3)),
            "lambda": lambda h: h,
            "computed": self.first.weight * 2,
        }[what]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())


@pytest.mark.parametrize("what", ["lock", "file", "generator", "lambda", "computed"])
def test_networks_of_which_there_is_no_copy(what: str) -> None:
    model, x = Held(what), torch.randn(5, 4)
    plain = nn.Sequential()
    for name, part in (("first", model.first), ("relu", nn.ReLU()), ("last", model.last)):
        plain.add_module(name, part)
    found = nngp(model, x, generator=generator(), draws=3)
    assert torch.equal(found.mean, nngp(plain, x, generator=generator(), draws=3).mean)


class Viewed(nn.Module):
    """A network that computes with views of its parameters that it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.kernel = self.conv.weight.view(8, 3, 3, 3)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.conv2d(x, self.kernel).relu().mean((2, 3)))


def test_views_of_parameters_follow_the_draws() -> None:
    model, x = Viewed(), images(5)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    plain = nn.Sequential(plain, nn.Flatten(), nn.Linear(8, 2))
    found = nngp(model, x, generator=generator(), draws=200)
    expected = nngp(plain, x, generator=generator(1), draws=200)
    assert found.standard_error is not None
    assert (found.standard_error > 0).all()
    torch.testing.assert_close(found.mean, expected.mean, rtol=0.2, atol=0)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    "way",
    [
        nn.utils.weight_norm,
        nn.utils.parametrizations.weight_norm,
        lambda layer: nn.utils.prune.identity(layer, "weight"),
    ],
)
def test_parametrised_layers_have_the_kernel_of_plain_ones(
    way: Callable[[nn.Module], nn.Module],
) -> None:
    plain, made = normalised(), normalised()
    way(made[0])
    way(made[3])
    for batchnorm in ("frozen", "batch", "running"):
        found = [
            nngp(model, images(5), generator=generator(), draws=2, batchnorm=batchnorm)
            for model in (plain, made)
        ]
        torch.testing.assert_close(found[0].mean, found[1].mean, rtol=1e-5, atol=1e-8)


class Broken(nn.Module):
    """Fails at its k-th pass."""

    def __init__(self, k: int, error: BaseException):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), nn.Linear(8, 2)
        self.passes, self.error = [k], error

    def forward(self, x: Tensor) -> Tensor:
        k = self.passes[0]
        self.passes[0] = k - 1
        if k == 0:
            raise self.error
        return self.head(self.body(x))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("k", [0, 1, 3])
def test_a_network_is_left_as_it_was_when_a_draw_fails(k: int, error: BaseException) -> None:
    model = Broken(k, error)
    model.body(torch.randn(6, 4)).sum().backward()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    gradient, model.head.training = model.body[0].weight.grad, False
    flags = [module.training for module in model.modules()]
    with pytest.raises(type(error)):
        nngp(model, torch.randn(5, 4), generator=generator(), draws=4)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert model.body[0].weight.grad is gradient


def test_between_two_draws_the_network_is_the_callers() -> None:
    model, x = mlp(), torch.randn(5, 4)
    before, loss = copy.deepcopy(model.state_dict()), model(x).sum()
    for _ in drawn_features(model, x, generator=generator(), draws=3):
        assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    loss.backward()  # its graph is still good
    assert model.get_parameter("0.weight").grad is not None


def test_a_network_is_understood_by_the_inputs() -> None:
    """A weight stored the other way is drawn by its inputs, and a table stays."""
    model, x = Turned(), torch.randn(6, 5, 4)
    layer = nn.Sequential(nn.Linear(4, 90, bias=False), nn.ReLU())
    plain = nn.Sequential(layer, nn.AdaptiveAvgPool2d((1, 90)), nn.Flatten(), nn.Linear(90, 2))
    found, expected = (
        nngp(net, inputs, generator=generator(), draws=300)
        for net, inputs in ((model, x), (plain, x + model.table.detach()))
    )
    torch.testing.assert_close(found.mean, expected.mean, rtol=0.05, atol=0)


def test_what_the_inputs_do_not_show_is_refused_or_kept() -> None:
    model, x = Squared(), torch.randn(6, 4)
    with pytest.raises(ValueError, match="not understood"):
        nngp(model, x, generator=generator())
    kept = nngp(model, x, generator=generator(), keep=["weight"])
    z = model(x).detach().double()
    torch.testing.assert_close(kept.mean, z @ z.T / 4)


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.weight = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(4, 90))
        self.head = nn.Linear(90, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(((x + self.table) @ self.weight).relu().mean(1))


class Squared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight @ self.weight)


class Coupling(nn.Module):
    """Subtracts the mean of the batch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        return self.last(h - h.mean(0))


@pytest.mark.parametrize("batchnorm", ["frozen", "running", "published"])
def test_examples_that_influence_each_other_pass_together(batchnorm: Any) -> None:
    model, x, other = Coupling(), torch.randn(10, 4), torch.randn(9, 4)
    found, whole = (
        nngp(model, x, other, generator=generator(), draws=3, batchnorm=batchnorm, chunk=chunk)
        for chunk in (3, None)
    )
    torch.testing.assert_close(found.mean, whole.mean)


def test_networks_without_python_are_refused_by_name() -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        traced = torch.jit.trace(mlp(), torch.randn(3, 4))
    with pytest.raises(ValueError, match="TorchScript"):
        nngp(nn.Sequential(traced), torch.randn(3, 4), generator=generator())


def test_an_unused_weight_has_no_part() -> None:
    model = mlp()
    model.token = nn.Parameter(torch.randn(3, 4))
    found = nngp(model, torch.randn(3, 4), generator=generator(), draws=1)
    assert found.mean.isfinite().all()


class Pair(nn.Module):
    """Of two inputs, with a dictionary of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 6), nn.Linear(2, 6), nn.Linear(6, 3)

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        hidden = torch.relu(self.left(a) * self.right(b))
        return {"hidden": hidden, "logits": self.head(hidden)}


def test_networks_of_several_inputs() -> None:
    """By place and by name, against a loop; `calibration` has the same structure."""
    network = Pair()
    a, b = torch.randn(5, 4, generator=generator()), torch.randn(5, 2, generator=generator(1))
    same, expected = generator(), torch.zeros(5, 5, dtype=torch.float64)
    for _ in range(3):
        draw_weights(copied := copy.deepcopy(network), "kaiming_fan_in", same)
        z = copied(a, b)["hidden"].double()
        expected += (z @ z.T / 18).detach()
    for inputs in ((a, b), {"a": a, "b": b}):
        found = nngp(
            network, inputs, select=lambda out: out["logits"], generator=generator(), draws=3
        )
        torch.testing.assert_close(found.mean.as_subclass(Tensor), expected)
        assert (found.readout, found.features) == ("linear", 6)
    blocks = nngp_blocks(
        network, (a[:3], b[:3]), (a[3:], b[3:]), calibration=(a, b), generator=generator(),
        draws=3, select=lambda out: out["logits"], keep=["left.bias"],
    )  # fmt: skip
    assert blocks.validation.shape == (2, 3)
    with pytest.raises(ValueError, match="same structure"):
        nngp(network, (a, b), a, generator=generator(), select=lambda out: out["logits"])


def test_a_loader_and_another_precision_have_the_draws_of_a_batch() -> None:
    x, network = images(4), normalised()
    expected = nngp(network, x, generator=generator(), draws=2).mean
    in_batches = nngp(network, [x[:3], x[3:]], generator=generator(), draws=2).mean
    torch.testing.assert_close(in_batches, expected, rtol=0, atol=0)
    one = nngp(network, (x,), generator=generator(), draws=2).mean  # as an argument by place
    torch.testing.assert_close(one, expected)
    exact = nngp(network, x, generator=generator(), draws=2, dtype=torch.float64).mean
    torch.testing.assert_close(exact, expected, rtol=1e-5, atol=1e-6)
    assert next(network.parameters()).dtype == torch.float32


def test_functions_draw_their_parameters() -> None:
    """Outputs are the features; each draw is one of the caller's."""

    def f(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.tanh(x @ params["w"])

    def law(of: torch.Generator) -> dict[str, Tensor]:
        return {"w": torch.randn(4, 7, generator=of)}

    x, same = torch.randn(5, 4, generator=generator(1)), generator()
    kernels = [z @ z.T / 7 for z in (f(law(same), x).double() for _ in range(3))]
    found = nngp(f, x, params=law, generator=generator(), draws=3)
    torch.testing.assert_close(found.mean.as_subclass(Tensor), torch.stack(kernels).mean(0))
    error = torch.stack(kernels).std(0) / 3**0.5
    torch.testing.assert_close(found.standard_error, error)
    between = nngp(f, x[:2], x[2:], params=law, generator=generator(), draws=3).mean
    torch.testing.assert_close(between, found.mean[:2, 2:])
    with pytest.raises(ValueError, match="expected a function that draws the parameters"):
        unwrap(nngp)(f, x, params={"w": torch.randn(4, 7)}, generator=generator())
