"""What each layer of infinite width makes of the kernels of the one before it; see `infinite`.

Of examples i, j a kernel is k[i, j]; with positions k[i, j, p], of p = p' alone, or, where
positions meet each other somewhere, k[i, j, p, p'], each position two numbers. Sequences are
images of width one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.wide.attention import attended
from untrained.wide.dual import Dual, Entries


class Kernels(NamedTuple):
    """Between all examples, after some layer."""

    k: Float64[Tensor, "n n ..."]
    "K."
    theta: Float64[Tensor, "n n ..."]
    "Theta."

    @property
    def places(self) -> tuple[int, ...]:
        """How many positions, along each axis, and again where there are pairs."""
        return tuple(self.k.shape[2:])

    def mapped(self, of: Callable[[Tensor], Tensor]) -> "Kernels":
        """After a map of positions that has no weights."""
        return Kernels(of(self.k), of(self.theta))

    @property
    def variances(self) -> tuple[Tensor, Tensor]:
        """K(x, x) at p of the first example, and of the second; to be broadcast with k."""
        own = self.k.diagonal(dim1=0, dim2=1).movedim(-1, 0)
        if self.k.ndim == 6:
            own = own.diagonal(dim1=1, dim2=3).diagonal(dim1=1, dim2=2)
        n, where = len(own), own.shape[1:]
        others = (1,) * (self.k.ndim - 2 - len(where))
        return own.reshape(n, 1, *where, *others), own.reshape(1, n, *others, *where)


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

    def shifted(self, x: Tensor) -> list[tuple[Tensor, tuple[slice, slice]]]:
        """x[..., rows, columns] padded, and each position of the window as slices of it."""
        (h, w), (down, right), (by, along) = self.size, self.stride, self.dilation
        padded = F.pad(x, self.padding * ((x.ndim - 2) // 2))
        rows = (padded.shape[-2] - by * (h - 1) - 1) // down * down + 1
        columns = (padded.shape[-1] - along * (w - 1) - 1) // right * right + 1
        return [
            (padded, (slice(i, i + rows, down), slice(j, j + columns, right)))
            for i in range(0, by * h, by)
            for j in range(0, along * w, along)
        ]


@dataclass(frozen=True)
class WideLayers:
    """The kernels of each kind of layer."""

    sigma_w: float
    "Weights are N(0, sigma_w^2 / fan-in),"
    sigma_b: float
    "and biases N(0, sigma_b^2)."
    pairs: bool
    "Whether positions meet each other somewhere."
    draws: int
    "Of the scores of attention,"
    seed: int
    "with this seed."

    def inputs(self, x: Float64[Tensor, "n h w c"], positions: bool) -> Kernels:
        """The mean over channels of x(p) x'(p'), and zero."""
        if not positions:
            k = torch.einsum("ihwc,jhwc->ij", x, x)
        else:
            k = torch.einsum("ihwc,juvc->ijhwuv" if self.pairs else "ihwc,jhwc->ijhw", x, x)
        return Kernels(k / x.shape[-1], torch.zeros_like(k))

    def embedded(self, words: Float64[Tensor, "n t 1 c"]) -> Kernels:
        """Dense, of one-hot words, each with a vector of its own: their fan-in is one."""
        found = self.inputs(words, True)
        return self.dense(Kernels(found.k * words.shape[-1], found.theta), False)

    def dense(self, layer: Kernels, bias: bool) -> Kernels:
        """K <- sigma_w^2 K + sigma_b^2, Theta <- K + sigma_w^2 Theta."""
        k = self.sigma_w**2 * layer.k + (self.sigma_b**2 if bias else 0)
        return Kernels(k, k + self.sigma_w**2 * layer.theta)

    def convolution(self, layer: Kernels, window: Window, bias: bool) -> Kernels:
        """The same of means over d of k(p + d, p' + d); of p = p' alone, of k(p + d)."""

        def over_windows(k: Tensor) -> Tensor:
            found = []
            for padded, (rows, columns) in window.shifted(k):
                there = padded[..., rows, columns]
                found.append(there[:, :, rows, columns] if k.ndim == 6 else there)
            return torch.stack(found).mean(0)

        return self.dense(layer.mapped(over_windows), bias)

    def attention(self, layer: Kernels, biases: tuple[bool, bool], mask: Tensor | None) -> Kernels:
        """See `attention`; `biases` of the first projections, and of the last."""
        of_values = self.dense(layer, biases[0])
        t = layer.k.shape[2]
        c, theta = (each.reshape(*each.shape[:2], t, t) for each in of_values)
        generator = torch.Generator().manual_seed(self.seed)
        found = attended(c, theta, mask, self.draws, generator)
        return self.dense(Kernels(*(each.reshape(layer.k.shape) for each in found)), biases[1])

    def normalised(self, layer: Kernels, eps: float, scale: bool, shift: bool) -> Kernels:
        """K / sqrt(variances); scales, which begin at 1, add K to Theta, and shifts 1."""
        a, b = layer.variances
        k, theta = layer.mapped(lambda k: k / ((a + eps) * (b + eps)).sqrt())
        return Kernels(k, theta + scale * k + shift)

    def flattened(self, layer: Kernels) -> Kernels:
        """The next layer has weights for each position: the mean over p = p'."""

        def at_one_place(k: Tensor) -> Tensor:
            return k if k.ndim == 4 else k.diagonal(dim1=2, dim2=4).diagonal(dim1=2, dim2=3)

        return layer.mapped(lambda k: at_one_place(k).mean((-2, -1)))

    def in_a_row(self, layer: Kernels) -> Kernels:
        """Positions of an image, as those of a sequence."""
        if layer.k.ndim == 4:
            return layer.mapped(lambda k: k.flatten(2, 3)[..., None])
        return layer.mapped(lambda k: k.flatten(4, 5).flatten(2, 3)[:, :, :, None, :, None])

    def selected(self, layer: Kernels, place: int) -> Kernels:
        """One position of a sequence."""
        if layer.k.ndim == 4:
            return layer.mapped(lambda k: k[:, :, place, 0])
        return layer.mapped(lambda k: k[:, :, place, 0, place, 0])

    def pooled(self, layer: Kernels, pool: Callable[[Tensor], Tensor]) -> Kernels:
        """P K P^T, where P is a map of positions that averages."""

        def on_the_right(k: Tensor) -> Tensor:
            found = pool(k.reshape(-1, 1, *k.shape[-2:]))
            return found.reshape(*k.shape[:-2], *found.shape[-2:])

        def on_the_left(k: Tensor) -> Tensor:
            return on_the_right(k.permute(0, 1, 4, 5, 2, 3)).permute(0, 1, 4, 5, 2, 3)

        return layer.mapped(lambda k: on_the_left(on_the_right(k)))

    def averaged(self, layer: Kernels) -> Kernels:
        """The mean over all p and p', which are then gone."""
        return layer.mapped(lambda k: k.mean((2, 3, 4, 5)))

    def activated(
        self,
        layer: Kernels,
        phi: Callable[[Tensor], Tensor],
        dual: Callable[[Entries, Entries, Entries], Dual],
    ) -> Kernels:
        """K <- E phi phi, Theta <- Theta E phi' phi'; see `dual`."""
        found = dual(*layer.variances, layer.k)
        return Kernels(found.value, layer.theta * found.slope)

    def summed(self, a: Kernels, b: Kernels) -> Kernels:
        """K + K, Theta + Theta, of branches that are not correlated."""
        return Kernels(a.k + b.k, a.theta + b.theta)

    def scaled(self, layer: Kernels, factor: float) -> Kernels:
        """c^2 K, c^2 Theta."""
        return layer.mapped(lambda k: factor**2 * k)
