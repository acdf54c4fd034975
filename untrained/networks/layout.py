"""The order of weights and images in memory in which convolutions are fastest on a CPU."""

import torch
from torch import Tensor, nn

from untrained.networks.batchnorm import evaluating

LAYOUT = torch.channels_last


def channels_last(model: nn.Module, x: Tensor) -> bool:
    """Lays the model's weights out with channels last, unless it cannot take such inputs.

    Numbers change in their last bits. A model cannot that views its activations as vectors, or has
    a convolution of volumes, whose weights have no such order; it is given back with contiguous
    weights.

    Args:
        model: changed in place.
        x: one image or more, (n, c, h, w), to try it with.

    Returns:
        Whether it can.

    Example:
        >>> x = torch.zeros(1, 3, 4, 4)
        >>> channels_last(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), x)
        True
    """
    try:
        model.to(memory_format=LAYOUT)  # type: ignore[call-overload]  # torch's stub
        with evaluating(model), torch.no_grad():
            model(x.contiguous(memory_format=LAYOUT))
    except Exception:  # if it fails as built too, whoever uses it will say so
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return False
    return True
