"""Patches of images: im2col by stacking shifted views.

    U[n, c k, t] = X[n, c, t * stride + k * dilation - padding]

Several times faster than `torch.nn.functional.unfold` on few channels.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Pair = tuple[int, int]


class Window(NamedTuple):
    """The geometry of a 2-d convolution, (height, width) each."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @classmethod
    def of(cls, kernel: Sequence[int], *sizes: int | Sequence[int]) -> "Window":
        """From what `conv2d` takes: stride, padding and dilation, as one number or a pair."""
        pairs = ((s, s) if isinstance(s, int) else (s[0], s[1]) for s in sizes)
        return cls((kernel[0], kernel[1]), *pairs)

    def positions(self, size: Sequence[int]) -> Pair:
        """Height and width of the output for an input of this height and width."""
        height, width = (
            (size[a] + 2 * self.padding[a] - self.dilation[a] * (self.kernel[a] - 1) - 1)
            // self.stride[a]
            + 1
            for a in (0, 1)
        )
        return height, width

    def flipped_padding(self) -> Pair:
        """The padding of the convolution with the flipped kernel that undoes this one."""
        vertical, horizontal = (
            self.dilation[a] * (self.kernel[a] - 1) - self.padding[a] for a in (0, 1)
        )
        return vertical, horizontal

    def views(self, padded: Float[Tensor, "n c h w"], positions: Pair) -> Iterator[Tensor]:
        """For each offset of the kernel, the pixels that it meets at every position."""
        for u in range(self.kernel[0]):
            for v in range(self.kernel[1]):
                rows, columns = (
                    slice(k * d, k * d + (p - 1) * s + 1, s)
                    for k, d, p, s in zip(
                        (u, v), self.dilation, positions, self.stride, strict=True
                    )
                )
                yield padded[:, :, rows, columns]


def patches(x: Float[Tensor, "n c h w"], window: Window) -> Float[Tensor, "n ck t"]:
    """U; a view of X for a 1x1 kernel that moves pixel by pixel."""
    if window == Window((1, 1), (1, 1), (0, 0), (1, 1)):
        return x.flatten(2)
    vertical, horizontal = window.padding
    padded = F.pad(x, (horizontal, horizontal, vertical, vertical))
    views = list(window.views(padded, window.positions(x.shape[2:])))
    return torch.stack(views, 2).flatten(3).flatten(1, 2)
