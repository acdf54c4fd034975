"""The slow, obvious versions that the library is compared with."""

import itertools

import torch
from torch import Tensor, nn


def ntk(model: nn.Module, x: Tensor, names: list[str]) -> Tensor:
    """Theta_ij = sum_alpha (d s_i / d alpha) (d s_j / d alpha), pair by pair, tensor by tensor."""
    parameters = dict(model.named_parameters())
    theta = torch.zeros(len(x), len(x), dtype=torch.float64)
    for i, j in itertools.product(range(len(x)), repeat=2):
        for name in names:
            d_i = gradient(model, x, i, parameters[name])
            d_j = gradient(model, x, j, parameters[name])
            theta[i, j] += (d_i.double() * d_j.double()).sum()
    return theta


def gradient(model: nn.Module, x: Tensor, i: int, parameter: nn.Parameter) -> Tensor:
    """d s_i / d parameter, s_i being everything that the model gives for example i, added up."""
    s_i = model(x)[i].sum()
    (found,) = torch.autograd.grad(s_i, [parameter], allow_unused=True)
    return torch.zeros_like(parameter) if found is None else found


def distinct_rows(patterns: Tensor) -> int:
    """Rows that no earlier row equals."""
    rows = patterns.tolist()
    return sum(row not in rows[:i] for i, row in enumerate(rows))
