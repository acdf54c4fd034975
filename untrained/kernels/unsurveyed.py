"""What is known of a network that cannot be surveyed: what a plain pass and autograd show of it.

A survey follows a network's calls, and some networks cannot be followed: they differentiate
themselves, compute parts again, or are not Python's. The loop needs none of it. With a second
batch, examples must be independent, which gradients tell by themselves.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from untrained.kernels.choice import INDEPENDENT
from untrained.kernels.products import DETACHED
from untrained.kernels.verification import check_batches
from untrained.layerwise.influence import Coupled
from untrained.layerwise.survey import Survey
from untrained.networks.batchnorm import BatchNormPolicy, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import first_line, foreign
from untrained.networks.readout import flattened, make_readout
from untrained.networks.recomputing import requiring


def unsurveyed(
    model: nn.Module,
    x1: Tensor,
    parts: tuple[Tensor, Tensor] | None,
    policy: BatchNormPolicy,
    chosen: Mapping[str, nn.Parameter],
    error: Exception,
) -> tuple[Survey, dict[str, str]]:
    """What one plain pass shows, of a network whose survey raised an error.

    Examples count as coupled unless gradients of two parts show that they are not.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    sizes = _Sizes()
    try:
        with foreign(x1), policy, torch.enable_grad(), sizes:
            outputs = flattened(model(requiring(x1)), len(x1))
    except ValueError as refusal:
        raise (error if isinstance(error, ValueError) else refusal) from error
    n = len(x1)
    found = Survey(
        sites=(),
        outputs=outputs.shape[1],
        coupled=parts is None or not _independent(model, parts, outputs, policy, chosen),
        uses={},
        obstacle="",
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
    model: nn.Module,
    parts: tuple[Tensor, Tensor],
    outputs: Float[Tensor, "n k"],
    policy: BatchNormPolicy,
    chosen: Mapping[str, nn.Parameter],
) -> bool:
    """Whether examples of two parts have the same gradients together as apart."""
    readout = make_readout("sum", outputs.shape[1], outputs)
    try:
        with foreign(torch.cat(parts)):
            check_batches(model, *parts, readout, policy, chosen)
    except Coupled:
        return False
    return True


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
    with policy_mode(batchnorm, model), torch.enable_grad():
        outputs = flattened(model(x.clone()), len(x))
    if not outputs.requires_grad:
        raise ValueError(DETACHED)
