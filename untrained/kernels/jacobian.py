"""The Jacobian of summed outputs, by the obvious loop and by vectorised per-example gradients.

    J[i, alpha] = d s_i / d theta_alpha,    s_i = sum_k f_k(x_i)

Each method returns J as a dictionary: parameter name -> (n, p) block.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.kernels.batchnorm import BatchNormPolicy, BatchStatistics, FrozenStatistics

Jacobian = dict[str, Float[Tensor, "n p"]]


def summed(outputs: Tensor) -> Float[Tensor, " n"]:
    """s_i: everything the network gives for example i, added up."""
    return outputs.reshape(len(outputs), -1).sum(1)


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
        s = summed(model(x))
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
    chunk: int | None = None,
) -> Jacobian:
    """Gradients of every example at once, by `vmap` over `grad`; `chunk` examples at a time.

    Raises:
        ValueError: under batch statistics, where examples are coupled and no row of J is a
            function of one example alone.
    """
    if isinstance(policy, BatchStatistics):
        raise ValueError(
            "method 'vmap' takes examples one by one: expected batchnorm='frozen' or 'running', "
            "got 'batch', which couples them; use method='loop'"
        )
    if isinstance(policy, FrozenStatistics):
        with policy, torch.no_grad():
            model(x)  # records the statistics that the rows replay

    def s(theta: dict[str, Tensor], x_i: Tensor) -> Tensor:
        return summed(functional_call(model, {**others, **theta}, (x_i[None],)))[0]

    others = {name: parameter.detach() for name, parameter in model.named_parameters()}
    theta = {name: others.pop(name) for name in parameters}
    # Fused attention has no rule for vmap; its definition has.
    with policy, sdpa_kernel(SDPBackend.MATH):
        rows = vmap(grad(s), in_dims=(None, 0), chunk_size=chunk)(theta, x)
    return {name: rows[name].flatten(1) for name in parameters}
