"""The Jacobian from one forward and one backward pass of the whole batch.

Where examples do not influence each other, the gradient of sum_i s_i with respect to a layer's
output holds each example's own gradient D_i. A layer that is linear in its parameters turns D_i
and its input X_i into that example's rows of J:

    linear       J_i = D_i X_i^T
    convolution  J_i = sum_t D_i[t] U_i[t]^T          (t: positions, U: patches of X)
    BatchNorm    J_i = sum_t D_i[t] (X_i[t] - mean) / sqrt(var + eps)

and J_i = sum_t D_i[t] for a bias. So n examples cost about as much as one training step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.grad import conv2d_weight

from untrained.kernels.batchnorm import BatchNormCall, BatchNormPolicy, BatchStatistics
from untrained.kernels.interception import Function
from untrained.kernels.jacobian import Jacobian, Swapped, summed
from untrained.kernels.patches import Window, patches


class Unstructured(ValueError):
    """A parameter is used in a way that this method has no formula for."""


def structured(
    model: nn.Module,
    x: Tensor,
    parameters: Mapping[str, nn.Parameter],
    policy: BatchNormPolicy,
) -> Jacobian:
    """J for networks of 2-d convolutions, linear layers and BatchNorm, with anything between.

    Raises:
        Unstructured: a parameter meets another operation, or a layer that does not see the
            batch as its first dimension.
        ValueError: under batch statistics, which couple the examples.
    """
    if isinstance(policy, BatchStatistics):
        raise ValueError(
            "method 'structured' needs independent examples: expected batchnorm='frozen' or "
            "'running', got 'batch'; use method='loop'"
        )
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}
    recorder = _Recorder({name: theta[name] for name in parameters}, model, len(x))
    with torch.enable_grad():
        with recorder, policy:
            s = summed(functional_call(model, theta, (x.detach(),)), len(x))
        if recorder.leaves and s.requires_grad:
            torch.autograd.backward(s.sum(), inputs=recorder.leaves)
    return {
        name: recorder.rows.get(name, theta[name].new_zeros(len(x), theta[name].numel()))
        for name in parameters
    }


Rows = Callable[[Float[Tensor, "n ..."]], Float[Tensor, "n ..."]]


class Layer(NamedTuple):
    """A layer's output, and the rows of J that its parameters get from a gradient D."""

    output: Tensor
    kept: Tensor
    "The input X, from which rows are computed."
    rows: tuple[tuple[Tensor | None, Rows], ...]


class _Recorder(Swapped):
    """Hooks the output of every layer that uses a parameter, and keeps that parameter's rows."""

    def __init__(self, theta: Mapping[str, Tensor], model: nn.Module, examples: int):
        super().__init__(model)
        self.names = {id(tensor): name for name, tensor in theta.items()}
        self.examples = examples
        self.leaves: list[Tensor] = []
        self.rows: Jacobian = {}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not self._uses([*args, *kwargs.values()]):
            return super().call(func, args, kwargs)
        name = getattr(func, "__name__", str(func))
        if name in _READS:
            value = func(*args, **kwargs)
            if not isinstance(value, Tensor):  # a shape, a type; but `weight.T` is a use
                return value
        if func not in LAYERS:
            raise Unstructured(
                f"method 'structured' has no formula for parameters in {name!r}; use method='vmap'"
            )
        layer = LAYERS[func](*args, **kwargs)
        if len(layer.output) != self.examples:
            raise Unstructured(
                f"{name!r} sees {len(layer.output)} rows where the batch has {self.examples} "
                f"examples; use method='vmap'"
            )
        return self._hook(layer)

    def _uses(self, arguments: Sequence[Any]) -> bool:
        lists = (a for a in arguments if type(a) in (list, tuple))
        return not self.names.keys().isdisjoint(map(id, arguments)) or any(map(self._uses, lists))

    def _hook(self, layer: Layer) -> Tensor:
        """Adds the layer's rows once the backward pass brings the gradient of its output."""
        output, kept, terms = layer  # the hook must not hold the output, which holds the hook
        if not output.requires_grad:
            leaf = output.requires_grad_()
            self.leaves.append(leaf)
            output = leaf.clone()  # a network may change it in place; a leaf forbids that
        version = kept._version

        def add(d: Tensor) -> None:
            if kept._version != version:
                raise Unstructured("the input of a layer was changed in place; use method='vmap'")
            for tensor, rows in terms:
                name = self.names.get(id(tensor))
                if name is not None:
                    block = rows(d).flatten(1)
                    self.rows[name] = self.rows[name] + block if name in self.rows else block

        output.register_hook(add)
        return output


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Layer:
    x = input
    if x.ndim != 2:
        # Sequence-first layouts look the same; rows of the wrong thing would pass unnoticed.
        raise Unstructured(
            f"method 'structured' needs linear layers on (n, features), got {tuple(x.shape)}; "
            f"use method='vmap'"
        )
    kept = x.detach()
    return Layer(
        F.linear(x, weight, bias),
        kept,
        ((weight, lambda d: d[:, :, None] * kept[:, None, :]), (bias, lambda d: d)),
    )


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | str | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Layer:
    if isinstance(padding, str):
        raise Unstructured("method 'structured' needs padding in pixels; use method='vmap'")
    x, kept = input, input.detach()
    few = groups == 1 and x.shape[1] < FEW_CHANNELS
    window = Window.of(weight.shape[2:], stride, padding, dilation)

    def weight_rows(d: Tensor) -> Tensor:
        if few:
            return d.flatten(2) @ patches(kept, window).mT
        # One weight gradient of a convolution that has a group for each example.
        n, shape = len(kept), (len(kept) * weight.shape[0], *weight.shape[1:])
        d, x = d.flatten(0, 1)[None], kept.flatten(0, 1)[None]
        rows = conv2d_weight(x, shape, d, stride, padding, dilation, n * groups)
        return rows.unflatten(0, (n, -1))

    if few and window.stride == (1, 1) and min(window.flipped_padding()) >= 0:
        output = _FlippedConvolution.apply(x, weight, bias, window)
    else:
        output = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    return Layer(output, kept, ((weight, weight_rows), (bias, lambda d: d.sum((2, 3)))))


# Measured on two cores: on 3 to 12 channels, explicit patches and flipped convolutions beat the
# library's own gradients; on 16 and more they do not.
FEW_CHANNELS = 16


class _FlippedConvolution(torch.autograd.Function):
    """A convolution of stride 1 whose gradient in X is the convolution with the flipped W."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, window: Window
    ) -> Tensor:
        ctx.weight, ctx.window = weight, window
        return F.conv2d(x, weight, bias, 1, window.padding, window.dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        window: Window = ctx.window
        flipped = ctx.weight.flip(2, 3).transpose(0, 1)
        padding = window.flipped_padding()
        return F.conv2d(gradients[0], flipped, None, 1, padding, window.dilation), None, None, None


def _batch_norm(*args: Any, **kwargs: Any) -> Layer:
    asked = BatchNormCall(*args, **kwargs)
    kept, mean, variance = asked.input.detach(), asked.running_mean, asked.running_var
    assert mean is not None  # batch statistics were refused
    assert variance is not None
    scale = torch.rsqrt(variance + asked.eps)

    def weight_rows(d: Tensor) -> Tensor:
        # sum_t d (x - mean) / sqrt(var + eps), without a normalised copy of x
        d, x = (t.reshape(*t.shape[:2], -1) for t in (d, kept))
        return ((d * x).sum(2) - mean * d.sum(2)) * scale

    def bias_rows(d: Tensor) -> Tensor:
        return d.reshape(*d.shape[:2], -1).sum(2)

    return Layer(
        F.batch_norm(*asked), kept, ((asked.weight, weight_rows), (asked.bias, bias_rows))
    )


LAYERS: dict[Callable[..., Any], Callable[..., Layer]] = {
    F.linear: _linear,
    F.conv2d: _convolution,
    F.batch_norm: _batch_norm,
}

# How modules ask a parameter for its shape, type or device: as a property, or by a method.
_READS = frozenset({"__get__", "size", "dim"})
