"""The Jacobian of summed outputs, by the obvious loop and by vectorised per-example gradients.

    J[i, alpha] = d s_i / d theta_alpha,    s_i = sum_k f_k(x_i)

Each method returns J as a dictionary: parameter name -> (n, p) block.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.kernels.batchnorm import BatchNormPolicy, BatchStatistics
from untrained.kernels.interception import Function, Interception

Jacobian = dict[str, Float[Tensor, "n p"]]


def summed(outputs: Any, n: int) -> Float[Tensor, " n"]:
    """s_i: everything the network gives for example i, added up.

    Raises:
        ValueError: outputs that are not one real tensor with a row for each of n examples.
    """
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or len(outputs) != n:
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(
            f"expected outputs as one real tensor whose first dimension is the batch of {n}, got "
            f"{got}; wrap the network in one that returns such"
        )
    return outputs.reshape(n, -1).sum(1)


def loop(
    model: nn.Module,
    x: Tensor,
    parameters: Mapping[str, nn.Parameter],
    policy: BatchNormPolicy,
) -> Jacobian:
    """One backward pass through the whole batch for each example: exact under any coupling.

    The reference, and the way of the published codes. Costs n full backward passes.
    """
    tensors = list(parameters.values())
    with policy, torch.enable_grad():
        s = summed(model(x), len(x))
        rows = [
            torch.autograd.grad(s_i, tensors, retain_graph=True, materialize_grads=True)
            for s_i in s
        ]
    return {
        name: torch.stack([gradient.flatten() for gradient in column])
        for name, column in zip(parameters, zip(*rows, strict=True), strict=True)
    }


def per_example(
    model: nn.Module,
    x: Tensor,
    parameters: Mapping[str, nn.Parameter],
    policy: BatchNormPolicy,
) -> Jacobian:
    """Gradients of every example at once, by `vmap` over `grad`.

    Raises:
        ValueError: under batch statistics, where examples are coupled and no row of J is a
            function of one example alone; or a parameter that cannot be swapped.
    """
    if isinstance(policy, BatchStatistics):
        raise ValueError(
            "method 'vmap' takes examples one by one: expected batchnorm='frozen' or 'running', "
            "got 'batch', which couples them; use method='loop'"
        )
    others = {name: parameter.detach() for name, parameter in model.named_parameters()}
    with policy, Swapped(model), torch.no_grad():
        functional_call(model, others, (x,))  # records the statistics that the rows replay
    theta = {name: others.pop(name) for name in parameters}

    def s(theta: dict[str, Tensor], x_i: Tensor) -> Tensor:
        return summed(functional_call(model, {**others, **theta}, (x_i[None],)), 1)[0]

    # Fused attention has no rule for vmap; its definition has.
    with policy, sdpa_kernel(SDPBackend.MATH):
        rows = vmap(grad(s), in_dims=(None, 0))(theta, x)
    return {name: rows[name].flatten(1) for name in parameters}


class Swapped(Interception):
    """Refuses a network that uses a parameter of its own where `functional_call` put another."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.own = {id(parameter) for parameter in model.parameters()}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not self.own.isdisjoint(map(id, args)):
            raise ValueError(
                "the network reaches a parameter other than as an attribute of its module: "
                "methods 'vmap' and 'structured' cannot follow it; use method='loop'"
            )
        return func(*args, **kwargs)
