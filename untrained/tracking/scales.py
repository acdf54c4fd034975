"""By what an optimizer scales the step of each parameter, for the kernel that it uses."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from untrained.kernels import adam_scales

Scales = Callable[[nn.Module], Mapping[str, Tensor]]
"The diagonal of P of a network as it is now, by the names of its parameters."


def scaling(optimizer: torch.optim.Optimizer | Scales | None) -> tuple[Scales | None, str]:
    """The scales under an optimizer, and its name; neither of plain gradient descent.

    Raises:
        ValueError: an optimizer whose scales are not known.
    """
    if optimizer is None or isinstance(optimizer, torch.optim.SGD):
        return None, ""
    name = getattr(optimizer, "__name__", type(optimizer).__name__)
    if not isinstance(optimizer, torch.optim.Optimizer):
        return optimizer, name
    if not isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        raise ValueError(
            f"optimizer: expected SGD, Adam or AdamW, got {name}; give a function of the network "
            f"that returns its scale of each parameter's step"
        )
    return partial(adam_scales, optimizer=optimizer), name
