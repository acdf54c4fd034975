"""Linear regions: how many activation patterns a batch of inputs falls into.

A network of piecewise-linear nonlinearities is linear on the set of inputs that share one pattern:
the piece that each neuron is on. Every input's pattern is hashed to 128 bits while the network
runs,

    h(x) = sum_m r_m piece_m(x) mod 2^64    (two independent random r),

so no pattern is ever held. Two different patterns collide with a probability of at most 2^-120.

Source: Montufar et al., "On the Number of Linear Regions of Deep Neural Networks", NeurIPS 2014,
https://arxiv.org/abs/1402.1869; as a count over samples, TE-NAS, https://arxiv.org/abs/2102.11535.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor, nn

from untrained.kernels.batchnorm import Policy, evaluating, policy_mode
from untrained.kernels.interception import Function, Interception


@dataclass(frozen=True)
class Regions:
    """Distinct activation patterns among a number of inputs."""

    count: int
    "A lower bound on the network's linear regions; equal to `inputs` when saturated."
    inputs: int
    neurons: int
    "Nonlinear units whose pieces make up a pattern; 0 means a linear network."

    @property
    def saturated(self) -> bool:
        """Whether every input fell into a region of its own, so that the count says little."""
        return self.count == self.inputs


def count_regions(model: nn.Module, x: Tensor, *, batchnorm: Policy = "running") -> Regions:
    """Counts the activation patterns of `model` on the inputs `x`.

    Covers ReLU, LeakyReLU, PReLU, ReLU6 and Hardtanh, as modules or functions; not yet maxima,
    clamps and max-pooling. The model is left as it was. With `batch` and `frozen` alike, BatchNorm
    uses the statistics of `x`.

    Raises:
        ValueError: an activation that is not finite, or a nonlinearity on something other than
            one row for each input.

    Example:
        >>> line = torch.linspace(-1, 1, 100)[:, None]
        >>> bend = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
        >>> count_regions(bend, line)
        Regions(count=2, inputs=100, neurons=1)
    """
    with evaluating(model), torch.no_grad(), _PatternHash(x) as patterns, policy_mode(batchnorm):
        model(x)
    hashes = patterns.hashes.cpu().numpy()
    hashes = hashes[np.lexsort(hashes.T)]
    count = int((hashes[1:] != hashes[:-1]).any(1).sum()) + (len(hashes) > 0)
    return Regions(count, len(x), patterns.neurons)


class _PatternHash(Interception):
    """Adds each nonlinearity's pieces to one 128-bit hash for each input."""

    def __init__(self, x: Tensor):
        super().__init__()
        self.neurons = 0
        self.hashes: Int64[Tensor, "n 2"] = torch.zeros(
            len(x), 2, dtype=torch.int64, device=x.device
        )

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func in BREAKPOINTS:
            x = args[0] if args else kwargs["input"]
            self._add(x, *BREAKPOINTS[func](*args, **kwargs))
        return func(*args, **kwargs)

    def _add(self, x: Tensor, *breakpoints: float) -> None:
        if len(x) != len(self.hashes):
            raise ValueError(
                f"expected nonlinearities on the batch of {len(self.hashes)}, got {len(x)} rows"
            )
        if not torch.isfinite(x).all():
            raise ValueError("an activation is NaN or infinite: it lies in no region")
        x = x.reshape(len(x), -1)
        pieces = (x[..., None] > torch.tensor(breakpoints, device=x.device)).sum(-1)
        r = torch.randint(
            -(2**63),
            2**63 - 1,
            (x.shape[1], 2),
            generator=torch.Generator().manual_seed(self.neurons),
        )
        # Products and sums, since CUDA has no matrix product of integers.
        self.hashes += torch.stack([(pieces * r_k).sum(1) for r_k in r.to(x.device).T], 1)
        self.neurons += x.shape[1]


def _hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> tuple[float, float]:
    return min_val, max_val


# Function -> where it bends, given its arguments.
BREAKPOINTS: dict[Callable[..., Any], Callable[..., tuple[float, ...]]] = {
    **dict.fromkeys(
        (
            F.relu,
            F.relu_,
            torch.relu,
            torch.relu_,
            Tensor.relu,
            Tensor.relu_,
            F.leaky_relu,
            F.leaky_relu_,
            F.prelu,
            torch.prelu,
            Tensor.prelu,
            F.rrelu,
        ),
        lambda *_, **__: (0.0,),
    ),
    F.relu6: lambda *_, **__: (0.0, 6.0),
    F.hardtanh: _hardtanh,
    F.hardtanh_: _hardtanh,
}
