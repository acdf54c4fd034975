"""Whether a network in which no activation was seen is affine, or hides what it does.

    f(w a + (1 - w) b) = w f(a) + (1 - w) f(b)    for batches a, b

in float64 if the network can be moved there, under constant statistics of BatchNorm.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from untrained.networks.batchnorm import FrozenStatistics, RunningStatistics
from untrained.networks.choices import Policy
from untrained.networks.foreign import DEVICE_ERRORS
from untrained.networks.jacobian import parameters_kept

SCALES = (1.0, -1e2, 1e5)
"Of b: like the inputs given, and beyond where activations saturate, on both sides."
WEIGHT = 1 / 3
"w; unequal to 1 - w, as the chord of an odd function such as tanh meets it in the middle."
ROUNDING, COARSEST = 3e3, 0.02
"Multiples of the type's precision up to which a network is affine, and what is too much."


def check_affine(model: nn.Module, x: Tensor, batchnorm: Policy) -> None:
    """Refuses a network that is not affine.

    Args:
        model: in `eval` mode.
        x: inputs that it takes.
        batchnorm: the policy; statistics of a batch are those of x.

    Raises:
        ValueError: it is not; or it takes no floating-point numbers, or gives none, and so does
            not tell.
    """
    if x.is_floating_point():
        try:
            _check(_network(model, torch.float64, batchnorm), x.double(), torch.float64)
            return
        except (ValueError, *DEVICE_ERRORS):
            raise
        except Exception:  # it has numbers of another type inside, and says so in its own way
            pass
    _check(_network(model, x.dtype, batchnorm), x, x.dtype)


def _check(network: Callable[[Tensor], Tensor], x: Tensor, dtype: torch.dtype) -> None:
    a = network(x)
    if not dtype.is_floating_point or not a.numel():
        raise ValueError(
            "no piecewise-linear activation was seen: expected one, such as ReLU, on inputs and "
            "outputs that are floating-point tensors"
        )
    eps = torch.finfo(dtype).eps
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    other = x.flip(0) + noise.to(x.device) * (x.abs().mean() + 1)
    for scale in SCALES:
        y = scale * other
        b, between = network(y), network(WEIGHT * x + (1 - WEIGHT) * y)
        error = (between - WEIGHT * a - (1 - WEIGHT) * b).abs().max()
        size, largest = (b - a).abs().max(), torch.maximum(a.abs().max(), b.abs().max())
        allowed = min(ROUNDING * eps, COARSEST) * size + min(100 * eps, COARSEST) * largest
        if not error <= allowed:
            raise ValueError(
                "no piecewise-linear activation was seen, yet the network is not affine: its "
                "activations are smooth, such as tanh, or out of sight, such as in code of "
                "another language; expected ReLU or its kin, see "
                "untrained.regions.piecewise_linear"
            )


def _network(
    model: nn.Module, dtype: torch.dtype, batchnorm: Policy
) -> Callable[[Tensor], Tensor]:
    """f with its numbers in this type: all that it gives, in float64."""
    state = {
        name: value.detach().to(dtype) if value.is_floating_point() else value.clone()
        for name, value in (*model.named_parameters(), *model.named_buffers())
    }
    policy = RunningStatistics(model) if batchnorm == "running" else FrozenStatistics(model)

    def f(x: Tensor) -> Tensor:
        with parameters_kept(model), policy:
            policy.own.add(state)
            outputs = functional_call(model, state, (x.clone(),))
        return _numbers(outputs)

    return f


def _numbers(outputs: Any) -> Tensor:
    """All floating-point numbers that a network gives, in float64."""
    found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor) and t.is_floating_point()]
    parts = [t.detach().flatten().double() for t in found]
    return torch.cat(parts) if parts else torch.empty(0)
