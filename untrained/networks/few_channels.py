"""Convolutions of few channels with faster gradients, for passes that go backward many times.

    dX = D * flipped(W),    dW = sum_{i, t} D_i[t] U_i[t]^T

with U the patches of X. Libraries compute with blocks of 16 channels, full or not; on 3 channels
these two formulas take a sixth of the time (measured on two cores).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from untrained.networks.interception import Function, Interception
from untrained.networks.patches import Window, patches

FEW_CHANNELS = 16
"Below so many, on a CPU."


class ConvolutionCall(NamedTuple):
    """The arguments of `torch.nn.functional.conv1d` to `conv3d`, by their own names."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: int | Sequence[int] = 1
    padding: int | str | Sequence[int] = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1

    @property
    def window(self) -> Window:
        """Its geometry, where the padding is not in words."""
        assert not isinstance(self.padding, str)
        return Window.of(self.weight.shape[2:], self.stride, self.padding, self.dilation)


def fits(x: Tensor, window: Window, groups: int) -> bool:
    """Whether the formulas hold, for batches and strides of 1, and are faster."""
    return (
        x.is_cpu
        and x.ndim == 2 + len(window.kernel)
        and groups == 1
        and x.shape[1] < FEW_CHANNELS
        and set(window.stride) == {1}
        and min(window.flipped_padding()) >= 0
    )


class FewChannels(Interception):
    """Inside, 2-d convolutions of few channels go by the formulas."""

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func is not F.conv2d:
            return func(*args, **kwargs)
        return convolution(F.conv2d, ConvolutionCall(*args, **kwargs))


def convolution(convolve: Callable[..., Tensor], asked: ConvolutionCall) -> Tensor:
    """`convolve` of these arguments, by the formulas where they are faster."""
    if not isinstance(asked.padding, str):
        x, weight, bias, *_, groups = asked
        differentiated = x.requires_grad or weight.requires_grad
        if differentiated and fits(x, asked.window, groups):
            return FewConvolution.apply(convolve, x, weight, bias, asked.window)
    return convolve(*asked)


def _input_gradient(
    convolve: Callable[..., Tensor], d: Tensor, weight: Tensor, window: Window
) -> Tensor:
    """D * flipped(W)"""
    if window.trivial:
        return weight.flatten(1).T @ d.flatten(2)
    flipped = weight.flip(tuple(range(2, weight.ndim))).transpose(0, 1).contiguous()
    return convolve(d, flipped, None, 1, window.flipped_padding(), window.dilation)


class FewConvolution(torch.autograd.Function):
    """A convolution of stride 1, in any number of dimensions."""

    @staticmethod
    def forward(
        ctx: Any,
        convolve: Callable[..., Tensor],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        window: Window,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.convolve, ctx.window, ctx.patches = convolve, window, None
        return convolve(x, weight, bias, 1, window.padding, window.dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d = gradients[0]
        x, weight = ctx.saved_tensors
        window: Window = ctx.window
        dx = dw = db = None
        if ctx.needs_input_grad[1]:
            dx = _input_gradient(ctx.convolve, d, weight, window).view_as(x)
        if ctx.needs_input_grad[2]:
            if ctx.patches is None:  # once for all backward passes
                ctx.patches = patches(x.contiguous(), window, tuple(d.shape[2:]))
            dw = torch.bmm(d.flatten(2), ctx.patches.mT).sum(0).view_as(weight)
        if ctx.needs_input_grad[3]:
            db = d.flatten(2).sum((0, 2))
        return None, dx, dw, db, None
