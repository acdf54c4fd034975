"""The slope of what acts on each entry by itself, such as an activation, wherever images put it.

    J^T v = v * J^T 1   for a random v   <=>   J is diagonal,   and then J^T 1 are the slopes

So an activation is known by what it does, not by its name, and its slopes are its own derivative.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

FLAT = 0.01
"""A slope below this passes less than a hundredth of a gradient: tanh has it beyond 3, the
logistic function beyond 4.6, ReLU below 0."""


class Slope(NamedTuple):
    """How much of a gradient passes an activation."""

    rms: float
    "Root mean square of the slopes."
    flat: float
    "Share of entries whose slope is below `FLAT`."
    dead: float
    "Share of units, channels or features, that are flat at every position of every image."
    units: int
    mean: float
    "Of what enters."
    entering: float
    "Root mean square of what enters."


def slope_of(
    function: Callable[[Tensor], Tensor], x: Tensor, axis: int, generator: torch.Generator
) -> Slope | None:
    """The slopes of a function at x; None if it does not act entry by entry, or is linear.

    Args:
        function: of a tensor that requires a gradient; it may change that in place.
        x: what enters it.
        axis: of x that counts units.
        generator: of v.

    Example:
        >>> x = torch.linspace(-10, 10, 21)[:, None]
        >>> slope_of(torch.tanh, x, 1, torch.Generator()).flat
        0.7619047619047619
        >>> slope_of(lambda t: 3 * t, x, 1, torch.Generator()) is None
        True
    """
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        output = function(leaf.clone())
        if not isinstance(output, Tensor) or output.shape != x.shape or not output.requires_grad:
            return None
        v = torch.randn(x.shape, generator=generator).to(output)
        plain, weighted = (
            torch.autograd.grad(output, leaf, each, retain_graph=True)[0]
            for each in (torch.ones_like(output), v)
        )
    if not torch.allclose(weighted, v * plain, rtol=1e-4, atol=1e-6) or _is_linear(plain):
        return None
    return _slope(plain.abs(), axis, x.double())


def _is_linear(slopes: Tensor) -> bool:
    return bool((slopes == slopes.flatten()[0]).all()) and bool(slopes.flatten()[0] != 0)


def _slope(slopes: Float[Tensor, "..."], axis: int, x: Tensor) -> Slope:
    flat = slopes < FLAT
    units = flat.movedim(axis, 0).flatten(1) if flat.ndim > 1 else flat[:, None]
    return Slope(
        slopes.double().square().mean().sqrt().item(),
        flat.double().mean().item(),
        units.all(1).double().mean().item(),
        len(units),
        x.mean().item(),
        x.square().mean().sqrt().item(),
    )
