"""The empirical neural tangent kernel: one front door.

    Theta(x_i, x_j) = J_i . J_j,    J_i = d g(x_i) / d theta,    g = f R

with f the network's outputs and R the readout: see `readout` for what Theta is of, `batchnorm` for
what normalises the network, `choice` and `planning` for how it is computed.

Source: Jacot, Gabriel & Hongler, "Neural Tangent Kernel", NeurIPS 2018,
https://arxiv.org/abs/1806.07572. The sum over logits is the choice of the TE-NAS and LGA codes;
in the infinite-width limit it is K times the kernel of one logit.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from untrained.analysis.kernel import Kernel
from untrained.kernels.choice import Method
from untrained.kernels.knowledge import known
from untrained.kernels.planning import MEMORY
from untrained.kernels.products import NTKOperator
from untrained.kernels.question import Asked, answer
from untrained.kernels.verification import check_pieces
from untrained.layerwise.contraction import Precision
from untrained.networks.arguments import Selection, check_inputs, finest, plain, select
from untrained.networks.backends import as_written
from untrained.networks.batchnorm import FrozenStatistics, evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.readout import Output, make_readout
from untrained.networks.unwrapping import differentiable


def ntk(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
) -> Kernel:
    """The NTK between two batches, or of one with itself.

        Theta = sum_alpha J1[:, alpha] J2[:, alpha]^T

    The model is left as it was. Dropout is off. J has the model's precision; the sum over
    parameters is in float64. `.plan` of what is returned says how it was computed, and why so.

    Args:
        model: any network whose first argument is a batch, and that autograd can differentiate;
            inside `torch.compile` and data parallelism too, or TorchScript.
        x1: n inputs.
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
    return answer(model, x1, x2, asked, lambda name: "")[""]


def ntk_contributions(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    by: Literal["layer", "parameter"] | Callable[[str], str] = "layer",
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
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
    return answer(model, x1, x2, asked, labels[by] if isinstance(by, str) else by)


def ntk_operator(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    chunk: int | None = None,
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
    model = differentiable(model, batchnorm)
    chosen = select(model, parameters)
    check_inputs(x1, x2, batchnorm)
    if any(p.is_complex() for p in chosen.values()):
        raise ValueError("expected real parameters, got complex ones; use ntk, method='loop'")
    if batchnorm == "batch" and chunk is not None:
        raise ValueError("batchnorm='batch' couples the examples of a batch: expected chunk=None")
    policy = policy_mode(batchnorm, model)
    with evaluating(model), as_written(x1):
        x1, x2 = plain(x1), None if x2 is None else plain(x2)
        found, _ = known(model, x1, x2, batchnorm, chosen, in_parts=chunk is not None)
        readout = make_readout(output, found.outputs, finest(chosen))
        pieces = x1.split(chunk or len(x1))
        others = None if x2 is None else x2.split(chunk or len(x2))
        if isinstance(policy, FrozenStatistics):
            policy.calibrate(model, pieces)
        largest = max(1, MEMORY // 2 // (4 * found.widest_bytes + 1))
        for each in (pieces, others or ()):
            check_pieces(model, each, policy, largest)
    return NTKOperator(model, pieces, others, readout, chosen, policy)
