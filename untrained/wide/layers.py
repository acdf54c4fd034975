"""What each layer of infinite width makes of the kernels of the one before it; see `infinite`.

Of examples i and j of two batches a kernel is k[i, j]; with positions k[i, j, p], of p = p' alone,
or, where positions meet each other somewhere, k[i, j, p, p'], each position two numbers. Sequences
are images of width one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.wide.attention import attended
from untrained.wide.dual import DualOf, scale_of


class Kernels(NamedTuple):
    """Between two batches, after some layer."""

    k: Float64[Tensor, "n m ..."]
    "K."
    theta: Float64[Tensor, "n m ..."]
    "Theta."
    first: Float64[Tensor, "n ..."]
    "K of each example of the first batch with itself,"
    second: Float64[Tensor, "m ..."]
    "and of the second."

    @property
    def places(self) -> tuple[int, ...]:
        """How many positions, along each axis, and again where there are pairs."""
        return tuple(self.first.shape[1:])

    def mapped(self, of: Callable[[Tensor], Tensor]) -> "Kernels":
        """After a map of positions that has no weights, of kernels with one axis of examples."""

        def of_pairs(k: Tensor) -> Tensor:
            return of(k.flatten(0, 1)).unflatten(0, k.shape[:2])

        return Kernels(of_pairs(self.k), of_pairs(self.theta), of(self.first), of(self.second))


def variances(own: Float64[Tensor, "n ..."], axis: int) -> Tensor:
    """K(x, x) at p or p', of each example with itself; to be broadcast with it.

    Args:
        own: K of each example with itself.
        axis: 0 of p, 1 of p'.
    """
    if own.ndim < 4:
        return own
    found = own.diagonal(dim1=1, dim2=3).diagonal(dim1=1, dim2=2)
    return found[:, :, :, None, None] if axis == 0 else found[:, None, None]


class Window(NamedTuple):
    """Of a convolution, along rows and columns."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    "Left, right, top, bottom."

    @classmethod
    def of(cls, module: nn.Conv1d | nn.Conv2d) -> "Window":
        """That of a layer; of sequences, with columns of one."""
        one = isinstance(module, nn.Conv1d)
        padding = module._reversed_padding_repeated_twice
        size, stride, dilation = (
            (each[0], 1) if one else (each[0], each[1])
            for each in (module.kernel_size, module.stride, module.dilation)
        )
        left, right, top, bottom = (0, 0, *padding) if one else padding
        return cls(size, stride, dilation, (left, right, top, bottom))

    def padded(self, x: Tensor) -> Tensor:
        """x, of which the last two axes, or four, are rows and columns."""
        return F.pad(x, self.padding * ((x.ndim - 1) // 2))

    def steps(self, which: int, length: int) -> list[slice]:
        """Along rows (0) or columns (1) of some padded length: where the window's places are."""
        size, stride, by = self.size[which], self.stride[which], self.dilation[which]
        if length < by * (size - 1) + 1:
            raise ValueError(
                f"expected padded inputs no smaller than the window of a convolution, "
                f"{by * (size - 1) + 1}, got {length}"
            )
        last = (length - by * (size - 1) - 1) // stride * stride + 1
        return [slice(k, k + last, stride) for k in range(0, by * size, by)]

    def mean(self, k: Float64[Tensor, "n ..."]) -> Float64[Tensor, "n ..."]:
        """Over d of k(p + d, p' + d), or of k(p + d): along columns, then rows."""
        found = self.padded(k)
        for which in (0, 1):
            parts = []
            for step in self.steps(which, found.shape[1 + which]):
                where = [slice(None)] * found.ndim
                where[1 + which :: 2] = [step] * ((found.ndim - 1) // 2)
                parts.append(found[tuple(where)])
            found = parts[0]
            for part in parts[1:]:
                found = found + part
        return found / (self.size[0] * self.size[1])


@dataclass(frozen=True)
class WideLayers:
    """The kernels of each kind of layer."""

    sigma_w: float | int
    "Weights are N(0, sigma_w^2 / fan-in),"
    sigma_b: float | int
    "and biases N(0, sigma_b^2)."
    pairs: bool
    "Whether positions meet each other somewhere."
    draws: int
    "Of the scores of attention,"
    seed: int
    "with this seed."

    def inputs(
        self, x1: Float64[Tensor, "n h w c"], x2: Float64[Tensor, "m h w c"], positions: bool
    ) -> Kernels:
        """The mean over channels of x(p) x'(p'), and zero."""
        to = "" if not positions else "hwuv" if self.pairs else "hw"
        right = "juvc" if to == "hwuv" else "jhwc"
        k = torch.einsum(f"ihwc,{right}->ij{to}", x1, x2) / x1.shape[-1]
        right = right.replace("j", "i")
        first, second = (
            torch.einsum(f"ihwc,{right}->i{to}", x, x) / x.shape[-1] for x in (x1, x2)
        )
        return Kernels(k, torch.zeros_like(k), first, second)

    def embedded(
        self, words1: Float64[Tensor, "n t 1 c"], words2: Float64[Tensor, "m t 1 c"]
    ) -> Kernels:
        """Dense, of one-hot words, each with a vector of its own: their fan-in is one."""
        found = self.inputs(words1, words2, True)
        return self.dense(found.mapped(lambda k: k * words1.shape[-1]), False)

    def dense(self, layer: Kernels, bias: bool) -> Kernels:
        """K <- sigma_w^2 K + sigma_b^2, Theta <- K + sigma_w^2 Theta."""
        shift = self.sigma_b**2 if bias else 0.0
        k, first, second = (
            torch.add(shift, each, alpha=self.sigma_w**2)
            for each in (layer.k, layer.first, layer.second)
        )
        return Kernels(k, torch.add(k, layer.theta, alpha=self.sigma_w**2), first, second)

    def convolution(self, layer: Kernels, window: Window, bias: bool) -> Kernels:
        """The same of means over windows."""
        return self.dense(layer.mapped(window.mean), bias)

    def attention(self, layer: Kernels, biases: tuple[bool, bool], mask: Tensor | None) -> Kernels:
        """See `attention`, of a batch with itself; `biases` of the first projections and last."""
        t = layer.k.shape[2]
        c, theta = (k.reshape(*k.shape[:2], t, t) for k in self.dense(layer, biases[0])[:2])
        generator = torch.Generator().manual_seed(self.seed)
        found = attended(c, theta, mask, self.draws, generator)
        k, theta = (each.reshape(layer.k.shape) for each in found)
        own = k.diagonal(dim1=0, dim2=1).movedim(-1, 0)
        return self.dense(Kernels(k, theta, own, own), biases[1])

    def normalised(self, layer: Kernels, eps: float, shift: bool) -> Kernels:
        """K / sqrt(variances); shifts add 1 to Theta, and scales, which begin at 1, see below."""
        one, other = (
            [(variances(own, axis) + eps).rsqrt() for axis in (0, 1)]
            for own in (layer.first, layer.second)
        )
        size = one[0][:, None] * other[1]
        k = layer.k * size
        first, second = layer.first * one[0] * one[1], layer.second * other[0] * other[1]
        return Kernels(k, layer.theta * size + shift, first, second)

    def settled(self, layer: Kernels) -> Kernels:
        """After scales, of which each multiplies a unit: Theta <- Theta + K."""
        return layer._replace(theta=layer.theta + layer.k)

    def flattened(self, layer: Kernels) -> Kernels:
        """The next layer has weights for each position: the mean over p = p'."""

        def at_one_place(k: Tensor) -> Tensor:
            return k if k.ndim == 3 else k.diagonal(dim1=1, dim2=3).diagonal(dim1=1, dim2=2)

        return layer.mapped(lambda k: at_one_place(k).mean((-2, -1)))

    def in_a_row(self, layer: Kernels) -> Kernels:
        """Positions of an image, as those of a sequence."""
        if not self.pairs:
            return layer.mapped(lambda k: k.flatten(1)[..., None])
        return layer.mapped(lambda k: k.flatten(3).flatten(1, 2)[:, :, None, :, None])

    def selected(self, layer: Kernels, place: int) -> Kernels:
        """One position of a sequence."""
        if not self.pairs:
            return layer.mapped(lambda k: k[:, place, 0])
        return layer.mapped(lambda k: k[:, place, 0, place, 0])

    def pooled(self, layer: Kernels, pool: Callable[[Tensor], Tensor]) -> Kernels:
        """P K P^T, where P is a map of positions that averages."""

        def on_the_right(k: Tensor) -> Tensor:
            found = pool(k.reshape(-1, 1, *k.shape[-2:]))
            return found.reshape(*k.shape[:-2], *found.shape[-2:])

        def on_both(k: Tensor) -> Tensor:
            return on_the_right(on_the_right(k).permute(0, 3, 4, 1, 2)).permute(0, 3, 4, 1, 2)

        return layer.mapped(on_both)

    def averaged(self, layer: Kernels) -> Kernels:
        """The mean over all p and p', which are then gone."""
        return layer.mapped(lambda k: k.mean((1, 2, 3, 4)))

    def activated(
        self,
        layer: Kernels,
        phi: Callable[[Tensor], Tensor],
        dual: DualOf,
        scaled: bool,
    ) -> Kernels:
        """K <- E phi phi, Theta <- Theta E phi' phi'; see `dual`.

        After scales Theta <- the same + E u phi'(u) v phi'(v).
        """
        a, b = variances(layer.first, 0)[:, None], variances(layer.second, 1)[None]
        found = dual(a, b, layer.k)
        theta = layer.theta * found.slope
        if scaled:
            theta = theta + scale_of(phi, dual)(a, b, layer.k).value
        first, second = (
            dual(variances(own, 0), variances(own, 1), own).value
            for own in (layer.first, layer.second)
        )
        return Kernels(found.value, theta, first, second)

    def summed(self, a: Kernels, b: Kernels) -> Kernels:
        """K + K, Theta + Theta, of branches that are not correlated."""
        return Kernels(*(one + other for one, other in zip(a, b, strict=True)))

    def scaled(self, layer: Kernels, factor: float) -> Kernels:
        """c^2 K, c^2 Theta."""
        return layer.mapped(lambda k: factor**2 * k)
