"""The slow, obvious versions that the library is compared with."""

import itertools

import torch
from torch import Tensor, nn


def ntk(model: nn.Module, x: Tensor, names: list[str]) -> Tensor:
    """Theta_ij = sum_alpha (d s_i / d alpha) (d s_j / d alpha), one pair at a time."""
    parameters = [dict(model.named_parameters())[name] for name in names]
    theta = torch.zeros(len(x), len(x), dtype=torch.float64)
    for i, j in itertools.product(range(len(x)), repeat=2):
        d_i, d_j = gradient(model, x, i, parameters), gradient(model, x, j, parameters)
        theta[i, j] = sum((a.double() * b.double()).sum() for a, b in zip(d_i, d_j, strict=True))
    return theta


def gradient(model: nn.Module, x: Tensor, i: int, parameters: list[nn.Parameter]) -> list[Tensor]:
    """d s_i / d theta, s_i being everything that the model gives for example i, added up."""
    s_i = model(x)[i].sum()
    found = torch.autograd.grad(s_i, parameters, allow_unused=True)
    return [
        torch.zeros_like(p) if d is None else d for p, d in zip(parameters, found, strict=True)
    ]


def distinct_rows(patterns: Tensor) -> int:
    """Rows that no earlier row equals."""
    rows = patterns.tolist()
    return sum(row not in rows[:i] for i, row in enumerate(rows))
