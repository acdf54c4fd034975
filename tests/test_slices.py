"""Exact region counts on lines and in planes, against closed forms and against sampling."""

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.networks.batchnorm import FrozenStatistics, evaluating
from untrained.networks.choices import Policy
from untrained.regions.patterns import PatternHash
from untrained.regions.slices import line_regions, plane_regions

SQUARE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


class Block(nn.Module):
    """Most activations, with a skip connection and BatchNorm, on images of two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.slope = nn.PReLU(3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.last = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)), inplace=True)
        x = x + self.slope(self.second(x))
        x = F.relu6(self.pool(x)).clamp(max=x.new_tensor(1.5)).mean((2, 3))
        x = self.last(x)
        return torch.maximum(x[:, :2].abs(), x.amax(1, keepdim=True)) + F.hardsigmoid(x[:, :1])


def mlp() -> nn.Module:
    widths = (3, 9, 8, 7, 2)
    layers = [
        layer for n, m in itertools.pairwise(widths) for layer in (nn.Linear(n, m), nn.ReLU())
    ]
    return nn.Sequential(*layers)


# Network, shape of an input, and how far inputs lie apart.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float]] = {
    "mlp": (mlp, (3,), 9.0),
    "block": (Block, (2, 4, 4), 1.0),
}


def sampled(model: nn.Module, x: Tensor, reference: Tensor | None = None) -> list[bytes]:
    """The pattern of each of many inputs, by running them all."""
    model, policy = copy.deepcopy(model).double(), FrozenStatistics()
    with evaluating(model), torch.no_grad():
        if reference is None:
            with PatternHash(len(x)) as patterns:
                model(x.double())
            return patterns.digests()
        with policy:
            model(reference.double())
        with PatternHash(len(x)) as patterns, policy:
            model(x.double())
    return patterns.digests()


@pytest.mark.parametrize("seed", range(3))
def test_a_line_against_the_kinks_of_one_layer(seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(4, 40, dtype=torch.float64)
    a, b = torch.randn(2, 4, dtype=torch.float64)
    kinks = (-layer(a) / (layer(b) - layer(a))).detach()
    expected = kinks[(kinks > 0) & (kinks < 1)].sort().values
    found = line_regions(nn.Sequential(layer, nn.LeakyReLU(), nn.Linear(40, 1).double()), a, b)
    torch.testing.assert_close(found.breakpoints, expected)
    assert found.count == len(expected) + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_square_against_zaslavsky(seed: int) -> None:
    """Lines in general position: 1 + lines that meet the square + crossings within it."""
    torch.manual_seed(seed)
    layer = nn.Linear(2, 12, dtype=torch.float64)
    w, c = layer.weight.detach(), layer.bias.detach()
    sides = layer(SQUARE.double()).detach() > 0
    lines = int((sides.any(0) & ~sides.all(0)).sum())
    crossings = 0
    for i, j in itertools.combinations(range(12), 2):
        point = torch.linalg.solve(w[[i, j]], -c[[i, j]])
        crossings += bool((point.abs() < 1).all())
    plane = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = plane_regions(nn.Sequential(layer, nn.ReLU()), plane, outline=SQUARE)
    assert found.count == 1 + lines + crossings


@pytest.mark.parametrize("name", NETWORKS)
def test_a_line_against_dense_samples(name: str) -> None:
    torch.manual_seed(1)
    build, shape, spread = NETWORKS[name]
    model = build()
    a, b = spread * torch.randn(2, *shape).double()
    found = line_regions(model, a, b)
    assert found.count > 10
    ends = torch.cat([torch.zeros(1).double(), found.breakpoints, torch.ones(1).double()])

    def at(t: Tensor) -> list[bytes]:
        return sampled(model, a + t.reshape(-1, *[1] * a.ndim) * (b - a))

    middles = at((ends[1:] + ends[:-1]) / 2)
    assert len(set(middles)) == found.count
    t = torch.rand(4000, dtype=torch.float64)
    piece = torch.searchsorted(found.breakpoints, t)
    assert at(t) == [middles[i] for i in piece]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_square_against_dense_samples(name: str, frozen: bool) -> None:
    torch.manual_seed(2)
    build, shape, spread = NETWORKS[name]
    model, inputs = build(), spread * torch.randn(3, *shape)
    reference = spread * torch.randn(20, *shape) if frozen else None
    policy: Policy = "frozen" if frozen else "running"
    found = plane_regions(model, inputs, outline=SQUARE / 4, batchnorm=policy, reference=reference)
    assert found.count > 10

    def at(st: Tensor) -> list[bytes]:
        origin, *others = inputs.double()
        directions = torch.stack([other - origin for other in others])
        return sampled(model, origin + torch.tensordot(st, directions, 1), reference)

    centres = at(torch.stack([polygon.mean(0) for polygon in found.polygons]))
    assert len(set(centres)) == found.count
    assert set(at(torch.rand(4000, 2).double() / 2 - 0.25)) <= set(centres)
    assert sum(map(area, found.polygons)) == pytest.approx(1 / 4)


def area(polygon: Tensor) -> float:
    (x, y), (u, v) = polygon.T, polygon.roll(-1, 0).T
    return float((x * v - y * u).sum().abs() / 2)


def test_lines_through_one_point_make_sectors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 7, bias=False), nn.ReLU(), nn.Linear(7, 3))
    plane = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert plane_regions(model, plane, outline=SQUARE).count == 14


def test_equal_units_bend_once() -> None:
    layer = nn.Linear(2, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[3:] = -layer.weight[:3] / 3
        layer.bias[3:] = -layer.bias[:3] / 3
    twice = nn.Sequential(layer, nn.ReLU())
    half = nn.Linear(2, 3, dtype=torch.float64)
    half.load_state_dict({"weight": layer.weight[:3], "bias": layer.bias[:3]})
    once = nn.Sequential(half, nn.ReLU())
    plane = torch.tensor([[-5.0, -5.0], [9.0, -5.0], [-5.0, 9.0]])
    assert plane_regions(twice, plane).count == plane_regions(once, plane).count > 1
    a, b = plane[1], plane[2]
    assert line_regions(twice, a, b).count == line_regions(once, a, b).count


def test_a_maximum_that_wins_only_in_the_middle() -> None:
    hat = nn.Linear(1, 3)
    with torch.no_grad():
        hat.weight[:] = torch.tensor([[-4.0], [0.0], [4.0]])
        hat.bias[:] = torch.tensor([0.0, 1.0, 0.0])
    model = nn.Sequential(hat, nn.AdaptiveMaxPool1d(1))
    found = line_regions(model, torch.tensor([-1.0]), torch.tensor([1.0]))
    torch.testing.assert_close(found.breakpoints, torch.tensor([0.375, 0.625]).double())

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rivals = torch.stack([2 * x[:, 0], -2 * x[:, 0], 2 * x[:, 1], -2 * x[:, 1]], 1)
            return torch.cat([rivals, torch.ones(len(x), 1)], 1).max(1).values

    plane = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    polygons = plane_regions(Square(), plane, outline=SQUARE).polygons
    assert sorted(map(area, polygons)) == pytest.approx([0.75] * 4 + [1.0])


class Kinks(nn.Module):
    """Continuous, with kinks at 0.2, 0.5 and 0.8 made of comparisons."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.where(x > 0.2, x, 2 * x - 0.2)
        x = x + (x - 0.5) * (x >= 0.5)
        return x.masked_fill(x < 1.1, 1.1)


def test_kinks_made_of_comparisons() -> None:
    found = line_regions(Kinks(), torch.tensor([0.0]), torch.tensor([1.0]))
    torch.testing.assert_close(found.breakpoints, torch.tensor([0.2, 0.5, 0.8]).double())


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0.1, x, 2 * x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Tanh(),
        nn.GELU(),
        nn.Softmax(1),
        nn.Hardswish(),
        nn.Hardshrink(),
        nn.LayerNorm(3),
        Branch(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_is_not_piecewise_linear_is_refused(layer: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 3), layer)
    a = torch.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="not piecewise linear"):
        line_regions(model, -3 * a, 3 * a)


def test_wrong_use() -> None:
    model, x = nn.Sequential(nn.Linear(2, 30), nn.ReLU()), torch.randn(3, 2)
    with pytest.raises(ValueError, match="couples the points"):
        line_regions(model, x[0], x[1], batchnorm="batch")
    with pytest.raises(ValueError, match="no batch"):
        line_regions(model, x[0], x[1], batchnorm="frozen")
    with pytest.raises(ValueError, match="and a batch"):
        line_regions(model, x[0], x[1], reference=x)
    with pytest.raises(ValueError, match="one shape"):
        line_regions(model, x[0], x[1, :1])
    with pytest.raises(ValueError, match="three inputs"):
        plane_regions(model, x[:2])
    with pytest.raises(ValueError, match="larger limit"):
        plane_regions(model, 50 * x, limit=10)
    star = torch.tensor([[0.0, 1.0], [0.6, -0.8], [-1.0, 0.3], [1.0, 0.3], [-0.6, -0.8]])
    for corners in (star, SQUARE[[0, 2, 1, 3]], SQUARE[:2], torch.zeros(4, 2)):
        with pytest.raises(ValueError, match="convex"):
            plane_regions(model, x, outline=corners)
    with pytest.raises(ValueError, match="in no region"):
        line_regions(model, x[0], x[1] * torch.nan)
    with pytest.raises(ValueError, match="gives a tensor"):
        line_regions(nn.LSTM(2, 2), x[0], x[1])
    with pytest.raises(ValueError, match="one row for each"):
        line_regions(nn.Sequential(nn.Linear(2, 4), nn.Flatten(0), nn.ReLU()), x[0], x[1])


def test_the_network_is_left_as_it_was() -> None:
    model = Block().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, reference = torch.randn(3, 2, 4, 4), torch.randn(9, 2, 4, 4)
    random, inputs = torch.random.get_rng_state(), x.clone()
    line_regions(model, x[0], x[1])
    plane_regions(model, x, outline=SQUARE / 9, batchnorm="frozen", reference=reference)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(v, before[key]) for key, v in model.state_dict().items())
    assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert torch.equal(inputs, x)
