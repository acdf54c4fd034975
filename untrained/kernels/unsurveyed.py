"""What is known of a network that cannot be surveyed: what a plain pass and autograd show of it.

A survey follows a network's calls, and some networks cannot be followed: they differentiate
themselves, compute parts again, or are not Python's. The loop needs none of it. With a second
batch, examples must be independent, which autograd tells by itself,

    d sum_i c_i s_i / d theta    of the whole batch, and added up over two parts of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from untrained.kernels.batchnorm import BatchNormPolicy, Policy, policy_mode
from untrained.kernels.foreign import OUT_OF_MEMORY, first_line, foreign
from untrained.kernels.jacobian import differentiated, row_of
from untrained.kernels.products import DETACHED
from untrained.kernels.readout import flattened
from untrained.kernels.recomputing import requiring
from untrained.kernels.survey import Survey
from untrained.kernels.verification import INDEPENDENT, surveyed


def known(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None,
    batchnorm: Policy,
    chosen: Mapping[str, nn.Parameter],
    apart: bool = False,
) -> tuple[Survey, dict[str, str]]:
    """What is known of a network, surveyed or not, and why some methods do not apply to it.

    Args:
        model: in `eval` mode.
        x1: examples.
        x2: those of a second batch, which must be independent of the first.
        batchnorm: the policy.
        chosen: the parameters asked for.
        apart: whether the examples of x1 are to be shown in parts, for the same condition.

    Raises:
        ValueError: inputs that the network does not take, outputs that are not one tensor with a
            row for each example, or examples that depend on each other where they must not.
    """
    try:
        found, why = surveyed(model, x1, batchnorm, chosen)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # a network's own code may raise anything at all
        found, why = _unsurveyed(model, x1, x2, policy_mode(batchnorm), chosen, apart, error)
    if found.coupled and (apart or x2 is not None):
        raise ValueError(
            "the examples of a batch influence each other: expected chunk=None and x2=None, got "
            + ("parts of one batch" if x2 is None else "a second batch")
        )
    return found, why


def _unsurveyed(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None,
    policy: BatchNormPolicy,
    chosen: Mapping[str, nn.Parameter],
    apart: bool,
    error: Exception,
) -> tuple[Survey, dict[str, str]]:
    """What one plain pass shows, of a network whose survey raised an error."""
    sizes = _Sizes()
    try:
        with foreign(x1), policy, torch.enable_grad(), sizes:
            outputs = flattened(model(requiring(x1)), len(x1))
    except ValueError as refusal:
        raise (error if isinstance(error, ValueError) else refusal) from error
    coupled = not (apart or x2 is not None)  # unknown, and so taken for true
    if not coupled:
        x = x1 if x2 is None else torch.cat([x1, x2])
        ones = outputs.new_ones(outputs.shape[1], 1)
        with foreign(x):
            coupled = not _independent(model, x, ones, policy, [*chosen.values()])
    n = len(x1)
    found = Survey(
        sites=(),
        outputs=outputs.shape[1],
        coupled=coupled,
        uses={},
        obstacle="",
        complete=False,
        forward_bytes=sizes.total // n,
        widest_bytes=sizes.widest // n,
        kept_bytes={},
        weights=(),
        macs=0,
        calls=sizes.calls,
        rich=False,
    )
    return found, dict.fromkeys(INDEPENDENT, f"it cannot be surveyed: {first_line(error)}")


def _independent(
    model: nn.Module, x: Tensor, ones: Tensor, policy: BatchNormPolicy, tensors: Sequence[Tensor]
) -> bool:
    """Whether two parts of a batch add up to the gradient that the whole has."""
    c = (torch.rand(len(x), generator=torch.Generator().manual_seed(0)) + 0.5).to(x.device)

    def gradient(part: slice) -> Tensor:
        """d sum_i c_i s_i / d theta, over a part of the examples."""
        with differentiated(model, x[part], ones, policy) as (s, derivatives):
            if not s.requires_grad:
                return torch.zeros(1, dtype=torch.float64, device=x.device)
            found = derivatives((s[:, 0].double() * c[part]).sum(), tensors)
            return torch.cat([row_of(d).double() for d in found])

    if len(x) < 2:
        return True
    whole, parts = gradient(slice(None)), gradient(slice(0, None, 2)) + gradient(slice(1, None, 2))
    eps = max(torch.finfo(t.dtype).eps for t in tensors)
    return bool((whole - parts).norm() <= max(1e-3, 30 * eps) * whole.norm())


class _Sizes(TorchDispatchMode):
    """Adds up what a pass makes, whoever calls the operations."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.widest = self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        self.calls += 1
        for t in () if func.is_view else tree_leaves(made):
            if isinstance(t, Tensor) and t.layout is torch.strided:
                self.total += t.nbytes
                self.widest = max(self.widest, t.nbytes)
        return made


def check_differentiable(model: nn.Module, x: Tensor, batchnorm: Policy) -> None:
    """Refuses outputs that no gradient leaves, whose kernel of zeros would say nothing.

    Raises:
        ValueError: they do not require gradients.
    """
    with policy_mode(batchnorm), torch.enable_grad():
        outputs = flattened(model(x.clone()), len(x))
    if not outputs.requires_grad:
        raise ValueError(DETACHED)
