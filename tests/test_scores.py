"""The contract that every score keeps, and each score against something independent."""

import copy
import random
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import naive
import numpy as np
import polars as pl
import pytest
import torch
from measured import read
from torch import Tensor, nn

from untrained.analysis.blocks import Blocks, split
from untrained.analysis.validation import validate
from untrained.images import Images, Probe, ProbeSpec, draw_probe, load_images
from untrained.networks import draw_weights
from untrained.scores import SCORES, Reading, Score, get_score
from untrained.scores.condition_number import ConditionNumber, released_ratio
from untrained.scores.contrastive import ContrastiveAlignment
from untrained.scores.gradient_noise import GradientNoise
from untrained.scores.linear_regions import LinearRegions
from untrained.scores.nngp import NNGP
from untrained.scores.random_ntk import RandomNTKVariance
from untrained.settings import changed
from untrained.spaces import get_space, prunable

SPACE = prunable(get_space("nasbench201"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(score: Score) -> str:
    """The scale to be asked at: few channels, and one cell a stage."""
    return "thin" if score.network == "thin" else "small"


def setting(name: str, digits: Images) -> tuple[Score, nn.Module, Probe]:
    """The score, and a small network and probe of the kind that it asks for."""
    score = SCORES[name]()
    if isinstance(score, NNGP):
        score = replace(score, validation=5)
    if isinstance(score, GradientNoise):
        score = replace(score, batches=4)
    if isinstance(score, RandomNTKVariance | ContrastiveAlignment):
        score = replace(score, draws=2)
    spec = ProbeSpec(12, patch=score.probe.patch, one_channel=score.probe.one_channel)
    network = SPACE.build(
        SPACE.sample(random.Random(5)), SPACE.scales[small(score)], inputs=(1, 32, 32), classes=10
    )
    if score.weights is not None:
        draw_weights(network, score.weights, generator())
    return score, network.train(), draw_probe(digits, spec, generator())


@pytest.mark.parametrize("name", SCORES)
def test_network_and_random_state_are_left_as_they_were(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = probe.inputs.clone()
    torch_state = torch.random.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    score(network, probe, generator())
    assert all(torch.equal(v, state[key]) for key, v in network.state_dict().items())
    assert all(v.dtype == state[key].dtype for key, v in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    assert torch.equal(inputs, probe.inputs)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert (numpy_state == np.random.get_state(legacy=False)["state"]["key"]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in SCORES if not SCORES[name].of_machine])
def test_same_seed_same_bits_and_a_copy_scores_equal(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    first = score(network, probe, generator(3))
    assert first == score(network, probe, generator(3))
    assert first == score(copy.deepcopy(network), probe, generator(3))


@pytest.mark.parametrize("name", SCORES)
def test_a_reading_is_a_finite_number_or_a_reason(name: str, digits: Images) -> None:
    score, network, probe = setting(name, digits)
    for broken in (None, torch.nan):
        if broken is not None:
            with torch.no_grad():
                next(network.parameters()).fill_(broken)
        reading = read(partial(score, network, probe, generator()))
        assert isinstance(reading, Reading)
        if reading.value is None:
            assert reading.reason
        else:
            assert np.isfinite(reading.value)
            assert reading.reason == ""


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_a_frozen_hashable_value(name: str) -> None:
    assert SCORES[name]() == SCORES[name]()
    assert len({SCORES[name](), SCORES[name]()}) == 1


@pytest.mark.parametrize("name", SCORES)
def test_every_architecture_of_the_space_can_be_asked(name: str, digits: Images) -> None:
    score, _, probe = setting(name, digits)
    empty = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for architecture in (SPACE.parse(empty), SPACE.supernet()):
        network = SPACE.build(
            architecture, SPACE.scales[small(score)], inputs=(1, 32, 32), classes=10
        )
        reading = read(partial(score, network, probe, generator()))
        assert (reading.value is None) == bool(reading.reason)


def test_nan_weights_are_a_reason_and_not_a_number(digits: Images) -> None:
    score, network, probe = setting("condition_number", digits)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    reading = score(network, probe, generator())
    assert reading.value is None
    assert "NaN" in reading.reason


def test_sizes_against_closed_forms(digits: Images) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 10))
    probe = draw_probe(digits, ProbeSpec(1), generator())
    values = {
        name: SCORES[name]()(network, probe, generator()).value
        for name in ("parameters", "macs", "trainable_layers")
    }
    assert values == {
        "parameters": (9 + 1) * 4 + (256 + 1) * 10,
        "macs": 64 * 9 * 4 + 256 * 10,
        "trainable_layers": 2,
    }


def size_of(text: str, side: int, classes: int) -> tuple[float, float]:
    """Multiply-adds and parameters of a whole network of NAS-Bench-201, as published."""
    network = SPACE.build(
        SPACE.parse(text), SPACE.scales["full"], inputs=(3, 32, 32), classes=classes
    )
    probe = Probe(
        torch.zeros(1, 3, side, side), torch.zeros(1, dtype=torch.int64), classes, "zero"
    )
    macs, parameters = (
        SCORES[name]()(network, probe, generator()).value for name in ("macs", "parameters")
    )
    assert macs is not None
    assert parameters is not None
    return macs, parameters


UNREACHED = (
    "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_1x1~2|",
    "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    "|none~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|",
    "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|none~2|",  # leads nowhere
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)


@pytest.mark.parametrize("text", UNREACHED)
def test_operations_that_no_path_leads_to_count(text: str) -> None:
    """A 1x1 convolution has c^2 s^2 multiply-adds, a 3x3 one nine times as many: 16^2 32^2 each
    of 5 cells in each of 3 stages."""
    each = 15 * 16**2 * 32**2
    ones, threes = (text.count(f"nor_conv_{k}") for k in ("1x1", "3x3"))
    macs, _ = size_of(text, 32, 10)
    assert macs == 7_783_040 + each * (ones + 9 * threes)


def test_sizes_are_those_of_the_table(data: Path) -> None:
    """The table has seven digits, and counts the additions of the classifier's bias too."""
    table = pl.read_parquet(data / "tables" / "nasbench201.parquet").drop_nulls("cifar10_mflops")
    some = table.sample(6, seed=0).vstack(table.filter(pl.col("architecture").is_in(UNREACHED)))
    for row in some.iter_rows(named=True):
        for name, side, classes in (("cifar10", 32, 10), ("imagenet16_120", 16, 120)):
            macs, parameters = size_of(row["architecture"], side, classes)
            assert (macs + classes) / 1e6 == pytest.approx(row[f"{name}_mflops"], rel=5e-7)
            assert parameters == row[f"{name}_params"]


def test_unknown_score_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="condition_number"):
        get_score("condition_numbr")


def test_a_score_of_your_own_by_import_path() -> None:
    assert get_score("untrained.scores.size:Parameters") is SCORES["parameters"]
    with pytest.raises(ValueError, match=r"expected package\.module:name"):
        get_score("no_such_module:Thing")


def test_a_name_of_ours_with_a_colon_is_no_import_path() -> None:
    assert get_score("foresight:grad_norm") is SCORES["foresight:grad_norm"]


@pytest.mark.parametrize("index", [6614, 10975])
def test_published_values_of_weights_alone(index: int, data: Path) -> None:
    network, published = published_case(index, data)
    probe = Probe(torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.int64), 10, "zero")
    for name in ("synflow", "l2_norm"):
        found = SCORES[name]()(network, probe, generator()).value
        assert found == pytest.approx(published[name], rel=0.01)


def test_published_values_of_a_batch(data: Path) -> None:
    """Of 64 other images too: 4, 10 and less than 1 percent from the published ones."""
    network, published = published_case(1547, data)
    probe = draw_probe(load_images("cifar10"), ProbeSpec(64), generator())
    for name in ("snip", "foresight:grad_norm", "foresight:fisher"):
        found = SCORES[name]()(network, probe, generator()).value
        assert found == pytest.approx(published[name.partition(":")[2] or name], rel=0.15)


def published_case(index: int, data: Path) -> tuple[nn.Module, dict[str, float]]:
    """A network in full, with random weights, and NAS-Bench-Suite-Zero's values of it."""
    table = pl.scan_parquet(data / "tables" / "nasbench201.parquet")
    proxies = pl.scan_parquet(data / "tables" / "nasbench201_published_proxies.parquet")
    at = pl.col("index") == index
    (text,) = table.filter(at).select("architecture").collect().row(0)
    network = SPACE.build(SPACE.parse(text), SPACE.scales["full"], inputs=(3, 32, 32), classes=10)
    draw_weights(network, "torch_default", generator())
    return network, proxies.filter(at, pl.col("dataset") == "cifar10").collect().row(0, named=True)


# As the authors' code computes, where a preset asks for it


DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def probe_of(inputs: Tensor) -> Probe:
    return Probe(inputs, torch.zeros(len(inputs), dtype=torch.int64), 3, "made up")


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3))


def test_released_eigenvalues_are_those_of_numpy_in_float32() -> None:
    network, x = perceptron(), torch.randn(6, 1, 4, 4)
    reading = ConditionNumber(eigenvalues="released")(network, probe_of(x), generator())
    double = copy.deepcopy(network).double()
    theta = naive.ntk(double, x.double(), ["1.weight", "3.weight"])
    values = np.linalg.eigvalsh(theta.numpy().astype(np.float32))
    assert values.dtype == np.float32
    assert reading.reason == ""
    assert reading.value == pytest.approx(values[-1] / values[0], rel=1e-4)
    exact = ConditionNumber()(network, probe_of(x), generator())
    assert exact.value == pytest.approx(np.linalg.cond(theta.numpy()), rel=1e-6)
    assert reading.value == pytest.approx(exact.value, rel=1e-3)


def test_of_a_dead_network_it_says_1e5_where_the_default_says_why_not(digits: Images) -> None:
    network = SPACE.build(SPACE.parse(DEAD), SPACE.scales["small"], inputs=(1, 32, 32), classes=10)
    probe = draw_probe(digits, ProbeSpec(6), generator())
    released = ConditionNumber(batchnorm="batch", eigenvalues="released")
    assert released(network, probe, generator()) == Reading(1e5)
    assert SCORES["tenas:condition_number"]()(network, probe, generator()) == Reading(1e5)
    ours = ConditionNumber(batchnorm="batch")(network, probe, generator())
    assert ours.value is None
    assert ours.reason


@pytest.mark.parametrize(
    ("eigenvalues", "ratio"),
    [
        ((0.5, 2.0, 4.0), 8.0),
        ((-0.5, 2.0, 4.0), -8.0),
        ((0.0, 0.0, 0.0), 1e5),
        ((0.0, 2.0, 4.0), float("inf")),
        ((1.0, 1.0, 1.0 + 1e-9), 1.0),
    ],
)
def test_the_released_ratio_is_taken_as_it_comes(
    eigenvalues: tuple[float, ...], ratio: float
) -> None:
    """Negative, infinite, 1e5 for 0 / 0, and blind to what float32 cannot hold."""
    theta = torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    assert released_ratio(theta) == ratio


def test_an_image_that_comes_twice_is_singular_by_default_and_a_number_as_released() -> None:
    network, x = perceptron(), torch.randn(3, 1, 4, 4).repeat(2, 1, 1, 1)
    exact = ConditionNumber()(network, probe_of(x), generator())
    assert exact.value is None
    released = ConditionNumber(eigenvalues="released")(network, probe_of(x), generator()).value
    assert released is not None
    assert abs(released) > 1e5  # of either sign: the smallest eigenvalue is rounding alone


def test_nothing_is_as_released_by_default() -> None:
    assert asdict(ConditionNumber()) == {
        "parameters": "weights",
        "batchnorm": "frozen",
        "eigenvalues": "float64",
    }
    assert asdict(LinearRegions()) == {"batchnorm": "batch", "batches": 1}


@pytest.mark.parametrize(("count", "sizes"), [(300, (100, 100, 100)), (200, (67, 67, 66))])
def test_regions_of_three_batches_are_the_union_of_their_patterns(
    count: int, sizes: tuple[int, ...], digits: Images
) -> None:
    network = SPACE.build(
        SPACE.supernet(), SPACE.scales["thin"], inputs=(1, 32, 32), classes=10
    ).train()
    draw_weights(network, "torch_default", generator())
    probe = draw_probe(digits, ProbeSpec(count, patch=3, one_channel=True), generator())
    apart = [patterns_of(network, part) for part in probe.inputs.split(sizes)]
    found = LinearRegions(batches=3)(network, probe, generator()).value
    assert found == len(set.union(*apart)) < sum(map(len, apart))
    assert LinearRegions()(network, probe, generator()).value == len(
        patterns_of(network, probe.inputs)
    )


def patterns_of(network: nn.Module, x: Tensor) -> set[tuple[bool, ...]]:
    """The distinct rows of what the ReLUs of a copy let through, which sees x as one batch."""
    network, found = copy.deepcopy(network).train(), []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, i, output: found.append(output.flatten(1) > 0))
    with torch.no_grad():
        network(x.clone())
    return set(map(tuple, torch.cat(found, 1).tolist()))


NNGP_FIELDS = {
    "nngp_published": ("published_accuracy", True),
    "nngp_accuracy": ("accuracy", True),
    "nngp_squared_error": ("squared_error", True),
    "nngp_nll": ("negative_log_likelihood", True),
    "nngp_leave_one_out": ("leave_one_out_accuracy", False),
    "nngp_likelihood": ("log_marginal_likelihood", False),
}


@pytest.mark.parametrize("name", NNGP_FIELDS)
def test_nngp_scores_are_those_of_the_kernel_of_drawn_features(name: str, digits: Images) -> None:
    """Features by a hook on the classifier, a network at a time, in one batch."""
    text = (
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    )
    network = SPACE.build(SPACE.parse(text), SPACE.scales["small"], inputs=(1, 32, 32), classes=10)
    probe = draw_probe(digits, ProbeSpec(50), generator())
    score = changed(SCORES[name](), {"ensemble": 3, "validation": 20}, "score")
    seen: list[Tensor] = []
    hook = network.get_submodule("classifier").register_forward_hook(
        lambda _, x, y: seen.append(x[0])
    )
    weights = generator(9)
    for _ in range(3):
        draw_weights(network, "lecun_normal", weights)
        with torch.no_grad():
            network.eval()(probe.inputs)
    hook.remove()
    z = torch.cat(seen, 1).double() / (3 * seen[0].shape[1]) ** 0.5
    field, held_out = NNGP_FIELDS[name]
    n = 30 if held_out else 50
    expected = validate(
        split(z @ z.T, n) if held_out else Blocks(z @ z.T, z[:1] @ z.T, z[:1].square().sum(1)),
        probe.labels[:n],
        probe.labels[n:] if held_out else probe.labels[:1],
        classes=10,
        by="log_marginal_likelihood" if name == "nngp_likelihood" else "leave_one_out",
    )
    found = score(network, probe, generator(9))
    assert found.value == pytest.approx(getattr(expected, field), rel=1e-5)


def test_nngp_scores_say_why_they_have_no_value(digits: Images) -> None:
    score = SCORES["nngp_accuracy"]()
    network = SPACE.build(SPACE.supernet(), SPACE.scales["small"], inputs=(1, 32, 32), classes=10)
    few = score(network, draw_probe(digits, ProbeSpec(100), generator()), generator())
    assert few.value is None
    assert "beside the 500 held out, got 100; set count" in few.reason
    nothing = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    dead = SPACE.build(nothing, SPACE.scales["small"], inputs=(1, 32, 32), classes=10)
    probe = draw_probe(digits, ProbeSpec(100), generator())
    zero = changed(score, {"validation": 20}, "score")(dead, probe, generator())
    assert zero.value is None
    assert "zero" in zero.reason or "resolution" in zero.reason
