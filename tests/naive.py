"""The slow, obvious versions that the library is compared with."""

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import product
from operator import add

import torch
from torch import Tensor, nn


def ntk(
    model: nn.Module, x: Tensor, names: list[str], output: str | int | Tensor = "sum"
) -> Tensor:
    """The kernel of a choice of outputs, from the blocks Theta_kc of all of them.

    full     Theta, as `full_ntk` has it
    sum      sum_{k, c} Theta_kc
    trace    sum_k Theta_kk
    k        Theta_kk, of one output
    R        sum_q sum_{k, c} R_kq R_cq Theta_kc, for R of shape (K, q)
    """
    theta, n = full_ntk(model, x, names), len(x)
    classes = len(theta) // n

    def block(k: int, c: int) -> Tensor:
        return theta[k::classes, c::classes]

    pairs = list(product(range(classes), repeat=2))
    if isinstance(output, Tensor):
        return total(r[k] * r[c] * block(k, c) for r in output.T for k, c in pairs)
    if isinstance(output, int):
        return block(output, output)
    choices: dict[str, Callable[[], Tensor]] = {
        "full": lambda: theta,
        "sum": lambda: total(block(k, c) for k, c in pairs),
        "trace": lambda: total(block(k, k) for k in range(classes)),
    }
    return choices[output]()


def total(terms: Iterable[Tensor]) -> Tensor:
    """Their sum, of one or more."""
    return reduce(add, terms)


def full_ntk(model: nn.Module, x: Tensor, names: list[str]) -> Tensor:
    """Theta_{ik, jc} = sum_alpha (d f_k(x_i) / d alpha) (d f_c(x_j) / d alpha), row i K + k."""
    rows = jacobian(model, x, names).flatten(0, 1)
    theta = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for ik, jc in product(range(len(rows)), repeat=2):
        theta[ik, jc] = (rows[ik] * rows[jc]).sum()
    return theta


def jacobian(model: nn.Module, x: Tensor, names: list[str]) -> Tensor:
    """d f_k(x_i) / d theta of shape (n, K, p), one backward pass of the whole batch an entry.

    So it is right for examples that influence each other. K counts everything that the model
    gives for one example.
    """
    parameters = [dict(model.named_parameters())[name] for name in names]
    f = model(x.clone()).reshape(len(x), -1)
    rows = [[gradient_of(f_ik, parameters) for f_ik in f_i] for f_i in f]
    return torch.stack([torch.stack(row) for row in rows])


def gradient_of(value: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """d value / d theta as one vector in float64; zero for parameters without influence."""
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if d is None else d).flatten().double()
            for p, d in zip(parameters, found, strict=True)
        ]
    )


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
