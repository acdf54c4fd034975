"""Sums of products in each precision, within the errors that are stated."""

from functools import partial
from itertools import pairwise

import naive
import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor, nn

from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk
from untrained.layerwise import costs
from untrained.layerwise.contraction import HALVED, ROUNDING, Precision, Tile, accumulate

BFLOAT16 = 3 * 2.0**-8


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def share(found: Tensor, truth: Tensor) -> float:
    """max |found - truth| / sqrt(Theta_ii Theta_jj)"""
    sizes = truth.diagonal().sqrt()
    return ((found - truth).abs() / sizes[:, None] / sizes).max().item()


@pytest.mark.parametrize(
    ("precision", "bound"), [("float64", 1e-13), ("float32", 1e-5), ("bfloat16", BFLOAT16)]
)
@pytest.mark.parametrize(
    ("n", "p"), [(5, 3), (2, 8192), (5, 20_000), (40, 10_000), (HALVED + 44, 1500)]
)
def test_sums_of_products(precision: Precision, bound: float, n: int, p: int) -> None:
    j = drawn(n, p)
    truth = j.double() @ j.double().T
    for other in (j, j.clone()):  # symmetric, of which a half is made, and not
        theta = torch.zeros(n, n, dtype=torch.float64)
        accumulate(theta, j, other, precision)
        assert share(theta.tril() + theta.tril(-1).T, truth) <= bound
        assert other is j or share(theta, truth) <= bound


@pytest.mark.parametrize("apart", [1, 3])
@pytest.mark.parametrize("m", [None, 4])
@pytest.mark.parametrize("positions", [1, 2])
def test_tiles_by_rows_and_by_grams(apart: int, m: int | None, positions: int) -> None:
    """Both ways to a share of Theta, for blocks of examples of unequal size."""
    n, q = 5, 3
    total = n + (m or 0)
    a, d = drawn(total, positions, 6).double(), drawn(total, q, positions, 2).double()
    j = torch.einsum("nqto,nta->nqoa", d, a).flatten(2)
    theta = torch.einsum("iqp,jcp->iqjc", j[:n], j[:n] if m is None else j[n:])
    expected = (
        theta.flatten(2).flatten(0, 1) if apart == q else theta.diagonal(dim1=1, dim2=3).sum(-1)
    )
    sums = torch.zeros(2, n * apart, (m or n) * apart, dtype=torch.float64)
    by_rows, by_grams = (Tile(n, m, apart, "float64", part) for part in sums)
    by_rows.add(j)
    bounds = [0, 2, n] if m is None else [0, 2, n, n + 3, n + m]

    def factors(i: int, k: int) -> tuple[Tensor, Tensor]:
        return a[i:k], d[i:k]

    by_grams.add_grams([(i, partial(factors, i, k)) for i, k in pairwise(bounds)])
    assert by_rows.examples == total
    for tile in (by_rows, by_grams):
        assert deviation(tile.theta(), expected) < 1e-12


@pytest.mark.parametrize("m", [None, 4])
def test_small_shares_wait_and_are_added_as_one(m: int | None) -> None:
    """In float64, whatever the precision of the others."""
    n = 5
    large, *small = drawn(n + (m or 0), 1, 40).split([10, 8, 8, 8, 6], 2)
    sums = torch.zeros(n, m or n, dtype=torch.float64)
    tile = Tile(n, m, 1, "float32", sums, small=4 * 8 * (n + (m or 0)))
    tile.add(large)
    before = sums.clone()
    tile.add(small[0])
    assert torch.equal(sums, before)
    tile.add(small[1])  # now there is too much to wait
    assert not torch.equal(sums, before)
    for share in small[2:]:
        tile.add(share)
    tile.settle()
    j = torch.cat(small, 2)[:, 0].double()
    expected = before + j[:n] @ (j[:n] if m is None else j[n:]).T
    assert deviation(sums, expected) < 1e-14


@pytest.mark.parametrize("method", [method for method in METHODS if method != "products"])
@pytest.mark.parametrize("name", ["convolutions", "layer used twice", "transformer layer"])
def test_kernels_in_each_precision(name: str, method: Method) -> None:
    model, x = zoo.make(name)
    truth = ntk(model, x, method="loop")
    found = ntk(model.float(), x.float(), method=method, precision="bfloat16")
    assert 1e-6 < share(found, truth) <= BFLOAT16
    for precision in ("float32", "float64", "auto"):
        found = ntk(model, x.float(), method=method, precision=precision)
        assert share(found, truth) < 1e-5, precision


def test_a_float64_network_keeps_its_own_products() -> None:
    model, x = zoo.make("convolutions")
    truth = ntk(model, x, method="loop")
    assert truth.plan.precision == "float64"
    for method in METHODS:
        found = ntk(model, x, method=method, precision="float32")
        assert found.plan.precision == "float32"
        assert share(found, truth) < 1e-12, method
    assert share(ntk(model, x, method="structured", precision="bfloat16"), truth) <= BFLOAT16


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", BFLOAT16)])
def test_positions_that_cancel(precision: Precision, bound: float) -> None:
    """J_i = D_i (A_i[1] - A_i[2])^T is small beside each of its terms."""
    layer = nn.Linear(64, 64)
    model = zoo.Net(lambda m, x: m.layer(x)[:, 0] - m.layer(x)[:, 1], layer=layer)
    x = drawn(6, 1, 64) + 0.05 * drawn(6, 2, 64)
    truth = ntk(model.double(), x.double(), method="loop")
    found = ntk(model.float(), x, method="structured", precision=precision)
    assert share(found, truth) <= bound


def test_resolution_follows_precision_and_size() -> None:
    model, _ = zoo.make("linear")
    model = model.float()
    resolutions = [
        ntk(model, drawn(n, 4), precision=precision).resolution
        for n in (5, 50)
        for precision in ("float64", "float32", "bfloat16")
    ]
    assert resolutions[:3] == sorted(resolutions[:3])
    assert all(a < b for a, b in zip(resolutions[:3], resolutions[3:], strict=True))
    assert resolutions[2] == 5 * ROUNDING["bfloat16"] == 5 * BFLOAT16
    double = ntk(model.double(), drawn(5, 4).double())
    assert double.resolution == 5 * torch.finfo(torch.float64).eps
    assert double.resolution < resolutions[0]


def test_factors_of_a_weight_and_of_its_transpose_are_never_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even where products of factors seem to cost nothing."""
    monkeypatch.setitem(costs.NANOSECONDS, "pairs", {})
    monkeypatch.setitem(costs.NANOSECONDS, "product_float64", {})
    name = "convolution tied to its transpose"
    model, x = zoo.make(name)
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    assert deviation(ntk(model, x, method="structured"), expected) < 1e-12
