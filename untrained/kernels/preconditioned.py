"""The NTK of an optimizer that scales each parameter's step: Adam and its kin.

    d f = -eta J P J^T d L / d f,    Theta_P = J P J^T,    P = diag(1 / (sqrt(v) + eps)) for Adam

with v the running mean of squared gradients, corrected for its start. It stands for steps in which
v and the mean of gradients hardly change. Of plain gradient descent P is 1; of sign descent it is
1 / |g|, since sign(g) = P g, with g = J^T d L / d f the gradient of the very step. The first step
of Adam is one of these. The learning rate eta is left out, as if all parameters had the same.

Source: Kingma & Ba, ICLR 2015, https://arxiv.org/abs/1412.6980 (Adam). Malladi et al., ICML 2023,
https://arxiv.org/abs/2210.05643, have a kernel of sign descent that stands for other batches too,
J sign(J)^T; it is not symmetric.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained.analysis.kernel import Kernel
from untrained.kernels.ntk import ntk, ntk_contributions
from untrained.networks.batchnorm import evaluating
from untrained.networks.called import Inputs


def preconditioned_ntk(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    scales: Mapping[str, Tensor],
    **choices: Any,
) -> Kernel:
    """J P J^T, by any method of `ntk`.

    Args:
        model: any network.
        x1: n inputs, as of `ntk`.
        x2: m inputs; None means `x1`.
        scales: the diagonal of P, 0 or more, by the names of parameters: see `adam_scales`. Those
            without one are left out.
        choices: of `ntk`, such as `output="trace"`.

    Raises:
        ValueError: a scale of no parameter, of another shape, or below zero; or as `ntk`.

    Example:
        >>> net, x = nn.Linear(2, 1, bias=False), torch.eye(2)
        >>> twice = {"weight": torch.tensor([[2.0, 1.0]])}
        >>> preconditioned_ntk(net, x, scales=twice).diagonal().round(decimals=4)
        tensor([2., 1.], dtype=torch.float64)
    """
    with _scaled(model, scales) as (f, steps):
        return ntk(f, x1, x2, params=steps, **choices)


def preconditioned_contributions(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    scales: Mapping[str, Tensor],
    by: Literal["layer", "parameter"] | Callable[[str], str] = "layer",
    **choices: Any,
) -> dict[str, Kernel]:
    """What each layer, parameter, or group of them contributes to J P J^T.

    `by` is as for `ntk_contributions`, everything else as for `preconditioned_ntk`.
    """
    with _scaled(model, scales) as (f, steps):
        return ntk_contributions(f, x1, x2, by=by, params=steps, **choices)


@contextmanager
def _scaled(
    model: nn.Module, scales: Mapping[str, Tensor]
) -> Iterator[tuple[Callable[..., Any], dict[str, Tensor]]]:
    """f(theta + sqrt(P) step) as a function of the step, which is 0: its Jacobian is J sqrt(P)."""
    parameters = dict(model.named_parameters())
    for name, scale in scales.items():
        if name not in parameters or scale.shape != parameters[name].shape or (scale < 0).any():
            raise ValueError(
                f"scales: expected numbers of 0 or more, in the shapes of parameters, got "
                f"{tuple(scale.shape)} for {name!r}"
            )
    start = {name: p.detach() for name, p in parameters.items()}
    roots = {name: scale.detach().sqrt() for name, scale in scales.items()}

    def f(moved: Mapping[str, Tensor], *args: Tensor, **kwargs: Tensor) -> Any:
        theta = {name: start[name] + roots[name] * step for name, step in moved.items()}
        return functional_call(model, {**start, **theta}, args, kwargs)

    with evaluating(model):
        yield f, {name: torch.zeros_like(root) for name, root in roots.items()}


def adam_scales(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """1 / (sqrt(v / (1 - beta_2^t)) + eps) of each parameter that Adam or AdamW steps.

    Before its first step on a parameter, v / (1 - beta_2^t) is what that step makes it: g^2.

    Raises:
        ValueError: an optimizer that is not Adam or AdamW, or of no parameter of the network that
            has been stepped or has a gradient.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        for group in optimizer.param_groups:
            for p in group["params"]:
                v = _squares(optimizer.state.get(p, {}), p.grad, group["betas"][1])
                if id(p) in names and v is not None:
                    found[names[id(p)]] = 1 / (v.sqrt() + group["eps"])
    if not found:
        raise ValueError(
            f"expected Adam or AdamW with a step or gradients of this network, got a "
            f"{type(optimizer).__name__} without; call it after loss.backward()"
        )
    return found


def _squares(state: Mapping[str, Any], gradient: Tensor | None, beta: float) -> Tensor | None:
    """Adam's mean of squared gradients, corrected for its start; of `amsgrad` the largest one."""
    if "exp_avg_sq" not in state:
        return None if gradient is None else gradient.square()
    largest: Tensor = state.get("max_exp_avg_sq", state["exp_avg_sq"])
    return largest / (1 - beta ** float(state["step"]))


def sign_scales(model: nn.Module) -> dict[str, Tensor]:
    """1 / |g| of each parameter with a gradient g, as `backward` left it; 0 where g is 0.

    Raises:
        ValueError: no parameter has a gradient.

    Example:
        >>> net = nn.Linear(2, 1, bias=False)
        >>> net(torch.tensor([4.0, 0.0])).sum().backward()
        >>> sign_scales(net)["weight"].tolist()
        [[0.25, 0.0]]
    """
    found = {
        name: p.grad.abs().reciprocal().nan_to_num(posinf=0.0)
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    if not found:
        raise ValueError("expected gradients of the network, got none; call it after backward()")
    return found
