"""Scores of forward passes and input gradients, each against its definition written out."""

import copy
import random
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from math import log, log1p

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from measured import read
from torch import Tensor, nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.networks import draw_weights
from untrained.regions.codes import activation_codes
from untrained.runs.setup import make_setup
from untrained.scores import SCORES, Reading
from untrained.scores.activation_codes import NASWOT, SWAP, RegularisedSWAP
from untrained.scores.contrastive import ContrastiveAlignment
from untrained.scores.data_jacobian import EPENAS, JacobianCovariance
from untrained.scores.dextr import Dextr, curvature, motion
from untrained.scores.feature_maps import MeCo, MeCoOpt
from untrained.scores.zen import Zen
from untrained.spaces import get_space

SPACE = get_space("nasbench201")
OF_IMAGES = ("naswot", "swap", "jacob_cov", "epe_nas", "az_expressivity", "az_progressivity")
FORWARD = (*OF_IMAGES, "zen", "meco", "meco_opt", "az_trainability", "vkdnw", "dextr")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(inplace: bool = False) -> nn.Sequential:
    """Modules alone, in training mode."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace), nn.AvgPool2d(2),
        nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 10),
    )  # fmt: skip
    draw_weights(model, "kaiming_fan_in", generator(1))
    return model.train()


class Functional(nn.Module):
    """The same as functions and methods, which no class name tells of."""

    def __init__(self) -> None:
        super().__init__()
        self.modules_of = network()

    def forward(self, x: Tensor) -> Tensor:
        first, norm, _, _, second, other, *_, readout = self.modules_of
        x = F.avg_pool2d(norm(first(x)).clamp(min=0), 2)
        return readout(F.relu_(other(second(x))).mean((2, 3)))


def seen(model: nn.Module, x: Tensor, kind: type[nn.Module]) -> list[Tensor]:
    """What modules of a kind give in a copy of the network, which sees x as one batch."""
    model, found = copy.deepcopy(model).train(), []
    for module in model.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda m, i, output: found.append(output.clone()))
    with torch.no_grad():
        model(x.clone())
    return found


@pytest.fixture
def probe(digits: Images) -> Probe:
    return draw_probe(digits, ProbeSpec(24), generator())


# Activation codes


def test_naswot_is_the_determinant_of_agreeing_units(probe: Probe) -> None:
    codes = torch.cat([o.flatten(1) > 0 for o in seen(network(), probe.inputs, nn.ReLU)], 1)
    kernel = np.zeros((24, 24))
    for i, j in product(range(24), repeat=2):
        kernel[i, j] = (codes[i] == codes[j]).sum()
    found = NASWOT()(network(), probe, generator())
    assert found.value == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-10)


def test_swap_counts_patterns_of_units_and_not_of_images(probe: Probe) -> None:
    codes = torch.cat([o.flatten(1) > 0 for o in seen(network(), probe.inputs, nn.ReLU)], 1)
    expected = len(set(map(tuple, codes.T.tolist())))
    assert SWAP()(network(), probe, generator()) == Reading(float(expected))
    assert expected > 24
    parameters = sum(p.numel() for p in network().parameters()) / 1000
    regular = RegularisedSWAP(mu=parameters + 2, sigma=8.0)(network(), probe, generator())
    assert regular.value == pytest.approx(expected * np.exp(-0.5))


def test_regularised_swap_aims_at_what_it_is_told(probe: Probe) -> None:
    found = RegularisedSWAP()(network(), probe, generator())
    assert found.value is None
    assert "set both" in found.reason
    patterns = SWAP()(network(), probe, generator()).value
    assert patterns is not None
    size = sum(p.numel() for p in network().parameters()) / 1000
    aimed = RegularisedSWAP().aiming(lambda: 2000.0)
    assert (aimed.mu, aimed.sigma) == (2.0, None)
    expected = patterns * np.exp(-((size - 2) ** 2) / 2)
    assert aimed(network(), probe, generator()).value == pytest.approx(expected)
    assert RegularisedSWAP(mu=5.0, sigma=3.0).aiming(float) == RegularisedSWAP(mu=5.0, sigma=3.0)


@pytest.mark.parametrize("name", ["nasbench201", "darts", "natsbench_size"])
def test_a_run_aims_at_the_largest_of_its_space(name: str) -> None:
    space, rng = get_space(name), random.Random(0)
    scale = space.scales["small"]
    sizes = []
    for _ in range(25):
        built = space.build(space.sample(rng), scale, inputs=(3, 32, 32), classes=10)
        sizes.append(sum(p.numel() for p in built.parameters()))
    score = make_setup("swap_regularised", space, {}).score
    assert score == RegularisedSWAP(mu=max(sizes) / 1000)
    given = make_setup("swap_regularised", space, {"mu": 3.0, "sigma": 1.5}).score
    assert given == RegularisedSWAP(mu=3.0, sigma=1.5)


def test_codes_are_exact_in_parts_and_count_every_breakpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(5, 37, generator=generator()) * 6
    model = nn.Sequential(nn.ReLU6(), nn.LeakyReLU())
    whole = activation_codes(model, x)
    columns = torch.cat([x > 0, x > 6, x.clamp(0, 6) > 0], 1)
    assert whole.units == 3 * 37
    assert torch.equal(whole.agreement(), (columns[:, None] == columns).sum(2).double())
    monkeypatch.setattr("untrained.regions.codes.TOGETHER", 2)
    assert torch.equal(activation_codes(model, x).agreement(), whole.agreement())
    assert activation_codes(model, x).distinct_units() == whole.distinct_units()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.SiLU()), "piecewise-linear"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU()), "share a code"),
    ],
)
def test_what_has_no_determinant_has_a_reason(model: nn.Module, reason: str, probe: Probe) -> None:
    reading = read(lambda: NASWOT()(model, probe, generator()))
    assert reading.value is None
    assert reason in reading.reason


# The data Jacobian


def jacobian(x: Tensor, model: nn.Module | None = None) -> np.ndarray:
    x = x.clone().requires_grad_()
    copy.deepcopy(model or network()).train()(x).sum().backward()
    assert x.grad is not None
    return np.asarray(x.grad.flatten(1).double())


def test_jacob_cov_is_that_of_numpy(probe: Probe) -> None:
    values = np.linalg.eigvalsh(np.corrcoef(jacobian(probe.inputs))) + 1e-5
    found = JacobianCovariance()(network(), probe, generator())
    assert found.value == pytest.approx(-np.sum(np.log(values) + 1 / values), rel=1e-4)


@pytest.mark.parametrize("dimensions", [5, 128])
def test_contrastive_alignment_is_that_of_embeddings_by_numpy(
    probe: Probe, dimensions: int
) -> None:
    model, weights = network(), generator(7)
    centred = []
    for _ in range(3):
        draw_weights(model, "kaiming_fan_in", weights)
        u, s, _ = np.linalg.svd(jacobian(probe.inputs, model), full_matrices=False)
        z = (u * s)[:, :dimensions]
        z = z - z.mean(0)
        centred.append(z @ z.T)
    expected = [
        (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) for a, b in combinations(centred, 2)
    ]
    score = ContrastiveAlignment(draws=3, dimensions=dimensions)
    found = score(network(), probe, generator(7))
    assert found.value == pytest.approx(np.mean(expected), rel=1e-4)


def test_contrastive_alignment_of_an_architecture_that_alone_decides_is_one(probe: Probe) -> None:
    """One weight scales the whole Jacobian, and changes no kernel's direction."""

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Linear(1, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.weight(x.square().flatten(1).sum(1, keepdim=True))

    found = ContrastiveAlignment()(Square(), probe, generator())
    assert found.value == pytest.approx(1, abs=1e-9)
    alone = ContrastiveAlignment(draws=1)(network(), probe, generator())
    assert alone.value is None
    assert "expected two draws or more" in alone.reason


def test_jacob_cov_of_equal_images_is_real_and_finite(probe: Probe) -> None:
    """A matrix of ones, whose other eigenvalues are all zero."""
    same = Probe(probe.inputs[:1].expand(6, -1, -1, -1), probe.labels[:6], 10, "one image")
    found = JacobianCovariance("running")(network(), same, generator())
    values = np.array([0, 0, 0, 0, 0, 6]) + 1e-5
    assert found.value == pytest.approx(-np.sum(np.log(values) + 1 / values), rel=1e-4)


@pytest.mark.parametrize("classes", [10, 120])
def test_epe_nas_sums_over_classes(classes: int, probe: Probe) -> None:
    rows, labels, sums = jacobian(probe.inputs), probe.labels.numpy(), []
    for c in sorted(set(labels)):
        correlations = np.atleast_2d(np.corrcoef(rows[labels == c]))
        total = sum(log(abs(entry) + 1e-5) for entry in correlations.flatten())
        sums.append(total / len(correlations) if classes > 100 else total)
    expected = sum(map(abs, sums))
    if classes > 100:
        expected = sum(abs(a - b) for a, b in product(sums, repeat=2)) / len(sums)
    found = EPENAS()(network(), replace(probe, classes=classes), generator())
    assert found.value == pytest.approx(expected, rel=1e-4)


def test_without_influence_of_the_image_there_is_no_jacobian(probe: Probe) -> None:
    dead = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    model = SPACE.build(dead, SPACE.scales["thin"], inputs=(1, 32, 32), classes=10)
    for name in ("jacob_cov", "epe_nas", "zen", "az_trainability"):
        reading = read(partial(SCORES[name](), model, probe, generator()))
        assert reading.value is None
        assert reading.reason


# Feature maps


def cell_network() -> nn.Module:
    architecture = SPACE.sample(random.Random(5))
    model = SPACE.build(architecture, SPACE.scales["small"], inputs=(1, 32, 32), classes=10)
    draw_weights(model, "normal", generator(1))
    return model.train()


@pytest.mark.parametrize("variance", ["batch", "released"])
def test_zen_is_that_of_a_network_in_training_mode(variance: str, probe: Probe) -> None:
    """The running variances are those that BatchNorm's own modules keep."""
    draws = generator(7)
    x, e = (torch.randn(probe.inputs.shape, generator=draws) for _ in range(2))
    model = copy.deepcopy(cell_network())
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    inputs: list[Tensor] = []
    for norm in norms:
        norm.register_forward_hook(lambda m, i, o: inputs.append(i[0]))
    maps: list[Tensor] = []
    model.get_submodule("relu").register_forward_hook(lambda m, i, o: maps.append(o))
    with torch.no_grad():
        model(x), model(x + 0.01 * e)
    variances = [norm.get_buffer("running_var").mean() for norm in norms]
    if variance == "batch":
        first = inputs[: len(norms)]
        variances = [each.var((0, 2, 3), correction=0).mean() for each in first]
    distance = (maps[0] - maps[1]).abs().sum((1, 2, 3)).mean()
    expected = distance.log() + sum(v.log() / 2 for v in variances)
    found = Zen(variance=variance)(cell_network(), probe, generator(7))  # type: ignore[arg-type]
    assert found.value == pytest.approx(expected.item(), rel=1e-5)


def test_zen_of_a_batchnorm_that_sees_zeros_has_a_reason(probe: Probe) -> None:
    class Branch(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(0 * x)

    model = nn.Sequential(Branch(nn.BatchNorm2d(1)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = Zen()(model, probe, generator())
    assert found.value is None
    assert "does not vary" in found.reason


def test_meco_of_no_channels_has_a_reason(probe: Probe) -> None:
    found = MeCoOpt(channels=0)(network(), probe, generator())
    assert found == Reading(None, "expected one channel or more, got channels=0")


def test_meco_is_the_sum_over_what_modules_give(probe: Probe) -> None:
    x = torch.randn(1, 1, 8, 8, generator=generator(3))
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d)
    maps = [each[0].flatten(1).numpy() for each in seen(network(), x, kinds)]  # type: ignore[arg-type]
    eigenvalues = [np.linalg.eigvalsh(np.corrcoef(each.astype(float)))[0] for each in maps]
    found = MeCo()(network(), probe, generator(3))
    assert found.value == pytest.approx(sum(eigenvalues), rel=1e-4)
    # Every channel drawn: the same, and of fewer channels than there are, as many times more.
    every = MeCoOpt()(network(), probe, generator(3))
    assert every.value == pytest.approx(found.value)
    one = MeCoOpt(channels=1)(network(), probe, generator(3))
    assert one.value == pytest.approx(sum(len(each) for each in maps))


def test_a_constant_channel_correlates_with_nothing(probe: Probe) -> None:
    """Whatever the constant is, and so however its mean is rounded."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    for seed in range(20):
        draw_weights(model, "torch_default", generator(seed))
        with torch.no_grad():
            model.get_parameter("0.weight")[1] = 0
        value = MeCo()(model, probe, generator(seed)).value
        assert value == pytest.approx(0, abs=1e-12)


def test_a_jacobian_that_is_alike_at_all_pixels_has_no_correlations(probe: Probe) -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (0.3 * x).mean((2, 3))

    found = JacobianCovariance()(Mean(), probe, generator())
    assert found.value is None
    assert "on all pixels alike" in found.reason


def test_curvature_is_that_of_an_ellipse() -> None:
    """a cos t, b sin t begins with a curvature of a / b^2."""
    a, b = 3.0, 2.0
    moving = motion(lambda t: torch.stack([a * t.cos(), b * t.sin()]), torch.zeros(()))
    assert curvature(*moving) == pytest.approx(a / b**2, rel=1e-6)
    assert curvature(torch.zeros(2), torch.ones(2)) is None


def test_dextr_is_that_of_differences_along_the_circle(probe: Probe) -> None:
    """Singular values by NumPy, derivatives by differences in double precision."""
    model, x = network().double(), probe.inputs[:1].double()
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d)
    values = [
        np.linalg.svd(each[0].flatten(1).numpy(), compute_uv=False)
        for each in seen(model, x, kinds)  # type: ignore[arg-type]
    ]
    drawn = torch.randn(64, 2, generator=generator(4), dtype=torch.float64)
    u, v = torch.linalg.qr(drawn)[0].T.reshape(2, 1, 1, 8, 8)
    step = 1e-6
    with torch.no_grad():
        before, now, after = (
            copy.deepcopy(model)(u * np.cos(t) + v * np.sin(t))[0] for t in (-step, 0, step)
        )
    velocity, acceleration = (after - before) / (2 * step), (after - 2 * now + before) / step**2
    area = (velocity @ velocity) * (acceleration @ acceleration) - (velocity @ acceleration) ** 2
    kappa = (area.sqrt() / velocity.norm() ** 3).item()
    first, second = log1p(sum(s[-1] / s[0] for s in values)), log1p(kappa)
    found = Dextr()(network(), probe, generator(4))
    assert found.value == pytest.approx(first * second / (first + second), rel=1e-3)


# What no score may see, or do


@pytest.mark.parametrize("name", FORWARD)
def test_modules_functions_and_changes_in_place_score_equal(name: str, probe: Probe) -> None:
    models: list[nn.Module] = [network(), network(inplace=True)]
    if not name.startswith("az_"):  # whose blocks are modules
        models.append(Functional())
    values = [SCORES[name]()(model, probe, generator()).value for model in models]
    assert values[0] is not None
    assert values == [pytest.approx(values[0], rel=1e-4)] * len(models)


@pytest.mark.parametrize("name", FORWARD)
def test_no_gradients_outside_is_no_hindrance(name: str, probe: Probe) -> None:
    expected = SCORES[name]()(network(), probe, generator())
    for outside in (torch.no_grad(), torch.inference_mode()):
        model = network()
        with outside:
            assert SCORES[name]()(model, probe, generator()) == expected
            made_there = replace(probe, inputs=probe.inputs.clone())
            assert SCORES[name]()(model, made_there, generator()) == expected


@pytest.mark.parametrize("name", OF_IMAGES)
def test_the_order_of_images_is_not_seen(name: str, probe: Probe) -> None:
    order = torch.randperm(24, generator=generator(1))
    shuffled = replace(probe, inputs=probe.inputs[order], labels=probe.labels[order])
    first = SCORES[name]()(network(), probe, generator())
    assert SCORES[name]()(network(), shuffled, generator()).value == pytest.approx(
        first.value, rel=1e-3
    )


@pytest.mark.parametrize("name", FORWARD)
def test_weights_that_are_nan_give_a_reason(name: str, probe: Probe) -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(torch.nan)
    reading = read(lambda: SCORES[name]()(model, probe, generator()))
    assert reading.value is None
    assert reading.reason
