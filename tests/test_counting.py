"""Region counts against exact patterns and a theorem."""

import copy
from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.networks.choices import Policy
from untrained.regions import patterns
from untrained.regions.counting import Regions, count_regions
from untrained.regions.piecewise_linear import activation_of
from untrained.spaces import get_space, prunable


def patterns_of(model: nn.Module, x: Tensor) -> Tensor:
    """What ReLU modules let through, as the published code reads it: the sign of their outputs."""
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, i, output: found.append(output.flatten(1) > 0))
        for m in model.modules()
        if isinstance(m, nn.ReLU)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_exact_count(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
    x = torch.randn(400, 2)
    found = count_regions(model, x)
    assert found.count == naive.distinct_rows(patterns_of(model, x))
    assert (found.inputs, found.neurons) == (400, 14)
    assert not found.saturated


def test_thin_supernet_in_training_mode_as_published() -> None:
    space = prunable(get_space("nasbench201"))
    thin = space.build(
        space.supernet(), space.scales["thin"], inputs=(1, 32, 32), classes=10
    ).train()
    x = torch.randn(600, 1, 3, 3)
    expected = naive.distinct_rows(patterns_of(thin, x))
    found = count_regions(thin, x, batchnorm="batch")
    assert (found.count, found.neurons) == (expected, 117)


@pytest.mark.parametrize(
    "policy",
    [
        "batch",
        "running",
        "frozen",
    ],
)
@pytest.mark.parametrize("chunk", [7, 40])
def test_chunks_apart_are_batches_of_their_own(policy: Policy, chunk: int) -> None:
    """Patterns counted in a plain dict; `running` has statistics of none of them."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 5),
        nn.BatchNorm1d(5),
        nn.ReLU(),
        nn.Linear(5, 4),
        nn.BatchNorm1d(4),
        nn.ReLU(),
    )
    x = torch.randn(118, 2)
    model(10 * torch.randn(50, 2) + 3)  # running statistics far from those of x
    state = {key: value.clone() for key, value in model.state_dict().items()}
    often: dict[tuple[bool, ...], int] = {}
    for start in range(0, len(x), chunk):
        copied = copy.deepcopy(model).train(policy != "running")
        for row in patterns_of(copied, x[start : start + chunk]).tolist():
            often[tuple(row)] = often.get(tuple(row), 0) + 1
    found = count_regions(model, x, batchnorm=policy, chunk=chunk, apart=True)
    assert (found.count, found.inputs, found.neurons) == (len(often), len(x), 9)
    times = list(often.values())
    assert (found.once, found.twice) == (times.count(1), times.count(2))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_one_chunk_apart_is_no_chunk_and_a_pattern_of_two_chunks_counts_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.ReLU())
    x = torch.randn(50, 2)
    whole = count_regions(model, x, batchnorm="batch")
    assert count_regions(model, x, batchnorm="batch", chunk=50, apart=True) == whole
    again = count_regions(model, x.repeat(3, 1), batchnorm="batch", chunk=50, apart=True)
    assert (again.count, again.once, again.twice) == (whole.count, 0, 0)


def test_lines_in_the_plane() -> None:
    """Zaslavsky: k lines in general position cut the plane into 1 + k + k (k - 1) / 2 parts."""
    torch.manual_seed(0)
    k = 5
    model = nn.Sequential(nn.Linear(2, k), nn.ReLU())
    axis = torch.linspace(-40, 40, 700)
    grid = torch.cartesian_prod(axis, axis)
    assert count_regions(model, grid).count == 1 + k + k * (k - 1) // 2


class Applied(nn.Module):
    """One function as a network."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _masked(x: Tensor) -> Tensor:
    x[x < 0] = 0
    return x


class OwnReLU(torch.autograd.Function):
    """An activation with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (ctx.saved_tensors[0] > 0)


TENSOR = torch.tensor([2.0])
ONE_BREAKPOINT: dict[str, Callable[..., Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": Tensor.relu_,
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.LeakyReLU": nn.LeakyReLU(),
    "F.leaky_relu_": F.leaky_relu_,
    "nn.PReLU": nn.PReLU(),
    "a negative slope": nn.PReLU(init=-2.0),
    "F.prelu": lambda x: F.prelu(x, torch.tensor([0.1])),
    "nn.RReLU": nn.RReLU(),
    "nn.Threshold": nn.Threshold(1, 1),
    "F.threshold_": lambda x: F.threshold_(x, 1.0, 0.0),  # type: ignore[attr-defined]  # torch's stub
    "abs": abs,
    "Tensor.abs_": Tensor.abs_,
    "torch.absolute": torch.absolute,
    "torch.sign": torch.sign,
    "torch.clamp": lambda x: torch.clamp(x, min=1),
    "torch.clamp of a tensor": lambda x: torch.clamp(x, max=TENSOR),
    "Tensor.clamp_min": lambda x: x.clamp_min(1),
    "Tensor.clamp_max_": lambda x: x.clamp_max_(TENSOR),
    "torch.maximum": lambda x: torch.maximum(x, TENSOR),
    "torch.maximum, swapped": lambda x: torch.maximum(TENSOR, x),
    "Tensor.minimum": lambda x: x.minimum(-x),
    "torch.max of two": lambda x: torch.max(x, 1 - x),
    "torch.min of two": lambda x: torch.min(x, other=1 - x),
    "max along a dimension": lambda x: torch.cat([x, 1 - x], 1).max(dim=1).values,
    "min along a dimension": lambda x: torch.cat([x, 1 - x], 1).min(-1)[0],
    "amax": lambda x: torch.stack([x, 1 - x], 1).amax((1, 2)),
    "amin": lambda x: torch.cat([x, 1 - x], 1).amin(1, keepdim=True),
    "nn.MaxPool1d": lambda x: nn.MaxPool1d(2)(torch.stack([x, 1 - x], 2)),
    "nn.AdaptiveMaxPool1d": lambda x: nn.AdaptiveMaxPool1d(1)(torch.stack([x, 1 - x], 2)),
    "a product with a comparison": lambda x: x * (x > 0),
    "a comparison with a tensor": lambda x: x * x.ge(TENSOR),
    "a comparison, swapped": lambda x: x * torch.gt(-x, 0),
    "torch.lt": lambda x: x * torch.lt(x, 0).float(),
    "torch.where": lambda x: torch.where(x > 1, x, 2 * x - 1),
    "Tensor.where": lambda x: x.where(x <= 0, 2 * x),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "assignment by a mask": _masked,
    "torch.sgn": lambda x: x * torch.sgn(x),
    "relu of autograd.Function": lambda x: OwnReLU.apply(x),
    "the mean of x and abs": lambda x: (x + x.abs()) / 2,
    "torch.ops": torch.ops.aten.relu,
    "torch.ops in place": torch.ops.aten.relu_.default,
    "torch.ops.aten.maximum": lambda x: torch.ops.aten.maximum(x, TENSOR),
    "torch.ops.aten.clamp": lambda x: torch.ops.aten.clamp(x, min=1.0),
}
TWO_BREAKPOINTS: dict[str, Callable[..., Tensor]] = {
    "F.relu6": F.relu6,
    "nn.ReLU6": nn.ReLU6(inplace=True),
    "nn.Hardtanh": nn.Hardtanh(-2, 3),
    "F.hardtanh_": F.hardtanh_,
    "nn.Hardsigmoid": nn.Hardsigmoid(),
    "nn.Hardshrink": nn.Hardshrink(),
    "nn.Softshrink": nn.Softshrink(2),
    "torch.clamp": lambda x: torch.clamp(x, -1, 2.5),
    "Tensor.clip_": lambda x: x.clip_(min=-TENSOR, max=TENSOR),
}
AFFINE: dict[str, Callable[..., Tensor]] = {
    "integers": lambda x: x + torch.arange(3).clamp(max=1),
    "affine": lambda x: 3 * x - 2,
    "constant": lambda x: torch.ones_like(x),
    "linear along the batch": lambda x: x - x.mean(0),
    "BatchNorm": nn.BatchNorm1d(1),
}


@pytest.mark.parametrize(
    ("breakpoints", "function"),
    [
        pytest.param(breakpoints, function, id=name)
        for breakpoints, functions in enumerate((AFFINE, ONE_BREAKPOINT, TWO_BREAKPOINTS))
        for name, function in functions.items()
    ],
)
def test_pieces_of_each_nonlinearity(breakpoints: int, function: Callable[..., Tensor]) -> None:
    line = torch.linspace(-10, 10, 101)[:, None]
    found = count_regions(Applied(function), line)
    assert found.count == breakpoints + 1
    assert found.neurons == (breakpoints > 0)
    assert line[0] == -10  # whatever the network does in place


@pytest.mark.parametrize("options", [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "dilation": 3, "padding": 1},
])  # fmt: skip
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_windows_of_pooling(dimensions: int, options: dict[str, Any]) -> None:
    """The largest rival is what torch pools, and the winner is where torch found it."""
    x = torch.randn(3, 2, *(8, 7, 9)[:dimensions])
    pool = getattr(F, f"max_pool{dimensions}d")
    check_windows(pool, (x,), options)
    size = (4, 3, 5)[:dimensions]
    check_windows(getattr(F, f"adaptive_max_pool{dimensions}d"), (x, size), {})


def check_windows(pool: Callable[..., Any], args: tuple[Any, ...], options: Any) -> None:
    activation = activation_of(pool, args, options)
    assert activation is not None
    (rivals,), (winners,) = activation.rivals(), activation.pieces()
    values, indices = pool(*args, **options, return_indices=True)
    assert torch.equal(rivals.max(-1).values, values.flatten(2))
    assert torch.equal(winners, indices)


def test_windows_of_unequal_sides() -> None:
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
    check_windows(F.max_pool2d, (torch.randn(2, 3, 6, 5),), options)


BLIND: dict[str, tuple[Callable[..., Any], str]] = {
    "tanh": (torch.tanh, "not affine"),
    "small tanh": (lambda x: torch.tanh(x / 100), "not affine"),
    "GELU": (F.gelu, "not affine"),
    "Hardswish": (nn.Hardswish(), "not affine"),
    "softmax": (lambda x: F.softmax(torch.cat([x, -x], 1), 1), "not affine"),
    "a product": (lambda x: x * x, "not affine"),
    "the 1-norm": (lambda x: x.norm(p=1, dim=1), "not affine"),
    "LayerNorm": (lambda x: F.layer_norm(torch.cat([x, x * 0 + 1], 1), (2,)), "not affine"),
    "two outputs": (lambda x: (x, {"b": torch.tanh(x)}), "not affine"),
    "no tensor": (lambda x: "words", "floating-point tensors"),
    "integers": (lambda x: x.long(), "floating-point tensors"),
    "numpy": (lambda x: torch.from_numpy(np.maximum(x.numpy(), 0)), "numpy has pieces"),
    "numpy, in an array": (lambda x: torch.tensor(np.abs(np.asarray(x))), "has pieces"),
    "sort": (lambda x: torch.cat([x, 1 - x], 1).sort(1).values, "sort has pieces"),
    "topk": (lambda x: torch.cat([x, 1 - x], 1).topk(1, 1).values, "topk has pieces"),
    "median": (lambda x: torch.cat([x, 1 - x, 2 * x], 1).median(1)[0], "median has pieces"),
    "round": (torch.round, "round has pieces"),
    "floor": (Tensor.floor_, "floor has pieces"),
    "remainder": (lambda x: x % 2, "remainder has pieces"),
}


@pytest.mark.parametrize("name", BLIND)
def test_what_is_not_seen_is_not_one_region(name: str) -> None:
    function, words = BLIND[name]
    line = torch.linspace(-10, 10, 101)[:, None]
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match=words):
            count_regions(Applied(function), line.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("policy", ["running", "frozen", "batch"])
def test_an_affine_network_has_one_region(policy: Policy, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 30), nn.BatchNorm1d(30), *(nn.Linear(30, 30) for _ in range(20))]
    model = nn.Sequential(*layers).to(dtype)
    for scale in (0.0, 1e-4, 1.0, 1e4):
        x = scale * torch.randn(50, 3, dtype=dtype)
        for chunk, apart in ((None, False), (20, False), (20, True)):
            found = count_regions(model, x, batchnorm=policy, chunk=chunk, apart=apart)
            assert (found.count, found.neurons) == (1, 0)
    smooth = nn.Sequential(model, nn.Tanh())
    with pytest.raises(ValueError, match="not affine"):
        count_regions(smooth, torch.randn(50, 3, dtype=dtype), batchnorm=policy)


def test_errors_of_a_network_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"does not take inputs of shape \(4, 3\) .*: 7"):
        count_regions(Applied(lambda x: {0: x}[7]), torch.randn(4, 3))


def test_parameters_have_no_pieces() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.maximum(self.scale, x) * self.scale.clamp(max=4)

    line = torch.linspace(-10, 10, 101)[:, None]
    assert count_regions(Scaled(), line).neurons == 1


def test_a_maximum_over_the_batch_has_no_regions() -> None:
    for function in (Tensor.max, lambda x: x.amax(0), lambda x: x.min(dim=-2).values):
        with pytest.raises(ValueError, match="couples its examples"):
            count_regions(Applied(function), torch.randn(4, 3))


def everything() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU6(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.Flatten(),
        nn.Linear(16, 5), nn.BatchNorm1d(5), nn.Hardtanh(),
    )  # fmt: skip


@pytest.mark.parametrize("policy", ["running", "frozen", "batch"])
@pytest.mark.parametrize("chunk", [1, 7, 120, 999])
def test_chunks_count_alike(policy: Policy, chunk: int) -> None:
    model, x = everything().double(), torch.randn(120, 1, 5, 5).double()
    whole = count_regions(model, x, batchnorm=policy)
    assert whole.count > 20
    assert count_regions(model, x, batchnorm=policy, chunk=chunk) == whole


def test_pieces_held_are_hashed_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = everything(), torch.randn(300, 1, 5, 5)
    whole = count_regions(model, x)
    monkeypatch.setattr(patterns, "HELD", 10)
    with patterns.PatternHash(300) as early, torch.no_grad():
        model.eval()(x)
    assert [rows.shape for rows in early._held] == [(300, 16)]
    assert count_regions(model, x) == count_regions(model, x, chunk=7) == whole


def test_packing_on_a_device() -> None:
    for width in (1, 8, 13, 64):
        piece = torch.rand(5, width) > 0.5
        expected = np.packbits(piece.numpy(), axis=1)
        assert (patterns.packed_in_place(piece).numpy() == expected).all()


def test_a_form_that_depends_on_the_batch_is_refused() -> None:
    def forward(x: Tensor) -> Tensor:
        return x.relu() if len(x) < 4 else torch.cat([x, x], 1).relu()

    with pytest.raises(ValueError, match="form depends on its batch"):
        count_regions(Applied(forward), torch.randn(6, 2), chunk=4)
    for rows, chunk in ((6, 0), (0, None)):
        with pytest.raises(ValueError, match="one input or more"):
            count_regions(Applied(forward), torch.randn(rows, 2), chunk=chunk)


def test_multiplicities() -> None:
    x = torch.tensor([[-1.0, 1.0], [-2.0, 1.0], [1.0, 1.0], [1.0, -1.0], [1.0, -2.0], [1.0, -3.0]])
    found = count_regions(nn.ReLU(), x)
    assert (found.count, found.once, found.twice) == (3, 1, 1)
    assert found.unseen == pytest.approx(1 / 6)


def test_richness_against_published_numbers() -> None:
    """Spiders under girdled and logged trees, as printed in the manual of the R package iNEXT."""
    girdled = Regions(26, 168, 1, once=12, twice=4).richness
    logged = Regions(37, 252, 1, once=14, twice=4).richness
    assert girdled == pytest.approx((43.893, 30.511, 96.971), abs=5e-4)
    assert logged == pytest.approx((61.403, 43.502, 128.583), abs=5e-4)


@pytest.mark.parametrize("most", [40, 400])
def test_estimates_of_the_unseen_cover_the_truth(most: int) -> None:
    """Inputs that fall into 400 regions by chance; few or many of them seldom come."""
    rng = np.random.default_rng(0)
    p = np.ones(400)
    p[most:] = 0.2
    p /= p.sum()
    hits = errors = 0
    for _ in range(200):
        often = np.bincount(rng.choice(400, 500, p=p), minlength=400)
        found = Regions(
            int((often > 0).sum()), 500, 1, int((often == 1).sum()), int((often == 2).sum())
        )
        assert found.richness is not None
        hits += found.richness.low <= 400 <= found.richness.high
        errors += abs(p[often == 0].sum() - found.unseen) < 1.96 * found.unseen_error
    assert errors > 180
    assert hits > 180 or most < 400  # Chao1 is a lower bound where regions differ in size


def test_nothing_to_estimate() -> None:
    complete = Regions(3, 90, 2, once=0, twice=0)
    assert complete.richness == (3, 3, 3)
    assert complete.unseen == complete.unseen_error == 0
    assert Regions(5, 9, 2, once=1, twice=0).richness == (5, 5, 5)
    rare = Regions(5, 9, 2, once=4, twice=0).richness
    assert rare is not None
    assert rare.total == pytest.approx(5 + 8 / 9 * 4 * 3 / 2)


def test_wide_patterns_hash_alike_in_every_chunk() -> None:
    """Wider than what is held, so that hashes are chained; each input comes twice."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 40_000), nn.ReLU6(), nn.MaxPool1d(5), nn.ReLU())
    x = torch.randn(5, 3).repeat(2, 1)
    found = count_regions(model, x, chunk=3)
    assert (found.count, found.twice, found.neurons) == (5, 5, 56_000)


def test_nan_lies_in_no_region() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with pytest.raises(ValueError, match="lies in no region"):
        count_regions(model, torch.full((4, 2), torch.nan))


def test_saturation_is_said() -> None:
    model = nn.Sequential(nn.Linear(64, 500), nn.ReLU())
    found = count_regions(model, torch.randn(50, 64))
    assert found.saturated
    assert "each of the 50 inputs" in found.warning
    assert (found.once, found.unseen, found.richness) == (50, 1, None)
    linear = count_regions(nn.Linear(64, 1), torch.randn(1, 64))
    assert not linear.saturated
    assert linear.warning == ""


def test_the_network_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    count_regions(model, torch.randn(9, 2), batchnorm="batch")
    assert all(m.training for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
