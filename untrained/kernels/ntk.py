"""The empirical neural tangent kernel: one front door.

    Theta(x_i, x_j) = J_i . J_j,    J_i = d s_i / d theta,    s_i = sum_k f_k(x_i)

Source: Jacot, Gabriel & Hongler, "Neural Tangent Kernel", NeurIPS 2018,
https://arxiv.org/abs/1806.07572. The sum over logits is the choice of the TE-NAS and LGA codes;
in the infinite-width limit it is K times the kernel of one logit.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.kernels.batchnorm import (
    BatchNormPolicy,
    BatchStatistics,
    Policy,
    evaluating,
    policy_mode,
)
from untrained.kernels.jacobian import Jacobian, loop, per_example, summed
from untrained.kernels.structured import structured

Method = Literal["auto", "loop", "vmap", "structured"]
Selection = Literal["all", "weights"] | Callable[[str, nn.Parameter], bool]

METHODS: dict[str, Callable[..., Jacobian]] = {
    "loop": loop,
    "vmap": per_example,
    "structured": structured,
}


def ntk(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
) -> Float64[Tensor, "n m"]:
    """The NTK of the summed outputs between two batches, or of one with itself.

        Theta = sum_alpha J1[:, alpha] J2[:, alpha]^T

    The model is left as it was. Dropout is off. J has the model's precision; the sum over
    parameters is in float64.

    Args:
        model: any network whose first argument is a batch.
        x1: n inputs.
        x2: m inputs; None means `x1`. Under `frozen`, both see the statistics of `x1`.
        parameters: `all` trainable ones; `weights`, those with `weight` in their name, as the
            published codes choose; or a function of name and parameter.
        batchnorm: `batch` (statistics of the batch, differentiated, so that examples are
            coupled), `frozen` (statistics of the batch, held constant) or `running`.
        method: `loop` (exact under any coupling, slow), `vmap` (any network of independent
            examples), `structured` (convolutions, linear layers, BatchNorm; fastest), or `auto`.

    Raises:
        ValueError: an unknown choice, a method that cannot be exact under the policy, `x2` under
            `batch`, or no parameter left.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 1)
        >>> x = torch.eye(3)
        >>> ntk(model, x)[0]  # x_i . x_j + 1, the one from the bias
        tensor([2., 1., 1.], dtype=torch.float64)
    """
    chosen = _select(model, parameters)
    policy = policy_mode(batchnorm)
    if x2 is not None and batchnorm == "batch":
        raise ValueError(
            "batchnorm='batch' couples the examples of one batch: expected x2=None, got a second "
            "batch; use 'frozen' or 'running'"
        )
    with evaluating(model):
        j1 = _jacobian(model, x1, chosen, policy, method)
        j2 = j1 if x2 is None else _jacobian(model, x2, chosen, policy, method)
    theta = sum(j1[name].double() @ j2[name].double().T for name in chosen)
    assert isinstance(theta, Tensor)
    return theta


def _select(model: nn.Module, parameters: Selection) -> dict[str, nn.Parameter]:
    keep: dict[str, Callable[[str, nn.Parameter], bool]] = {
        "all": lambda name, parameter: True,
        "weights": lambda name, parameter: "weight" in name,
    }
    if isinstance(parameters, str) and parameters not in keep:
        raise ValueError(
            f"unknown parameters: expected 'all', 'weights' or a function of name and parameter, "
            f"got {parameters!r}"
        )
    wanted = keep[parameters] if isinstance(parameters, str) else parameters
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and wanted(name, parameter)
    }
    if not chosen:
        raise ValueError(
            f"the NTK needs parameters: expected at least one trainable parameter selected by "
            f"{parameters!r}, got none"
        )
    return chosen


def _jacobian(
    model: nn.Module,
    x: Tensor,
    parameters: dict[str, nn.Parameter],
    policy: BatchNormPolicy,
    method: str,
) -> Jacobian:
    if method not in ("auto", *METHODS):
        raise ValueError(f"unknown method: expected auto, {', '.join(METHODS)}, got {method!r}")
    if method == "auto":
        for name in () if isinstance(policy, BatchStatistics) else ("structured", "vmap"):
            with suppress(ValueError, RuntimeError):
                return _jacobian(model, x, parameters, policy, name)
        method = "loop"
    # A network may change its input in place: it gets a copy of its own.
    rows = METHODS[method](model, x.clone(), parameters, policy)
    asked = (type(policy), x.shape[1:])
    if method != "loop" and asked not in _independent.setdefault(model, set()):
        if coupled(model, x, policy):
            raise ValueError(
                f"the examples of a batch influence each other: method {method!r} cannot be "
                f"exact; use method='loop'"
            )
        _independent[model].add(asked)
    return rows


# Whether examples are coupled is a matter of a network's code, not of its weights: each network
# object is asked once for a policy and a shape of input, since it costs a seventh of the kernel.
_independent: WeakKeyDictionary[nn.Module, set[tuple[type, torch.Size]]] = WeakKeyDictionary()


def coupled(model: nn.Module, x: Tensor, policy: BatchNormPolicy) -> bool:
    """Whether s_0 depends on another example: whether d s_0 / d x_1 is other than zero.

    Looks at the first two examples, under statistics that `policy` has recorded. Inputs without
    a derivative, such as words, pass unseen.
    """
    if len(x) < 2 or not x.is_floating_point():
        return False
    pair = x[:2].detach().clone().requires_grad_()
    with torch.enable_grad(), policy:
        s = summed(model(pair + 0), 2)  # a sum of its own, which the network may change in place
        if not s.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(s[0], pair, allow_unused=True)
    return gradient is not None and bool(gradient[1].any())
