"""Scores of the gradient of the loss against loops of autograd written out."""

import copy
from dataclasses import replace
from math import log

import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from odd import CLASSES, generator, odd, probe
from torch import Tensor, nn

from untrained.images import Probe
from untrained.scores import SCORES, Reading
from untrained.scores.example_gradients import KNAS, GradSign, LabelledContrast
from untrained.scores.gradient_noise import GradientNoise
from untrained.scores.sensitivity import NASI


def value(name: str, network: nn.Module, shown: Probe, **settings: object) -> float:
    reading = replace(SCORES[name](), **settings)(network, shown, generator())
    assert reading.value is not None, reading.reason
    return reading.value


def backward(network: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Gradients of all trainable parameters, of a copy in training mode; zero where none comes."""
    network = copy.deepcopy(network)
    F.cross_entropy(network(x.clone()), labels).backward()
    return {
        name: (torch.zeros_like(p) if p.grad is None else p.grad).double()
        for name, p in network.named_parameters()
        if p.requires_grad
    }


WEIGHTS = ("stem.weight", "shared.weight", "kernel", "unreached.weight", "head.weight")


def test_one_backward_pass() -> None:
    network, shown = odd(), probe()
    found = backward(network, shown.inputs, shown.labels)
    w = {name: network.get_parameter(name).detach().double() for name in WEIGHTS}
    g = {name: found[name] for name in WEIGHTS}
    expected = {
        "plain": sum((w[n] * g[n]).sum() for n in WEIGHTS),
        "snip": sum((w[n] * g[n]).abs().sum() for n in WEIGHTS),
        "grad_norm": torch.cat([each.flatten() for each in g.values()]).norm(),
        "foresight:grad_norm": sum(each.norm() for each in g.values()),
        "nasi": sum(each.square().sum() for each in found.values()),
        "l2_norm": sum(each.norm() for each in w.values()),
    }
    for name, number in expected.items():
        assert value(name, network, shown) == pytest.approx(float(number), rel=1e-4), name


def test_fisher_is_of_channels_before_what_is_done_to_them_in_place() -> None:
    network, shown = odd(), probe()
    outputs: list[Tensor] = []
    F.cross_entropy(copy.deepcopy(network)(shown.inputs, outputs), shown.labels).backward()
    expected, released = 0.0, 0.0
    for a, weights in zip(outputs, (9, 36, 36, 4, 4, 4), strict=True):
        assert a.grad is not None
        for channel in range(a.shape[1]):
            for i in range(len(a)):
                both = (a[i, channel] * a.grad[i, channel]).sum().item()
                expected += both**2 / (2 * len(a))
                released += weights * both**2 / (2 * len(a))
    assert value("fisher", network, shown) == pytest.approx(expected, rel=1e-4)
    assert value("foresight:fisher", network, shown) == pytest.approx(released, rel=1e-4)


def test_nasi_subtracts_what_exceeds_its_ceiling() -> None:
    network, shown = odd(), probe()
    t = value("nasi", network, shown)
    assert value("nasi", network, shown, ceiling=2 * t) == t
    limited = value("nasi", network, shown, ceiling=t / 2, penalty=3.0)
    assert limited == pytest.approx(t - 3 * t / 2)


def test_grasp_by_the_whole_hessian() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.Tanh(), nn.Linear(2, CLASSES))
    shown = probe()
    sizes = [(2, 36), (CLASSES, 2)]
    biases = [network.get_parameter(f"{i}.bias").detach() for i in (1, 3)]

    def loss(theta: Tensor) -> Tensor:
        first, second = (
            part.view(size) for part, size in zip(theta.split([72, 6]), sizes, strict=True)
        )
        hidden = torch.tanh(F.linear(shown.inputs.flatten(1).double(), first, biases[0].double()))
        return F.cross_entropy(F.linear(hidden, second, biases[1].double()), shown.labels)

    theta = torch.cat(
        [network.get_parameter(f"{i}.weight").detach().flatten() for i in (1, 3)]
    ).double()
    h = torch.autograd.functional.hessian(loss, theta)
    g = torch.autograd.functional.jacobian(loss, theta)
    expected = -(theta @ h @ g).item()
    assert value("grasp", network, shown) == pytest.approx(expected, rel=1e-3)


# Synaptic flow


def chain(depth: int, scale: float) -> nn.Sequential:
    """Linear layers without biases, of width 8, on 16 pixels."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(16, 8, bias=False)]
    for _ in range(depth - 2):
        layers += [nn.ReLU(inplace=True), nn.Linear(8, 8, bias=False)]
    layers += [nn.ReLU(), nn.Linear(8, CLASSES, bias=False)]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, scale)
    return network


ONE = Probe(torch.randn(2, 1, 4, 4), torch.tensor([0, 1]), CLASSES, "noise")


@pytest.mark.parametrize(("depth", "scale"), [(2, 1.0), (5, 1.0), (60, 1e4)])
def test_synflow_of_a_chain_is_its_depth_times_the_weight_of_all_paths(
    depth: int, scale: float
) -> None:
    """The deepest has a sum above what float32 holds."""
    network = chain(depth, scale)
    paths = torch.ones(16, dtype=torch.float64)
    for p in network.parameters():
        paths = p.detach().double().abs() @ paths
    assert value("synflow", network, ONE) == pytest.approx(log(depth * paths.sum()), rel=1e-9)
    assert (paths.sum() > torch.finfo(torch.float32).max) == (depth == 60)


def test_synflow_leaves_batchnorm_out_and_says_why_there_is_no_number() -> None:
    network = chain(3, 1.0)
    expected = value("synflow", network, ONE)
    norm = nn.BatchNorm1d(8)
    with torch.no_grad():
        norm.weight.fill_(5.0)
        norm.running_mean.fill_(2.0)  # type: ignore[union-attr]
    normalised = nn.Sequential(network[:2], norm, network[2:])
    assert value("synflow", normalised, ONE) == pytest.approx(expected, rel=1e-12)
    too_deep = SCORES["synflow"]()(chain(90, 1e4), ONE, generator())
    assert too_deep.value is None
    assert "inf" in too_deep.reason or "nan" in too_deep.reason
    with torch.no_grad():
        network.get_parameter("3.weight").zero_()
    cut = SCORES["synflow"]()(network, ONE, generator())
    assert cut == Reading(None, "no path through the weights leads from input to output")


def test_synflow_with_batchnorm_by_autograd() -> None:
    network = odd()
    double = copy.deepcopy(network).double()
    with torch.no_grad():
        for p in double.parameters():
            p.abs_()
    double(torch.ones(1, 1, 6, 6, dtype=torch.float64)).sum().backward()
    flows = (p * p.grad for p in double.parameters() if p.grad is not None and p.ndim > 1)
    expected = log(sum(each.abs().sum().item() for each in flows))
    assert value("synflow_bn", network, probe()) == pytest.approx(expected, rel=1e-9)


# From batch to batch


def batch_gradients(
    network: nn.Module,
    shown: Probe,
    batches: int,
    *,
    clear: bool,
    names: tuple[str, ...] = WEIGHTS,
) -> dict[str, np.ndarray]:
    """`.grad` after each batch, cleared before each or not."""
    network = copy.deepcopy(network)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    parts = zip(
        shown.inputs.tensor_split(batches), shown.labels.tensor_split(batches), strict=True
    )
    for x, labels in parts:
        if clear:
            network.zero_grad()
        F.cross_entropy(network(x.clone()), labels).backward()
        for name in names:
            gradient = network.get_parameter(name).grad
            if gradient is not None:
                rows[name].append(gradient.double().flatten().numpy().copy())
    return {name: np.array(found) for name, found in rows.items() if found}


@pytest.mark.parametrize(("prefix", "clear"), [("", True), ("{0}:", False)])
def test_noise_of_batches(prefix: str, clear: bool) -> None:
    """The published loops never clear `.grad`."""
    network, shown = odd(), probe(24)
    g = batch_gradients(network, shown, 3, clear=clear)
    zico = 0.0
    for each in g.values():
        columns = [column for column in each.T if column.std() > 0]
        zico += log(sum(np.abs(column).mean() / column.std() for column in columns))
    gsnr = sum((each.mean(0) ** 2 / (each.var(0) + 1e-5)).sum() for each in g.values())
    name = prefix.format("zico") + "zico"
    assert value(name, network, shown, batches=3) == pytest.approx(zico, rel=1e-4)
    name = prefix.format("xigsnr") + "xi_gsnr"
    assert value(name, network, shown, batches=3, xi=1e-5) == pytest.approx(gsnr, rel=1e-3)


def test_zico_of_two_batches_in_closed_form() -> None:
    """One weight: mean |g| over half the difference."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    shown = Probe(
        torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.tensor([0, 0]), 2, "two numbers"
    )
    with torch.no_grad():
        network.get_parameter("1.weight").zero_()  # softmax is 1/2: g = -x/2, x/2
    assert value("zico", network, shown) == pytest.approx(log(2 * 1.0 / 0.5))
    assert value("zico:zico", network, shown) == pytest.approx(log(2 * 1.25 / 0.75))
    still = replace(shown, inputs=torch.ones(2, 1, 1, 1))
    assert SCORES["zico"]()(network, still, generator()).value is None


def test_knas_as_released() -> None:
    network, shown = odd(), probe(24)
    names = tuple(name for name, p in network.named_parameters() if p.requires_grad)
    g = batch_gradients(network, shown, 6, clear=True, names=names)
    expected = 0.0
    for each in g.values():
        if each.shape[1] >= 50:
            for w in range(50):
                first, second = each[:3, w], each[3:, w]
                expected += (first - first.mean()) @ (second - second.mean()) / 36
    assert value("knas:mgm", network, shown, batches=6) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", [n for n, s in SCORES.items() if issubclass(s, GradientNoise)])
def test_fewer_images_than_batches(name: str) -> None:
    found = SCORES[name](batches=20)(odd(), probe(), generator())  # type: ignore[call-arg]
    assert found.value is None
    assert "expected a probe of 20 images or more, one for each batch, got 12" in found.reason


@pytest.mark.parametrize("name", [n for n, s in SCORES.items() if issubclass(s, GradientNoise)])
@pytest.mark.parametrize("batches", [0, 1])
def test_one_batch_has_no_noise(name: str, batches: int) -> None:
    score = SCORES[name](batches=batches)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=f"expected two batches or more, got batches={batches}"):
        score(odd(), probe(), generator())


# Example by example


def test_gradsign_shows_images_one_by_one() -> None:
    network, shown = odd(), probe(7)
    rows = [backward(network, shown.inputs[i : i + 1], shown.labels[i : i + 1]) for i in range(7)]
    expected = sum(
        naive.total(row[name].sign() for row in rows).abs().sum().item() for name in WEIGHTS
    )
    assert value("gradsign", network, shown) == expected


def test_knas_is_the_mean_of_the_gram_matrix() -> None:
    network, shown = odd().eval(), probe(5)
    rows = [
        torch.cat([g.flatten() for g in backward(network, x[None], y[None]).values()])
        for x, y in zip(shown.inputs, shown.labels, strict=True)
    ]
    expected = naive.total(a @ b for a in rows for b in rows).item() / 25
    found = KNAS(batchnorm="running")(network, shown, generator()).value
    assert found == pytest.approx(expected, rel=1e-4)
    assert NASI(batchnorm="running")(network, shown, generator()).value == pytest.approx(
        found, rel=1e-4
    )


def test_contrast_of_the_labelled_pseudo_ntk() -> None:
    network, shown = odd().eval(), probe(6)
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    theta = naive.full_ntk(copy.deepcopy(network).double(), shown.inputs.double(), names)
    signs = 2 * F.one_hot(shown.labels, CLASSES).double() - 1
    k = torch.zeros(6, 6, dtype=torch.float64)
    for i in range(6):
        for j in range(6):
            block = theta[CLASSES * i : CLASSES * (i + 1), CLASSES * j : CLASSES * (j + 1)]
            k[i, j] = signs[i] @ block @ signs[j] / CLASSES
    pairs: dict[bool, list[float]] = {True: [], False: []}
    for i in range(6):
        for j in range(6):
            if i != j:
                alike = bool(shown.labels[i] == shown.labels[j])
                pairs[alike].append((k[i, j] / (k[i, i] * k[j, j]).sqrt()).item())
    expected = np.mean(pairs[True]) - np.mean(pairs[False])
    found = LabelledContrast(batchnorm="running")(network, shown, generator()).value
    assert found == pytest.approx(expected, rel=1e-4)


def test_gradsign_of_an_affine_classifier_in_closed_form() -> None:
    """Softmax is 1/2: images of class 0 lower row 0 along x and raise row 1, and so on."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network.get_parameter("1.weight").zero_()
        network.get_parameter("1.bias").zero_()
    x = torch.tensor([[1.0, 1.0], [2.0, -1.0], [1.0, 3.0]])[:, None, None]
    shown = Probe(x, torch.tensor([0, 0, 0]), 2, "numbers")
    assert GradSign()(network, shown, generator()).value == 2 * (3 + 1)
