"""The NTK with gradients: to inputs, and to the parameters themselves.

Theta(x_i, x_j) = J_i . J_j,    d Theta / d x_i by second derivatives of the network
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from untrained.analysis.kernel import Kernel, rounded
from untrained.kernels.question import Asked
from untrained.networks.arguments import chosen_parameters, coarsest, finest
from untrained.networks.backends import as_written, unfused_attention
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.called import told_own_names
from untrained.networks.jacobian import parameters_kept, quiet
from untrained.networks.readout import flattened, make_readout, read
from untrained.networks.unwrapping import differentiable


def with_gradients(model: nn.Module, x1: Tensor, x2: Tensor | None, asked: Asked) -> Kernel:
    """Theta of independent examples, whose Jacobians are held: n p numbers for each output.

    Raises:
        ValueError: as `ntk`; or choices that other methods offer.
    """
    if asked.batchnorm != "running":
        raise ValueError(
            f"batchnorm: expected 'running' with differentiable=True, got {asked.batchnorm!r}, "
            f"whose statistics are of the batch"
        )
    if asked.method != "auto" or asked.memory is not None:
        raise ValueError(
            f"expected method='auto' and no memory limit with differentiable=True, which has one "
            f"way alone, got {asked.method!r} and {asked.memory!r}"
        )
    model = differentiable(model, asked.batchnorm)
    chosen = chosen_parameters(model, told_own_names(model, asked.parameters))
    others = {name: p for name, p in model.named_parameters() if name not in chosen}
    policy = policy_mode(asked.batchnorm, model)
    with evaluating(model), as_written(x1), policy, unfused_attention():
        with torch.no_grad():
            outputs = flattened(model(x1[:1]), 1).shape[1]
        readout = make_readout(asked.output, outputs, finest(chosen))

        def rows(x: Tensor) -> Tensor:
            def of_one(x_i: Tensor) -> Tensor:
                def g(theta: dict[str, Tensor]) -> Tensor:
                    f = functional_call(model, {**others, **theta}, (x_i[None],))
                    return read(flattened(f, 1), readout.matrix)[0]

                value, pull = vjp(g, dict(chosen))[:2]
                unit = torch.eye(len(value), dtype=value.dtype, device=value.device)
                (found,) = vmap(pull)(unit)
                return torch.cat([each.flatten(1) for each in found.values()], 1)

            with parameters_kept(model), quiet():
                return vmap(of_one)(x).double()

        first = rows(x1)
        second = first if x2 is None else rows(x2)
    if readout.apart:
        theta = first.flatten(0, 1) @ second.flatten(0, 1).T
    else:
        theta = first.flatten(1) @ second.flatten(1).T
    return rounded(theta, coarsest(chosen.values()))
