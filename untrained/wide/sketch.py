"""Features of which the products are kernels of infinite width, nearly; see `Infinite.features`.

    K(x, x') ~ z . z',    Theta(x, x') ~ t . t'

    activation   z <- phi(G z) / sqrt(m), G of m x m standard normal numbers,
                 t <- sketch(t, phi'(G z) / sqrt(m)), whose products are about (t . t') Kdot
    dense        z <- (sigma_w z, sigma_b),           t <- (z, sigma_w t)
    convolution  what is at each place of the window, joined;    sum: both branches, joined

What is joined is kept to m numbers by a count sketch, which adds each to one of m with a random
sign; the sketch of two vectors is the convolution of their count sketches. All are unbiased, given
what they act on, with errors of about 1/sqrt(m).

Source: Han, Zandieh, Lee, Novak, Xiao & Karbasi, "Fast Neural Kernel Embeddings for General
Activations", NeurIPS 2022, https://arxiv.org/abs/2209.04121, after Zandieh et al., NeurIPS 2021,
https://arxiv.org/abs/2106.07880. Random features of activations in place of theirs, which suit
any; Pham & Pagh, KDD 2013 (the sketch of a product).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from untrained.wide.dual import with_slope
from untrained.wide.layers import Window


class Sketched(NamedTuple):
    """Of examples after some layer, or of each of their positions."""

    z: Float[Tensor, "n ... a"]
    "z . z' is about K,"
    t: Float[Tensor, "n ... b"]
    "and t . t' about Theta."

    @property
    def places(self) -> tuple[int, ...]:
        """How many positions, along each axis."""
        return tuple(self.z.shape[1:-1])

    def mapped(self, of: Callable[[Tensor], Tensor]) -> "Sketched":
        """After a map of positions that has no weights."""
        return Sketched(of(self.z), of(self.t))


@dataclass(frozen=True)
class Sketches:
    """The features of each kind of layer; the same for all batches with the same seed."""

    sigma_w: float | int
    sigma_b: float | int
    count: int
    "m."
    generator: torch.Generator
    "Of G and the sketches."

    def inputs(self, x: Float[Tensor, "n h w c"], _: object, positions: bool) -> Sketched:
        """The mean over channels of x x', exactly; flattened where there are no positions."""
        z = x / x.shape[-1] ** 0.5 if positions else x.flatten(1) / x.shape[-1] ** 0.5
        return Sketched(z, z[..., :0])

    def embedded(self, words: Float[Tensor, "n t 1 c"], _: object) -> Sketched:
        """Dense, of one-hot words, each with a vector of its own."""
        return self.dense(Sketched(words, words[..., :0]), False)

    def dense(self, layer: Sketched, bias: bool) -> Sketched:
        """(sigma_w z, sigma_b) and (z, sigma_w t)."""
        z = self.sigma_w * layer.z
        if bias and self.sigma_b:
            z = torch.cat([z, torch.full_like(z[..., :1], self.sigma_b)], -1)
        return Sketched(z, torch.cat([z, self.sigma_w * layer.t], -1))

    def convolution(self, layer: Sketched, window: Window, bias: bool) -> Sketched:
        """What is at each place of the window, joined."""

        def over_windows(of: Tensor) -> Tensor:
            padded = window.padded(of.movedim(-1, 1))
            rows, columns = (window.steps(k, padded.shape[2 + k]) for k in (0, 1))
            parts = [padded[:, :, i, j].movedim(1, -1) for i in rows for j in columns]
            return self._joined(parts) / len(parts) ** 0.5

        return self.dense(layer.mapped(over_windows), bias)

    def attention(self, *_: Any) -> Sketched:
        """Not known.

        Raises:
            ValueError: that.
        """
        raise ValueError("expected a network without attention, of which no sketch is known here")

    def normalised(self, layer: Sketched, eps: float, shift: bool) -> Sketched:
        """Divided by the root of z . z; shifts add 1 to t."""
        size = (layer.z.square().sum(-1, keepdim=True) + eps).sqrt()
        z, t = layer.mapped(lambda of: of / size)
        return Sketched(z, torch.cat([t, torch.ones_like(size)], -1) if shift else t)

    def settled(self, layer: Sketched) -> Sketched:
        """After scales: t <- (t, z)."""
        return layer._replace(t=torch.cat([layer.t, layer.z], -1))

    def flattened(self, layer: Sketched) -> Sketched:
        """All positions, joined."""

        def in_one(of: Tensor) -> Tensor:
            parts = of.flatten(1, 2).unbind(1)
            return self._joined(parts) / len(parts) ** 0.5

        return layer.mapped(in_one)

    def in_a_row(self, layer: Sketched) -> Sketched:
        """Positions of an image, as those of a sequence."""
        return layer.mapped(lambda of: of.flatten(1, 2)[:, :, None])

    def selected(self, layer: Sketched, place: int) -> Sketched:
        """One position of a sequence."""
        return layer.mapped(lambda of: of[:, place, 0])

    def pooled(self, layer: Sketched, pool: Callable[[Tensor], Tensor]) -> Sketched:
        """The same map of positions."""
        both = pool(torch.cat([layer.z, layer.t], -1).movedim(-1, 1)).movedim(1, -1)
        return Sketched(*both.split([layer.z.shape[-1], layer.t.shape[-1]], -1))

    def averaged(self, layer: Sketched) -> Sketched:
        """The mean over positions."""
        return layer.mapped(lambda of: of.mean((1, 2)))

    def activated(
        self, layer: Sketched, phi: Callable[[Tensor], Tensor], _: object, scaled: bool
    ) -> Sketched:
        """phi(G z) / sqrt(m), and the sketch of t and phi'(G z) / sqrt(m).

        After scales t <- the same and G z phi'(G z) / sqrt(m).
        """
        shape = layer.z.shape[-1], self.count
        gaussian = torch.randn(shape, generator=self.generator, dtype=layer.z.dtype)
        u = layer.z @ gaussian
        value, slope = with_slope(phi, u)
        first, second = self._joined([layer.t], True), self._joined([slope], True)
        product = torch.fft.rfft(first) * torch.fft.rfft(second)
        t = torch.fft.irfft(product, self.count)
        t = torch.cat([t, u * slope], -1) if scaled else t
        return Sketched(value / self.count**0.5, t / self.count**0.5)

    def summed(self, a: Sketched, b: Sketched) -> Sketched:
        """Both branches, joined."""
        return Sketched(self._joined([a.z, b.z]), self._joined([a.t, b.t]))

    def scaled(self, layer: Sketched, factor: float) -> Sketched:
        """c z, c t."""
        return layer.mapped(lambda of: factor * of)

    def _joined(self, parts: Sequence[Tensor], always: bool = False) -> Tensor:
        """Side by side where that is `count` numbers or fewer, otherwise their count sketch."""
        if not always and sum(part.shape[-1] for part in parts) <= self.count:
            return torch.cat(list(parts), -1)
        found = parts[0].new_zeros(*parts[0].shape[:-1], self.count)
        for part in parts:
            size = part.shape[-1:]
            where = torch.randint(self.count, size, generator=self.generator)
            signs = torch.randint(2, size, generator=self.generator) * 2 - 1
            found.index_add_(-1, where, part * signs)
        return found
