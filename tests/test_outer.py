"""Rows and factors of outer products, against the gradients of one example at a time."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from untrained.layerwise.outer import (
    ROWS,
    ConvolutionOuter,
    EmbeddingOuter,
    LinearOuter,
    Outer,
    ProductOuter,
)
from untrained.networks.patches import Window, patches

ALL = slice(None)
FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
# kernel, stride, padding, dilation, groups
GEOMETRIES = [
    ((3,), (1,), (1,), (1,), 1),
    ((3,), (2,), (1,), (1,), 2),
    ((3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 3), (1, 1), (0, 0), (1, 1), 4),
    ((3, 3), (2, 2), (1, 1), (1, 1), 2),
    ((3, 3), (1, 1), (2, 2), (2, 2), 4),
    ((1, 3), (2, 1), (0, 1), (1, 2), 1),
    ((1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((1, 1), (1, 1), (1, 1), (1, 1), 1),
    ((2, 2, 2), (1, 1, 1), (1, 0, 1), (1, 1, 1), 2),
    ((2, 1, 3), (1, 2, 1), (0, 0, 1), (1, 1, 1), 1),
]
Geometry = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], int]


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-12 * b.abs().max())


def gradients(
    layer: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, d: Tensor
) -> Tensor:
    """d <D_i, layer(x_i)> / d weight for each example."""
    weight = weight.clone().requires_grad_()
    return torch.stack(
        [
            torch.autograd.grad((layer(a[None], weight) * b).sum(), weight)[0]
            for a, b in zip(x, d, strict=True)
        ]
    )


def outer_product(outer: Outer, d: Tensor, part: slice = ALL) -> Tensor:
    """sum_t D[t] A[t]^T, as (n, o, a)."""
    a, b = outer.inputs(part, d), outer.gradients(d, part)
    return torch.einsum("nta,nto->noa", a, b)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).double()


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("way", sorted(ROWS))
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_rows_of_convolutions(geometry: Geometry, way: str, last: bool) -> None:
    kernel, stride, padding, dilation, groups = geometry
    x, weight = drawn(3, 4, *(7, 6, 5)[: len(kernel)]), drawn(8, 4 // groups, *kernel)

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        return FORWARD[len(kernel)](x, weight, None, stride, padding, dilation, groups)

    y = layer(x, weight)
    d = drawn(*y.shape)
    expected = gradients(layer, x, weight, d)
    if last:
        x, d = (t.movedim(1, -1).contiguous().movedim(-1, 1) for t in (x, d))
    window = Window(kernel, stride, padding, dilation)
    assert window.positions(x.shape[2:]) == y.shape[2:]
    outer = ConvolutionOuter(x, 8, 4, window, tuple(y.shape[2:]), groups)
    assert close(ROWS[way](x, d, outer).reshape(expected.shape), expected)
    for part in (slice(0, 3), slice(3, 8)):
        assert close(outer.rows(d, part).reshape(3, -1), expected[:, part].flatten(1))
    outer.way = way
    both = torch.stack([expected, 2 * expected])
    assert close(outer.every(torch.stack([d, 2 * d]), ALL).reshape(both.shape), both)
    if groups == 1:
        assert close(outer_product(outer, d), expected.flatten(2))
        assert close(outer_product(outer, d, slice(1, 3)), expected[1:].flatten(2))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("way", sorted(ROWS))
def test_rows_of_transposed_convolutions(geometry: Geometry, way: str) -> None:
    kernel, stride, padding, dilation, groups = geometry
    x, weight = drawn(3, 4, *(5, 4, 3)[: len(kernel)]), drawn(4, 8 // groups, *kernel)
    more = tuple(s - 1 for s in stride)

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        transposed = TRANSPOSED[len(kernel)]
        return transposed(x, weight, None, stride, padding, more, groups, dilation)

    y = layer(x, weight)
    d = drawn(*y.shape)
    expected = gradients(layer, x, weight, d)
    window = Window(kernel, stride, padding, dilation)
    outer = ConvolutionOuter(x, 4, 8, window, tuple(x.shape[2:]), groups, True)
    assert close(ROWS[way](d, x, outer).reshape(expected.shape), expected)
    assert close(outer.rows(d, slice(1, 3)).reshape(3, -1), expected[:, 1:3].flatten(1))
    if groups == 1:  # x is the gradient of the convolution that this one is the adjoint of
        assert close(outer_product(outer, d).mT, expected.flatten(2))


@pytest.mark.parametrize("positions", [1, 5])
def test_rows_of_linear_layers(positions: int) -> None:
    x, weight, d = drawn(4, positions, 6), drawn(3, 6), drawn(4, positions, 3)
    expected = gradients(F.linear, x, weight, d)
    outer = LinearOuter(x, 3)
    assert close(outer.rows(d, ALL), expected)
    assert close(outer.rows(d, slice(1, 2)), expected[:, 1:2])
    assert close(outer_product(outer, d), expected)
    assert close(outer_product(outer, d, slice(2, 4)), expected[2:])


@pytest.mark.parametrize("padding", [None, 0, 2])
def test_rows_of_embeddings(padding: int | None) -> None:
    """Words twice in an example, a word that is padding, words that nobody says."""
    words, weight, d = torch.tensor([[0, 2, 2], [1, 2, 5], [5, 5, 5]]), drawn(7, 4), drawn(3, 3, 4)
    expected = gradients(lambda x, w: F.embedding(x, w, padding), words, weight, d)
    outer = EmbeddingOuter(words, 7, 4, padding)
    assert close(outer.rows(d, ALL), expected)
    assert close(outer.rows(d, slice(2, 6)), expected[:, 2:6])
    part = outer.rows(d, slice(2, 4))
    assert part.untyped_storage().nbytes() == 8 * part.numel()  # no more than is asked for
    # Over the words that occur, in ascending order.
    one_hot, gradient = outer.inputs(ALL, d), outer.gradients(d, ALL)
    found = torch.einsum("nta,nto->nao", one_hot, gradient)
    assert close(found, expected[:, words.unique()])
    assert one_hot.sum(2).eq(1).all()


def test_a_gradient_that_is_not_finite_stays_with_its_word() -> None:
    outer = EmbeddingOuter(torch.tensor([[0, 3], [1, 2]]), 4, 2, 3)
    d = torch.ones(2, 2, 2, dtype=torch.float64)
    d[0, 1], d[1, 0] = torch.nan, torch.inf  # of the padding, and of word 1
    assert outer.rows(d, slice(2, 4)).tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]
    assert outer.rows(d, slice(0, 1)).tolist() == [[[1, 1]], [[0, 0]]]


@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if len(g[0]) == 2], ids=str)
def test_patches_are_those_of_unfold(geometry: Geometry) -> None:
    kernel, stride, padding, dilation, _ = geometry
    x, window = drawn(2, 3, 7, 6), Window(kernel, stride, padding, dilation)
    expected = F.unfold(x, kernel, dilation, padding, stride)
    assert torch.equal(patches(x, window, window.positions((7, 6))), expected)


def test_windows_from_what_convolutions_take() -> None:
    assert Window.of((3, 1), 2, (1, 0), 1) == Window((3, 1), (2, 2), (1, 0), (1, 1))
    assert Window.of((3, 3), (2,), [1], 1) == Window((3, 3), (2, 2), (1, 1), (1, 1))
    assert Window.of((1, 1), 1, 0, 1).trivial
    assert not Window.of((1, 1), 1, 1, 1).trivial
    assert not Window.of((1, 1), 2, 0, 1).trivial


def test_costs_grow_with_the_layer() -> None:
    """Predictions decide between ways; they are positive, and more work costs more."""
    layers = [
        ConvolutionOuter(torch.empty(8, c, 8, 8), c, c, Window.of((3, 3), 1, 1, 1), (8, 8))
        for c in (4, 16, 64, 256)
    ]
    for way in ROWS:
        seconds = [layer.seconds(way) for layer in layers]
        assert seconds[0] > 0
        assert all(a < b for a, b in pairwise(seconds)), way
    for layer in layers:
        assert layer.row_seconds == min(map(layer.seconds, ROWS))
        assert layer.way in ROWS


def test_factors_are_counted_in_bytes() -> None:
    x = torch.empty(8, 4, 6, 6)
    outer = ConvolutionOuter(x, 5, 4, Window.of((3, 3), 1, 1, 1), (6, 6))
    assert outer.factor_bytes == 4 * (4 * 36 + 5 * 36)
    assert LinearOuter(torch.empty(8, 3, 6), 5).factor_bytes == 4 * (3 * 6 + 3 * 5)


def test_rows_and_factors_of_products() -> None:
    """x W, with the weight as inputs x outputs, for one position and for several."""
    for shape in ((3, 4), (3, 5, 4)):
        x, weight = drawn(*shape), drawn(4, 6)
        d = drawn(*shape[:-1], 6)
        expected = gradients(torch.matmul, x, weight, d)
        x, d = (each.reshape(3, -1, each.shape[-1]) for each in (x, d))
        outer = ProductOuter(x, 6)
        assert close(outer.rows(d, ALL), expected)
        assert close(outer.rows(d, slice(1, 3)), expected[:, 1:3])
        assert close(outer_product(outer, d).mT, expected)
        assert outer.transposed
