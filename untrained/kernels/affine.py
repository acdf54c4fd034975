"""Whether a network in which no activation was seen is affine, or hides what it does.

f(w a + (1 - w) b) = w f(a) + (1 - w) f(b)    for batches a, b
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

SCALES = (1.0, -100.0)
"Of b, for inputs like those given, and for some beyond where activations saturate."
WEIGHT = 1 / 3
"w; unequal to 1 - w, as the chord of an odd function such as tanh meets it in the middle."
ROUNDING, COARSEST = 3e3, 0.02
"Multiples of the type's precision up to which a network is affine, and what is too much."


def check_affine(network: Callable[[Tensor], Any], x: Tensor) -> None:
    """Refuses a network that is not affine.

    Raises:
        ValueError: it is not; or it takes no floating-point numbers, or gives none, and so does
            not tell.
    """
    a = _numbers(network(x))
    if not x.is_floating_point() or not a.numel():
        raise ValueError(
            "no piecewise-linear activation was seen: expected one, such as ReLU, on inputs and "
            "outputs that are floating-point tensors"
        )
    eps = torch.finfo(x.dtype).eps
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    y = x.flip(0) + noise.to(x.device) * (x.abs().mean() + 1)
    for scale in SCALES:
        y = scale * y
        b, between = _numbers(network(y)), _numbers(network(WEIGHT * x + (1 - WEIGHT) * y))
        error = (between - WEIGHT * a - (1 - WEIGHT) * b).abs().max()
        size = (b - a).abs().max()
        largest = torch.maximum(a.abs().max(), b.abs().max())
        allowed = min(ROUNDING * eps, COARSEST) * size + min(100 * eps, COARSEST) * largest
        if not error <= allowed:
            raise ValueError(
                "no piecewise-linear activation was seen, yet the network is not affine: its "
                "activations are smooth, such as tanh, or out of sight, such as in code of "
                "another language; expected ReLU or its kin, see untrained.kernels.bends"
            )


def _numbers(outputs: Any) -> Tensor:
    """All floating-point numbers that a network gives, in float64."""
    found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor) and t.is_floating_point()]
    parts = [t.detach().flatten().double() for t in found]
    return torch.cat(parts) if parts else torch.empty(0)
