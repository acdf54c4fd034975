"""Layers whose rows of J are outer products: linear layers, convolutions, embeddings.

    J_i = sum_t D_i[t] A_i[t]^T

A is what the layer multiplies its weight by, D the gradient of its output, at position t. For a
weight of o x a numbers, either the o a numbers of a row or the t (o + a) of its factors say all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from untrained.layerwise import costs
from untrained.networks.patches import Sizes, Window, patches

Rows = Float[Tensor, "n r a k"]
"r: of the weight's first dimension, those asked for."


class Outer(ABC):
    """What a layer keeps of its input, to turn gradients D into rows of J."""

    kept: Tensor
    "The layer's input; whoever changes it in place before the gradient comes spoils J."
    examples: int
    positions: int
    "t."
    outs: int
    "o, the weight's first dimension."
    ins: int
    "a, all its other numbers."
    groups: int = 1
    transposed: bool = False
    "Whether its factors are those of the weight's transpose, (D, A)."

    @abstractmethod
    def rows(self, d: Tensor, part: slice) -> Float[Tensor, "n r ..."]:
        """J_i for the slice `part` of the weight's first dimension; strides in any order."""

    def every(self, d: Float[Tensor, "q n ..."], part: slice) -> Float[Tensor, "q n r ..."]:
        """`rows` for several columns of the readout."""
        return torch.stack([self.rows(column, part) for column in d])

    @abstractmethod
    def inputs(self, part: slice, like: Tensor) -> Float[Tensor, "b t a"]:
        """A of a part of the examples, for a weight of one group, in the type of `like`."""

    @abstractmethod
    def gradients(self, d: Tensor, part: slice) -> Float[Tensor, "b t o"]:
        """D of the same."""

    @property
    @abstractmethod
    def row_seconds(self) -> float:
        """What `rows` of the whole weight costs, as predicted."""

    @property
    def factor_bytes(self) -> int:
        """Of one example's input and gradient."""
        return self.kept.element_size() * (
            self.kept.numel() // self.examples + self.positions * self.outs
        )


@dataclass
class LinearOuter(Outer):
    """y[t] = W x[t]."""

    kept: Float[Tensor, "n t a"]
    outs: int

    def __post_init__(self) -> None:
        self.examples, self.positions, self.ins = self.kept.shape

    def rows(self, d: Float[Tensor, "n t o"], part: slice) -> Float[Tensor, "n r a"]:
        d = d[..., part]
        return d.mT * self.kept if self.positions == 1 else torch.bmm(d.mT, self.kept)

    def every(self, d: Float[Tensor, "q n t o"], part: slice) -> Float[Tensor, "q n r a"]:
        d = d[..., part]
        return d.mT * self.kept if self.positions == 1 else _products(d.mT, self.kept)

    def inputs(self, part: slice, like: Tensor) -> Float[Tensor, "b t a"]:
        return self.kept[part]

    def gradients(self, d: Float[Tensor, "n t o"], part: slice) -> Float[Tensor, "b t o"]:
        return d[part]

    def amounts(self) -> dict[str, float | int]:
        """What making rows takes."""
        rows = self.examples * self.outs * self.ins
        return {"macs": rows * self.positions, "rows": rows, "examples": self.examples}

    @property
    def row_seconds(self) -> float:
        return costs.seconds("outer", **self.amounts())


@dataclass
class ProductOuter(Outer):
    """y[t] = x[t] W: the weight is the transpose of a linear layer's."""

    kept: Float[Tensor, "n t o"]
    ins: int
    transposed = True

    def __post_init__(self) -> None:
        self.examples, self.positions, self.outs = self.kept.shape

    def rows(self, d: Float[Tensor, "n t a"], part: slice) -> Float[Tensor, "n r a"]:
        x = self.kept[..., part]
        return x.mT * d if self.positions == 1 else torch.bmm(x.mT, d)

    def inputs(self, part: slice, like: Tensor) -> Float[Tensor, "b t o"]:
        return self.kept[part]

    def gradients(self, d: Float[Tensor, "n t a"], part: slice) -> Float[Tensor, "b t a"]:
        return d[part]

    @property
    def row_seconds(self) -> float:
        rows = self.examples * self.outs * self.ins
        return costs.seconds("outer", macs=rows * self.positions, rows=rows)

    @property
    def factor_bytes(self) -> int:
        return self.kept.element_size() * self.positions * (self.outs + self.ins)


@dataclass
class EmbeddingOuter(Outer):
    """y[t] = W[word[t]], the product of W^T with a one-hot vector."""

    kept: Int[Tensor, "n t"]
    outs: int
    ins: int
    padding: int | None
    "The word whose vector gets no gradient."

    def __post_init__(self) -> None:
        self.examples, self.positions = self.kept.shape

    def rows(self, d: Float[Tensor, "n t a"], part: slice) -> Float[Tensor, "n r a"]:
        start, stop, _ = part.indices(self.outs)
        rows = d.new_zeros(self.examples, stop - start, self.ins)
        asked = (self.kept >= start) & (self.kept < stop)
        words = (self.kept - start).where(asked, 0)
        gradients = self._masked(d).masked_fill(~asked[..., None], 0)
        return rows.scatter_add_(1, words[..., None].expand_as(d), gradients)

    def inputs(self, part: slice, like: Tensor) -> Float[Tensor, "b t w"]:
        found, places = torch.unique(self.kept, return_inverse=True)
        one_hot = like.new_zeros(*self.kept[part].shape, len(found))
        return one_hot.scatter_(2, places[part][..., None], 1.0)

    def gradients(self, d: Float[Tensor, "n t a"], part: slice) -> Float[Tensor, "b t a"]:
        return self._masked(d)[part]

    def _masked(self, d: Tensor) -> Tensor:
        if self.padding is None:
            return d
        return d.masked_fill((self.kept == self.padding)[..., None], 0)

    @property
    def row_seconds(self) -> float:
        return costs.seconds("outer", rows=2 * self.examples * self.outs * self.ins)

    @property
    def factor_bytes(self) -> int:
        return self.positions * (8 + 4 * self.ins)


@dataclass
class ConvolutionOuter(Outer):
    """y = W * x in any number of dimensions: A are the patches of x.

    A transposed convolution is the adjoint of one, so its rows are those of that convolution with
    x and D exchanged.
    """

    kept: Float[Tensor, "n c ..."]
    outs: int
    channels: int
    "Of the image that patches are taken of."
    window: Window
    spread: Sizes
    "The size of the image that the window's positions make."
    groups: int = 1
    transposed: bool = False

    def __post_init__(self) -> None:
        self.examples = len(self.kept)
        self.positions = torch.Size(self.spread).numel()
        self.kernel = torch.Size(self.window.kernel).numel()
        self.ins = self.channels // self.groups * self.kernel

    def rows(self, d: Float[Tensor, "n o ..."], part: slice) -> Rows:
        x, d = (d, self.kept) if self.transposed else (self.kept, d)
        if self.groups > 1:
            return ROWS[self.way](x, d, self)[:, part]
        return ROWS[self.way](x, d[:, part], self)

    def every(self, d: Float[Tensor, "q n o ..."], part: slice) -> Float[Tensor, "q n r ..."]:
        held = self.kept.element_size() * self.examples * self.ins * self.positions
        if self.transposed or self.way != "patches" or self.groups > 1 or held > PATCH_BYTES:
            return super().every(d, part)
        u = patches(self.kept, self.window, self.spread)
        return _products(d[:, :, part].flatten(3), u.mT)

    def inputs(self, part: slice, like: Tensor) -> Float[Tensor, "b t a"]:
        x = self.kept[part]
        return (x.flatten(2) if self.transposed else patches(x, self.window, self.spread)).mT

    def gradients(self, d: Float[Tensor, "n o ..."], part: slice) -> Float[Tensor, "b t r"]:
        d = d[part]
        return (patches(d, self.window, self.spread) if self.transposed else d.flatten(2)).mT

    @cached_property
    def way(self) -> str:
        """The cheapest of `ROWS` for this layer, as predicted; patches on an accelerator."""
        if self.kept.device.type != "cpu":
            return "patches"
        return min(ROWS, key=self.seconds)

    def amounts(self) -> dict[str, float | int]:
        """What making rows takes, by any way.

        A library's convolution computes with blocks of channels, full or not.
        """
        n, t, o, c, k = self.examples, self.positions, self.outs, self.channels, self.kernel
        rows = n * o * self.ins
        full_o, full_c = (o, c) if self.groups > 1 else (max(o, BLOCKED), max(c, BLOCKED))
        return {
            "macs": rows * t,
            "patches": n * c * k * t,
            "rows": rows,
            "far_rows": rows if rows * self.kept.element_size() > NEAR else 0,
            "block_macs": n * t * k * full_o * full_c / self.groups,
            "blocks": n * t * (full_o + full_c),
            "matrices": n * self.groups,
        }

    def seconds(self, way: str) -> float:
        """What the rows cost by this way, as predicted."""
        return costs.seconds(way, **self.amounts())

    @property
    def row_seconds(self) -> float:
        return self.seconds(self.way)

    @property
    def factor_bytes(self) -> int:
        image = self.kept.numel() // self.examples
        other = self.positions * self.outs if not self.transposed else image * self.kernel
        return self.kept.element_size() * (image + other)


def _products(d: Float[Tensor, "q n r t"], a: Float[Tensor, "n t a"]) -> Float[Tensor, "q n r a"]:
    """D A of every column, as further rows of D: A is not copied for each of them."""
    rows = torch.bmm(d.transpose(0, 1).flatten(1, 2), a)
    return rows.unflatten(1, (len(d), -1)).transpose(0, 1)


def _matrix(x: Float[Tensor, "n c ..."], groups: int) -> Float[Tensor, "b a t"]:
    """An image as matrices of channels and positions, in whichever order memory has them."""
    if groups == 1 and x.stride(1) == 1:  # channels last: copied, if at all, as it lies
        return x.movedim(1, -1).flatten(1, -2).mT
    return x.reshape(len(x) * groups, x.shape[1] // groups, -1)


BLOCKED = 16
"Channels that a convolution computes together."
NEAR = 2**24
"Bytes from which on rows are written past the processor's caches."
# Patches held at once: more than this would not come from the same memory every time.
PATCH_BYTES = 2**22


def _by_patches(x: Tensor, d: Tensor, layer: ConvolutionOuter) -> Rows:
    """Batched products of D with explicit patches, a few examples at a time."""
    n, g, t = len(x), layer.groups, layer.positions
    one = x.element_size() * layer.channels * layer.kernel * t
    rows = x.new_empty(n * g, d.shape[1] // g, layer.channels // g * layer.kernel)
    step = max(1, PATCH_BYTES // one)
    for i in range(0, n, step):
        some = slice(i, i + step)
        u = patches(x[some].contiguous(), layer.window, layer.spread).reshape(-1, rows.shape[2], t)
        torch.bmm(_matrix(d[some], g), u.mT, out=rows[i * g : (i + step) * g])
    return rows.view(n, d.shape[1], layer.channels // g, layer.kernel)


def _grouped(x: Tensor, d: Tensor, layer: ConvolutionOuter) -> Rows:
    """One weight gradient of a convolution that has groups for each example."""
    n, w, dims = len(x), layer.window, len(layer.spread)
    image, gradient = x.flatten(0, 1)[None], d.flatten(0, 1)[None]
    weight = x.new_empty(1).expand(n * d.shape[1], layer.channels // layer.groups, *w.kernel)
    found = torch.ops.aten.convolution_backward(
        gradient, image, weight, None, w.stride, w.padding, w.dilation, False, [0] * dims,
        n * layer.groups, [False, True, False],
    )[1]  # fmt: skip
    return found.view(n, -1, layer.channels // layer.groups, layer.kernel)


ROWS: dict[str, Callable[[Tensor, Tensor, ConvolutionOuter], Rows]] = {
    "patches": _by_patches,
    "grouped": _grouped,
}
