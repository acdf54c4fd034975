"""The NTK of an optimizer that scales each parameter's step: Adam and its kin.

    d f = -eta J P J^T d L / d f,    Theta_P = J P J^T,    P = diag(1 / (sqrt(v) + eps)) for Adam

with v the running mean of squared gradients, corrected for its start. It stands for steps in which
v and the mean of gradients hardly change. Of plain gradient descent P is 1.

Source: Kingma & Ba, ICLR 2015, https://arxiv.org/abs/1412.6980 (Adam). Malladi et al., ICML 2023,
https://arxiv.org/abs/2210.05643, treat the first steps, in which Adam is sign descent, and no
kernel is symmetric.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained.analysis.kernel import Kernel
from untrained.kernels.ntk import ntk
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

    steps = {name: torch.zeros_like(root) for name, root in roots.items()}
    training = model.training
    model.eval()
    try:
        return ntk(f, x1, x2, params=steps, **choices)
    finally:
        model.train(training)


def adam_scales(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """1 / (sqrt(v / (1 - beta_2^t)) + eps) of each parameter that Adam or AdamW has stepped.

    Raises:
        ValueError: an optimizer without squared gradients of any parameter of the network.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            if id(p) not in names or "exp_avg_sq" not in state:
                continue
            steps = float(state["step"])
            v = state["exp_avg_sq"] / (1 - group["betas"][1] ** steps)
            found[names[id(p)]] = 1 / (v.sqrt() + group["eps"])
    if not found:
        raise ValueError(
            f"expected Adam or AdamW after a step on this network, got a "
            f"{type(optimizer).__name__} without its squared gradients"
        )
    return found
