"""The gradient of the loss of a batch, by one forward and one backward pass.

    L = 1/n sum_i -log softmax(f(x_i))[y_i],    g = dL / dw,    w the weights

Weights are the trainable parameters of two dimensions or more: those of convolutions and linear
layers, whatever their names, and not the scales and biases of normalisation. A weight that layers
share counts once, with its whole gradient; one that no path leads from to the output has g = 0.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from untrained.images.probe import Probe
from untrained.networks.batchnorm import BatchNormPolicy, evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.interception import Function, Interception, gradients
from untrained.networks.readout import flattened
from untrained.networks.recomputing import none_left_out
from untrained.networks.unwrapping import differentiable
from untrained.scores.score import View


class ChannelGradient(NamedTuple):
    """What the channels of one output a of a layer have to do with the loss."""

    products: Float[Tensor, "n c"]
    "sum_t a[i, c, t] dL / da[i, c, t] over positions t."
    weights: int
    "How many weights lead to a channel."


class LossGradient(NamedTuple):
    """Weights, the gradient of the loss, and what channels have to do with it."""

    weights: dict[str, Tensor]
    "Every trainable parameter, by name."
    gradients: dict[str, Tensor]
    "dL / d each of them; zeros where the loss does not depend on it."
    channels: tuple[ChannelGradient, ...]
    "Of each output of a convolution or linear layer."

    def pairs(self) -> Iterable[tuple[Tensor, Tensor]]:
        """w and g of each weight, in float64."""
        for name, w in self.weights.items():
            if w.ndim > 1:
                yield w.double(), self.gradients[name].double()


@dataclass(frozen=True)
class LossGradientView(View):
    """The gradient of the loss of the whole probe, as of one batch."""

    batchnorm: Policy

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> LossGradient:
        network = differentiable(network, self.batchnorm)
        theta = trainable(network)
        outputs = MapOutputs(len(probe.inputs))
        with differentiating(network, policy_mode(self.batchnorm, network)):
            with outputs:
                loss = loss_of(network, probe.inputs, probe.labels)
            a = [each.output for each in outputs.found]
            found = derivatives(loss, [*theta.values(), *a])
        return LossGradient(
            {name: p.detach() for name, p in theta.items()},
            dict(zip(theta, found, strict=False)),
            tuple(map(MapOutput.channels, outputs.found, found[len(theta) :])),
        )


@contextmanager
def differentiating(network: nn.Module, policy: BatchNormPolicy) -> Iterator[None]:
    """Inside, passes in evaluation mode can be differentiated, whatever holds outside."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        none_left_out(),
        evaluating(network),
        policy,
    ):
        yield


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters, by name.

    Raises:
        ValueError: there is none.
    """
    found = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("expected a network with trainable parameters, got one without any")
    return found


def trainable_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Those of two dimensions or more, by name.

    Raises:
        ValueError: there is none.
    """
    found = {name: p for name, p in trainable(network).items() if p.ndim > 1}
    if not found:
        raise ValueError(
            "expected a network with trainable parameters of two dimensions or more, got vectors "
            "alone"
        )
    return found


def loss_of(network: nn.Module, x: Tensor, labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """L, the mean cross-entropy of a batch."""
    return F.cross_entropy(flattened(network(x.clone()), len(x)), labels.clone())


def derivatives(value: Tensor, tensors: Sequence[Tensor], **how: Any) -> tuple[Tensor, ...]:
    """d value / d each tensor, zeros where there is none.

    Raises:
        ValueError: it depends on none of them.
    """
    if not value.requires_grad:
        raise ValueError(
            "the loss does not depend on the parameters: expected a network that autograd can "
            "differentiate"
        )
    return gradients(value, tensors, materialize_grads=True, **how)


MAPS: Mapping[Function, int] = {
    **{getattr(F, f"conv{how}{d}d"): 1 for how in ("", "_transpose") for d in (1, 2, 3)},
    F.linear: -1,
}
"Functions that apply a weight, and the dimension of their outputs that the channels are in."


class MapOutput(NamedTuple):
    """What one call of a convolution or linear layer gave."""

    output: Float[Tensor, "n ..."]
    dimension: int
    "That its channels are in."
    weight: Tensor

    def channels(self, gradient: Float[Tensor, "n ..."]) -> ChannelGradient:
        """What its channels have to do with a loss of this gradient."""
        products = (self.output.detach() * gradient).movedim(self.dimension, 1)
        summed = products.flatten(1) if products.ndim == 2 else products.flatten(2).sum(2)
        return ChannelGradient(summed, self.weight.numel() // summed.shape[1])


class MapOutputs(Interception):
    """Keeps what convolutions and linear layers give, as modules or as functions.

    The network goes on with a copy, so that an activation in place changes nothing that is kept.
    """

    def __init__(self, examples: int) -> None:
        super().__init__()
        self.examples = examples
        self.found: list[MapOutput] = []
        "Those with a row for each example."

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        output = func(*args, **kwargs)
        if func not in MAPS or not output.requires_grad or len(output) != self.examples:
            return output
        weight = kwargs["weight"] if "weight" in kwargs else args[1]
        self.found.append(MapOutput(output, MAPS[func], weight))
        return output.clone()
