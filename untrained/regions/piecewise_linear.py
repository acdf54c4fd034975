"""Piecewise-linear activations: where their pieces meet, for every such function of torch.

An activation is a set of units, each of which takes the largest of k rivals that are affine in
what comes before: max(0, z) for ReLU, the entries of a window for max-pooling. Which rival wins is
the unit's piece.

Known, as modules, functions or methods, in place or not: ReLU, LeakyReLU, PReLU, RReLU in `eval`,
ReLU6, Hardtanh, Hardsigmoid, Threshold, Hardshrink, Softshrink, `abs`, `sign`, `heaviside`,
`clamp` and `clip` with numbers or tensors, `maximum`, `minimum`, `max`, `min`, `amax`, `amin`,
max-pooling, adaptive too, and comparisons such as `x > 0`, for what is made of them by a product
or by `where`. Refused: sorting, ranking and rounding, whose pieces are not followed. Hardswish is
quadratic between its breakpoints, and so has no pieces.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket

from untrained.networks.interception import Function

Number = float | int
Bound = Tensor | Number


@dataclass(frozen=True)
class PiecewiseLinear(ABC):
    """Units that are each on one of several affine pieces; their first dimension is the batch."""

    x: Tensor
    "What the units act on, one row for each input."

    @abstractmethod
    def pieces(self) -> Iterator[Bool[Tensor, "n ..."] | Int[Tensor, "n ..."]]:
        """The piece that each unit is on, in one or several parts."""

    @abstractmethod
    def rivals(self) -> Iterator[Float[Tensor, "n ... k"]]:
        """For each part, the affine functions of which the largest decides it."""


@dataclass(frozen=True)
class Comparison(PiecewiseLinear):
    """Which of some bounds x is above."""

    bounds: tuple[Bound, ...]

    def pieces(self) -> Iterator[Bool[Tensor, "n ..."]]:
        yield from (self.x > bound for bound in self.bounds)

    def rivals(self) -> Iterator[Float[Tensor, "n ... k"]]:
        for bound in self.bounds:
            bound = torch.as_tensor(bound, dtype=self.x.dtype, device=self.x.device)
            yield torch.stack(torch.broadcast_tensors(self.x, bound), -1)


@dataclass(frozen=True)
class Largest(PiecewiseLinear):
    """Which entry along some dimensions is the largest; none stands for all of them."""

    dims: tuple[int, ...]

    def pieces(self) -> Iterator[Int[Tensor, "n ..."]]:
        yield from (rivals.argmax(-1) for rivals in self.rivals())

    def rivals(self) -> Iterator[Float[Tensor, "n ... k"]]:
        dims = sorted({dim % self.x.ndim for dim in self.dims or range(self.x.ndim)})
        if 0 in dims:
            raise ValueError("a maximum over the batch couples its examples: they have no regions")
        last = range(self.x.ndim - len(dims), self.x.ndim)
        yield self.x.movedim(dims, tuple(last)).flatten(last[0])


@dataclass(frozen=True)
class Pooling(PiecewiseLinear):
    """Which entry of each window is the largest."""

    pool: Callable[[Tensor], tuple[Tensor, Tensor]]
    "The pooling itself: values, and where in the image they stood."
    spatial: int
    "How many dimensions the image has."
    windows: Callable[[int, int, int], list[range]]
    "(dimension, size, windows along it) -> the positions that each window covers."

    def pieces(self) -> Iterator[Int[Tensor, "n ..."]]:
        yield self.pool(self.x)[1]

    def rivals(self) -> Iterator[Float[Tensor, "n ... k"]]:
        pooled = self.pool(self.x)[0].shape[-self.spatial :]
        index = torch.zeros(1, 1, dtype=torch.int64)
        sizes = self.x.shape[-self.spatial :]
        for dim, (size, count) in enumerate(zip(sizes, pooled, strict=True)):
            inside = [
                [i for i in window if 0 <= i < size] for window in self.windows(dim, size, count)
            ]
            # Windows cut short by the border repeat an entry, which changes no maximum.
            longest = max(map(len, inside))
            along = torch.tensor([row + row[:1] * (longest - len(row)) for row in inside])
            index = (index[:, None, :, None] * size + along[:, None]).flatten(2).flatten(0, 1)
        yield self.x.flatten(-self.spatial)[..., index.to(self.x.device)]


def activation_of(
    func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> PiecewiseLinear | None:
    """What one call of a torch function computes; None if no such activation is known.

    Nor is it one of parameters, or of numbers that are not floating-point: they are not of the
    input.

    Raises:
        ValueError: an activation that is not finite, a maximum over the batch, or pieces that are
            not followed.
    """
    if func in ACTIVATIONS:
        activation = ACTIVATIONS[func](*args, **kwargs)
    elif isinstance(func, OpOverload | OpOverloadPacket):
        known = ATEN.get(func.__name__.partition(".")[0])
        if known is None:
            return None
        activation = known(*args, **kwargs)
    else:
        return None
    if isinstance(activation.x, nn.Parameter) or not activation.x.is_floating_point():
        return None
    if activation.x.numel() and not torch.stack(activation.x.aminmax()).isfinite().all():
        raise ValueError("an activation is NaN or infinite: it lies in no region")
    return activation


Arguments = Any
"""What stands in a signature for arguments that move no breakpoint."""


def _at_zero(input: Tensor, *_: Arguments, **__: Arguments) -> PiecewiseLinear:
    return Comparison(input, (0,))


def _between(low: Number, high: Number) -> Callable[..., PiecewiseLinear]:
    return lambda input, *_, **__: Comparison(input, (low, high))


def _hardtanh(
    input: Tensor, min_val: Number = -1.0, max_val: Number = 1.0, inplace: bool = False
) -> PiecewiseLinear:
    return Comparison(input, (min_val, max_val))


def _shrink(input: Tensor, lambd: Number = 0.5, **_: Arguments) -> PiecewiseLinear:
    return Comparison(input, (-lambd, lambd))


def _threshold(
    input: Tensor, threshold: Number, *_: Arguments, **__: Arguments
) -> PiecewiseLinear:
    return Comparison(input, (threshold,))


def _clamp(
    input: Tensor, min: Bound | None = None, max: Bound | None = None, **_: Arguments
) -> PiecewiseLinear:
    return Comparison(input, tuple(bound for bound in (min, max) if bound is not None))


def _other(input: Tensor, other: Tensor, **_: Arguments) -> PiecewiseLinear:
    if isinstance(input, nn.Parameter):
        input, other = other, input
    shape = torch.broadcast_shapes(input.shape, other.shape)
    return Comparison(input if input.shape == shape else input.expand(shape), (other,))


def _compared(input: Tensor, other: Bound, **_: Arguments) -> PiecewiseLinear:
    return _other(input, other) if isinstance(other, Tensor) else Comparison(input, (other,))


def _unfollowed(name: str) -> Callable[..., PiecewiseLinear]:
    def refuse(input: Tensor, *_: Arguments, **__: Arguments) -> PiecewiseLinear:
        if input.is_floating_point() and not isinstance(input, nn.Parameter):
            raise ValueError(
                f"{name} has pieces that are not followed: expected ReLU, max-pooling, "
                f"comparisons and their kin, see untrained.regions.piecewise_linear"
            )
        return Comparison(input, ())

    return refuse


def _extreme(sign: int) -> Callable[..., PiecewiseLinear]:
    """`max` for 1 and `min` for -1, of two tensors or along dimensions."""

    def extreme(
        input: Tensor,
        dim: Tensor | int | Sequence[int] = (),
        keepdim: bool = False,
        *,
        other: Tensor | None = None,
        **_: Arguments,
    ) -> PiecewiseLinear:
        second = dim if other is None else other
        if isinstance(second, Tensor):
            return _other(input, second)
        dims = (second,) if isinstance(second, int) else tuple(second)
        return Largest(input if sign > 0 else -input, dims)

    return extreme


Sizes = int | Sequence[int]


def _pool(function: Function, spatial: int) -> Callable[..., PiecewiseLinear]:
    def activation(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> PiecewiseLinear:
        def windows(dim: int, size: int, count: int) -> list[range]:
            kernel, step, border, gap = (
                value if isinstance(value, int) else value[dim if len(value) > 1 else 0]
                for value in (kernel_size, stride or kernel_size, padding, dilation)
            )
            starts = (o * step - border for o in range(count))
            return [range(start, start + kernel * gap, gap) for start in starts]

        pool = partial(
            function,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
        )
        return Pooling(input, pool, spatial, windows)

    return activation


def _adaptive_pool(function: Function, spatial: int) -> Callable[..., PiecewiseLinear]:
    def activation(
        input: Tensor, output_size: Any, return_indices: bool = False
    ) -> PiecewiseLinear:
        def windows(dim: int, size: int, count: int) -> list[range]:
            return [range(o * size // count, -(-(o + 1) * size // count)) for o in range(count)]

        return Pooling(input, partial(function, output_size=output_size), spatial, windows)

    return activation


SUFFIXES = ("", "_", "_with_indices")


def _spellings(name: str) -> Iterator[Function]:
    """A function as `torch.nn.functional`, `torch` and `Tensor` know it, in place or not."""
    for owner, suffix in product((F, torch, Tensor), SUFFIXES):
        if hasattr(owner, name + suffix):
            yield getattr(owner, name + suffix)


# Names of functions -> what they compute, given their arguments.
_NAMED: dict[str, Callable[..., PiecewiseLinear]] = {
    "relu leaky_relu prelu rrelu abs absolute sign sgn signbit heaviside": _at_zero,
    "relu6": _between(0, 6),
    "hardsigmoid": _between(-3, 3),
    "hardtanh": _hardtanh,
    "hardshrink softshrink": _shrink,
    "threshold": _threshold,
    "clamp clip clamp_min": _clamp,
    "clamp_max": lambda input, max: _clamp(input, max=max),
    "maximum minimum fmax fmin": _other,
    "gt ge lt le greater greater_equal less less_equal": _compared,
    "__gt__ __ge__ __lt__ __le__": _compared,
    "max amax": _extreme(1),
    "min amin": _extreme(-1),
    "max_pool1d": _pool(F.max_pool1d_with_indices, 1),
    "max_pool2d": _pool(F.max_pool2d_with_indices, 2),
    "max_pool3d": _pool(F.max_pool3d_with_indices, 3),
    "adaptive_max_pool1d": _adaptive_pool(F.adaptive_max_pool1d_with_indices, 1),
    "adaptive_max_pool2d": _adaptive_pool(F.adaptive_max_pool2d_with_indices, 2),
    "adaptive_max_pool3d": _adaptive_pool(F.adaptive_max_pool3d_with_indices, 3),
}
# What has pieces that are neither counted nor cut.
_UNFOLLOWED = (
    "numpy __array__ sort msort argsort topk kthvalue median nanmedian quantile mode argmax "
    "argmin cummax cummin round floor ceil trunc fix frac fmod remainder floor_divide bucketize "
    "searchsorted fake_quantize_per_tensor_affine fake_quantize_per_channel_affine"
)
_KNOWN: dict[str, Callable[..., PiecewiseLinear]] = {
    **{name: _unfollowed(name) for name in _UNFOLLOWED.split()},
    **{name: found for names, found in _NAMED.items() for name in names.split()},
}
ACTIVATIONS: dict[Function, Callable[..., PiecewiseLinear]] = {
    function: found for name, found in _KNOWN.items() for function in _spellings(name)
}
ATEN: dict[str, Callable[..., PiecewiseLinear]] = {
    name + suffix: found for name, found in _KNOWN.items() for suffix in SUFFIXES
}
"The same as torch.ops.aten knows them."
