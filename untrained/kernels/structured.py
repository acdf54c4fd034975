"""The Jacobian from one forward and one backward pass of the whole batch.

Where examples do not influence each other, the gradient of sum_i s_i with respect to a layer's
output holds each example's own gradient D_i. A layer that is linear in its parameters turns D_i
and its input X_i into that example's rows of J:

    linear       J_i = sum_t D_i[t] X_i[t]^T          (t: positions, if any)
    convolution  J_i = sum_t D_i[t] U_i[t]^T          (U: patches of X, as in im2col)
    BatchNorm    J_i = sum_t D_i[t] (X_i[t] - mean) / sqrt(var + eps)

and J_i = sum_t D_i[t] for a bias. So n examples cost about as much as one training step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.grad import conv2d_weight
from torch.overrides import TorchFunctionMode

from untrained.kernels.batchnorm import BatchStatistics
from untrained.kernels.jacobian import Jacobian, summed


class Unstructured(ValueError):
    """A parameter is used in a way that this method has no formula for."""


def structured(
    model: nn.Module,
    x: Tensor,
    parameters: Mapping[str, nn.Parameter],
    policy: TorchFunctionMode,
) -> Jacobian:
    """J for networks of 2-d convolutions, linear layers and BatchNorm, with anything between.

    Raises:
        Unstructured: a parameter meets another operation.
        ValueError: under batch statistics, which couple the examples.
    """
    if isinstance(policy, BatchStatistics):
        raise ValueError(
            "method 'structured' needs independent examples: expected batchnorm='frozen' or "
            "'running', got 'batch'; use method='loop'"
        )
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}
    recorder = _Recorder({name: theta[name] for name in parameters})
    with torch.enable_grad(), recorder, policy:
        s = summed(functional_call(model, theta, (x.detach(),)))
    if recorder.leaves and s.requires_grad:
        torch.autograd.backward(s.sum(), inputs=recorder.leaves)
    return {
        name: recorder.rows.get(name, theta[name].new_zeros(len(x), theta[name].numel()))
        for name in parameters
    }


class _Recorder(TorchFunctionMode):
    """Hooks the output of every layer that uses a parameter, and keeps that parameter's rows."""

    def __init__(self, theta: Mapping[str, Tensor]):
        super().__init__()
        self.names = {id(tensor): name for name, tensor in theta.items()}
        self.leaves: list[Tensor] = []
        self.rows: Jacobian = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if not self._uses([*args, *kwargs.values()]) or _name(func) in _READS_NO_VALUE:
            return output
        if func not in LAYERS:
            raise Unstructured(
                f"method 'structured' has no formula for parameters in "
                f"{_name(func)!r}; use method='vmap'"
            )
        return self._hook(output, *LAYERS[func](*args, **kwargs))

    def _uses(self, arguments: Sequence[Any]) -> bool:
        return any(
            id(a) in self.names or (isinstance(a, (list, tuple)) and self._uses(a))
            for a in arguments
        )

    def _hook(self, output: Tensor, x: Tensor, *terms: "Term") -> Tensor:
        """Adds each term's rows once the backward pass brings the gradient of `output`."""
        if not output.requires_grad:
            leaf = output.requires_grad_()
            self.leaves.append(leaf)
            output = leaf.clone()  # a network may change it in place; a leaf forbids that
        version = x._version

        def add(d: Tensor) -> None:
            if x._version != version:
                raise Unstructured(
                    "an input of a layer was changed in place before the backward pass; "
                    "use method='vmap'"
                )
            for tensor, rows in terms:
                name = self.names.get(id(tensor))
                if name is not None:
                    block = rows(d, x).flatten(1)
                    self.rows[name] = self.rows[name] + block if name in self.rows else block

        output.register_hook(add)
        return output


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", str(func))


Rows = Callable[[Tensor, Tensor], Float[Tensor, "n ..."]]
Term = tuple[Tensor | None, Rows]
Layer = tuple[Any, ...]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Layer:
    def weight_rows(d: Tensor, x: Tensor) -> Tensor:
        return torch.einsum("n...o,n...i->noi", d, x)

    def bias_rows(d: Tensor, x: Tensor) -> Tensor:
        return d.flatten(1, -2).sum(1) if d.ndim > 2 else d

    return x.detach(), (weight, weight_rows), (bias, bias_rows)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Layer:
    if isinstance(padding, str):
        raise Unstructured("method 'structured' needs padding in pixels; use method='vmap'")

    def weight_rows(d: Tensor, x: Tensor) -> Tensor:
        if x.shape[1] >= 16 and weight.shape[2:] != (1, 1):
            # One convolution with a group for each example; slower on few channels.
            n, shape = len(x), (len(x) * weight.shape[0], *weight.shape[1:])
            d, x = d.flatten(0, 1)[None], x.flatten(0, 1)[None]
            rows = conv2d_weight(x, shape, d, stride, padding, dilation, n * groups)
            return rows.unflatten(0, (n, -1))
        u = _patches(x, weight.shape[2:], d.shape[2:], *map(_pair, (stride, padding, dilation)))
        d, u = d.flatten(2).unflatten(1, (groups, -1)), u.unflatten(1, (groups, -1))
        return d @ u.flatten(2, 3).mT

    def bias_rows(d: Tensor, x: Tensor) -> Tensor:
        return d.sum((2, 3))

    return x.detach(), (weight, weight_rows), (bias, bias_rows)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _patches(
    x: Float[Tensor, "n c h w"],
    kernel: Sequence[int],
    positions: Sequence[int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Float[Tensor, "n c k t"]:
    """im2col by stacking shifted views, several times faster than `unfold` on few channels."""
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))

    def along(offset: int, axis: int) -> slice:
        start = offset * dilation[axis]
        return slice(start, start + (positions[axis] - 1) * stride[axis] + 1, stride[axis])

    views = [x[:, :, along(u, 0), along(v, 1)] for u in range(kernel[0]) for v in range(kernel[1])]
    return torch.stack(views, 2).flatten(3)


def _batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Layer:
    def weight_rows(d: Tensor, x: Tensor) -> Tensor:
        # sum_t d (x - mean) / sqrt(var + eps), without a normalised copy of x
        d, x = d.flatten(2), x.flatten(2)
        return ((d * x).sum(2) - mean * d.sum(2)) * torch.rsqrt(variance + eps)

    def bias_rows(d: Tensor, x: Tensor) -> Tensor:
        return d.flatten(2).sum(2)

    return x.detach(), (weight, weight_rows), (bias, bias_rows)


LAYERS: dict[Callable[..., Any], Callable[..., Layer]] = {
    F.linear: _linear,
    F.conv2d: _convolution,
    F.batch_norm: _batch_norm,
}

# What modules ask of a parameter without computing with it: `weight.shape`, `weight.dtype`, ...
_READS_NO_VALUE = frozenset({"__get__", "size", "dim"})
