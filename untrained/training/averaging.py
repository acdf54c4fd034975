"""A moving average of a network's weights over the steps of its training."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def start_average(network: nn.Module, decay: float) -> AveragedModel:
    """An average that `update_parameters` takes the network into after each step.

    With the weights θ after step t, counted from 0, and BatchNorm's statistics alike:

        θ̄_0 = θ_0
        θ̄_t = d_t θ̄_(t-1) + (1 - d_t) θ_t,    d_t = min(decay, (1 + t) / (10 + t))

    The decay grows, so that a short training does not keep its first weights.

    Source:
        Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; the growth
        is that of TensorFlow's ExponentialMovingAverage.
    """

    def take_in(averaged: Tensors, present: Tensors, count: Tensor | int) -> None:
        t = int(count)
        d = min(decay, (1 + t) / (10 + t))
        for mean, theta in zip(averaged, present, strict=True):
            if mean.is_floating_point():
                mean.lerp_(theta, 1 - d)
            else:  # a count of batches
                mean.copy_(theta)

    return AveragedModel(network, multi_avg_fn=take_in, use_buffers=True)
