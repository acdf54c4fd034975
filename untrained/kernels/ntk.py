"""The empirical neural tangent kernel: one front door.

    Theta(x_i, x_j) = J_i . J_j,    J_i = d g(x_i) / d theta,    g = f R

with f the network's outputs and R the readout: see `readout` for what Theta is of, `batchnorm` for
what normalises the network, `choice` and `planning` for how it is computed.

Source: Jacot, Gabriel & Hongler, "Neural Tangent Kernel", NeurIPS 2018,
https://arxiv.org/abs/1806.07572. The sum over logits is the choice of the TE-NAS and LGA codes;
in the infinite-width limit it is K times the kernel of one logit.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from untrained.analysis.kernel import Kernel
from untrained.kernels.choice import Method
from untrained.kernels.differentiable import with_gradients
from untrained.kernels.knowledge import known
from untrained.kernels.planning import MEMORY
from untrained.kernels.products import NTKOperator
from untrained.kernels.question import Asked, answer
from untrained.kernels.verification import check_pieces
from untrained.layerwise.contraction import Precision
from untrained.networks.arguments import (
    Selection,
    check_inputs,
    chosen_parameters,
    finest,
    plain,
)
from untrained.networks.backends import as_written
from untrained.networks.batchnorm import FrozenStatistics, evaluating, policy_mode
from untrained.networks.called import Call, Inputs, told_own_names
from untrained.networks.choices import Policy
from untrained.networks.readout import Output, make_readout
from untrained.networks.unwrapping import differentiable


def ntk(
    model: Callable[..., Any],
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
    params: Any = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    differentiable: bool = False,
) -> Kernel:
    """The NTK between two batches, or of one with itself.

        Theta = sum_alpha J1[:, alpha] J2[:, alpha]^T

    The model is left as it was. Dropout is off. J has the model's precision; the sum over
    parameters is in float64. `.plan` of what is returned says how it was computed, and why so.

    Args:
        model: any network that autograd can differentiate, inside `torch.compile` and data
            parallelism too, or TorchScript; or a function f(params, x), with its `params`.
        x1: n inputs: a batch, also NumPy's; several, as a tuple or a dictionary of named ones; or
            an iterable of batches, as a data loader, whose labels are left aside.
        x2: m inputs; None means `x1`. Under `frozen`, both see the statistics of `x1`.
        output: `sum` of the K outputs, as the published codes have it; `trace`, the sum of the
            kernels of each; `full` (n K x m K, row i K + k is output k of example i); one output,
            by its number; or a (K, q) tensor of projections, see `random_readout`. Outputs of any
            shape are flattened.
        parameters: `all` trainable ones; `weights`, those with `weight` in their name, as the code
            of TE-NAS chooses; `weights_below_head`, of these not the last linear layer's, as that
            of LGA does; or a function of name and parameter.
        batchnorm: `batch` (statistics of the batch, differentiated, so that examples are
            coupled), `frozen` (statistics of the batch, held constant) or `running`.
        method: `structured` (passes of whole batches, layer by layer) or `vmap` (example by
            example) for independent examples; `loop` and `batched` (a backward pass for each row)
            or `products` (columns J (J^T e)), exact under any coupling; `auto`, the fastest that
            applies, as predicted.
        memory: ceiling in bytes on what is allocated beside network and inputs; None means 4 GiB.
        precision: of products, see `contraction`; `auto` is float64 where that costs little.
        params: theta of a function: tensors in any structure of dictionaries, lists and tuples.
        select: what of the outputs is meant, such as `lambda found: found["logits"]`.
        dtype: to compute in, with a copy of the network.
        device: to compute on, with a copy of the network.
        differentiable: with gradients to inputs and parameters, under `running`; J is held.

    Raises:
        ValueError: an unknown choice, a method that cannot be exact here, `x2` under `batch`, no
            parameter, inputs that are not finite, or a ceiling too low for one example; a network
            that is exported, quantised, sharded or not initialised; outputs that require no
            gradients; whatever the network itself raises.
        MemoryError, torch.cuda.OutOfMemoryError: as the network or torch raises them.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 1)
        >>> theta = ntk(model, torch.eye(3))
        >>> theta[0]  # x_i . x_j + 1, the one from the bias
        tensor([2., 1., 1.], dtype=torch.float64)
        >>> theta.plan.reason  # doctest: +ELLIPSIS
        '...: predicted ... s on one core, ...'
    """
    asked = Asked(output, parameters, batchnorm, method, memory, precision)
    call = Call(params, select, dtype, device)
    if differentiable:
        return with_gradients(*call.on(model, x1, x2), asked)
    return answer(*call.on(model, x1, x2), asked, lambda name: "")[""]


def ntk_contributions(
    model: Callable[..., Any],
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    by: Literal["layer", "parameter"] | Callable[[str], str] = "layer",
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
    params: Any = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> dict[str, Kernel]:
    """What each layer, parameter, or group of them contributes to the NTK.

        Theta = sum_groups Theta_group,    Theta_group = sum_{alpha in group} J1 J2^T

    `by` is `layer` (the module that owns the parameter), `parameter`, or a function from a
    parameter's name to its group's. Everything else is as for `ntk`.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
        >>> shares = ntk_contributions(model, torch.eye(3))
        >>> list(shares), bool(torch.allclose(sum(shares.values()), ntk(model, torch.eye(3))))
        (['0', '1'], True)
    """
    labels: dict[str, Callable[[str], str]] = {
        "layer": lambda name: name.rpartition(".")[0],
        "parameter": lambda name: name,
    }
    if isinstance(by, str) and by not in labels:
        raise ValueError(
            f"unknown grouping: expected 'layer', 'parameter' or a function of a name, got {by!r}"
        )
    asked = Asked(output, parameters, batchnorm, method, memory, precision)
    call = Call(params, select, dtype, device)
    return answer(*call.on(model, x1, x2), asked, labels[by] if isinstance(by, str) else by)


def ntk_operator(
    model: Callable[..., Any],
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    chunk: int | None = None,
    params: Any = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> NTKOperator:
    """The NTK as a linear operator, for kernels too large to hold.

    `theta @ u` costs about three forward and backward passes, and holds no more than one of them;
    see `products` for what it is good for. `chunk` is the number of examples in a pass; None means
    all, as it must under `batch`. Everything else is as for `ntk`.

    Example:
        >>> import torch
        >>> from untrained.kernels.products import largest_eigenvalues
        >>> net, x = torch.nn.Linear(2, 1), torch.eye(2).repeat(50, 1)
        >>> theta = ntk_operator(net, x)  # 100 x 100: two sorts of rows, and 1 from the bias
        >>> [round(value) for value in largest_eigenvalues(theta, 2).values]
        [150, 50]
    """
    called, first, second = Call(params, select, dtype, device).on(model, x1, x2)
    model = differentiable(called, batchnorm)
    chosen = chosen_parameters(model, told_own_names(model, parameters))
    check_inputs(first, second, batchnorm)
    if any(p.is_complex() for p in chosen.values()):
        raise ValueError("expected real parameters, got complex ones; use ntk, method='loop'")
    if batchnorm == "batch" and chunk is not None:
        raise ValueError("batchnorm='batch' couples the examples of a batch: expected chunk=None")
    policy = policy_mode(batchnorm, model)
    with evaluating(model), as_written(first):
        first, second = plain(first), None if second is None else plain(second)
        found, _ = known(model, first, second, batchnorm, chosen, in_parts=chunk is not None)
        readout = make_readout(output, found.outputs, finest(chosen))
        pieces = first.split(chunk or len(first))
        others = None if second is None else second.split(chunk or len(second))
        if isinstance(policy, FrozenStatistics):
            policy.calibrate(model, pieces)
        largest = max(1, MEMORY // 2 // (4 * found.widest_bytes + 1))
        for each in (pieces, others or ()):
            check_pieces(model, each, policy, largest)
    return NTKOperator(model, pieces, others, readout, chosen, policy)
