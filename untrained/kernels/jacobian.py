"""Rows of the Jacobian, by loop, by batched vector-Jacobian products, and example by example.

    J[(i, q), alpha] = d g_q(x_i) / d theta_alpha

Each method gives, for some examples and parameters, a dictionary: name -> (n, q, p) block.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.few_channels import FewChannels
from untrained.kernels.interception import Function, Interception
from untrained.kernels.readout import flattened

Jacobian = dict[str, Float[Tensor, "n q p"]]


def loop(
    model: nn.Module,
    x: Tensor,
    examples: range,
    readout: Float[Tensor, "k q"],
    policy: BatchNormPolicy,
    names: Sequence[str],
    together: int = 1,
) -> Jacobian:
    """One backward pass through the whole batch for each row: exact under any coupling.

    The reference, and the way of the published codes. `examples` are those of x whose rows are
    asked for.
    """
    parameters = dict(model.named_parameters())
    rows = _empty(parameters, names, len(examples), readout)
    with FewChannels(), policy, torch.enable_grad():
        g = flattened(model(x.clone()), len(x)) @ readout
        for i, example in enumerate(examples):
            for q in range(g.shape[1]):
                found = _gradients(g[example, q], parameters, names)
                for name, gradient in zip(names, found, strict=True):
                    rows[name][i, q] = gradient.flatten()
    return rows


def _gradients(
    g: Tensor, parameters: Mapping[str, Tensor], names: Sequence[str]
) -> Sequence[Tensor]:
    tensors = [parameters[name] for name in names]
    if not g.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    return torch.autograd.grad(g, tensors, retain_graph=True, materialize_grads=True)


def batched(
    model: nn.Module,
    x: Tensor,
    examples: range,
    readout: Float[Tensor, "k q"],
    policy: BatchNormPolicy,
    names: Sequence[str],
    together: int = 16,
) -> Jacobian:
    """The loop's backward passes, so many together by `vmap` over autograd: as exact."""
    parameters = dict(model.named_parameters())
    tensors = [parameters[name] for name in names]
    rows = _empty(parameters, names, len(examples), readout)
    with policy, torch.enable_grad(), quiet():
        g = flattened(model(x.clone()), len(x)) @ readout
        if not g.requires_grad:
            return rows
        pairs = [(i, example, q) for i, example in enumerate(examples) for q in range(g.shape[1])]
        for start in range(0, len(pairs), together):
            some = pairs[start : start + together]
            cotangents = g.new_zeros(len(some), *g.shape)
            for k, (_, example, q) in enumerate(some):
                cotangents[k, example, q] = 1
            found = torch.autograd.grad(
                g, tensors, cotangents, retain_graph=True, is_grads_batched=True, allow_unused=True
            )
            for name, gradients in zip(names, found, strict=True):
                if gradients is None:
                    continue
                for k, (i, _, q) in enumerate(some):
                    rows[name][i, q] = gradients[k].flatten()
    return rows


def per_example(
    model: nn.Module,
    x: Tensor,
    examples: range,
    readout: Float[Tensor, "k q"],
    policy: BatchNormPolicy,
    names: Sequence[str],
    together: int = 64,
) -> Jacobian:
    """Jacobians of so many examples at once, by `vmap` over `vjp`: for independent examples.

    Raises:
        ValueError: a parameter that cannot be swapped.
    """
    parameters = dict(model.named_parameters())
    others = {name: p.detach() for name, p in parameters.items()}
    x = x[examples.start : examples.stop].clone()
    theta = {name: others.pop(name) for name in names}

    def g(theta: dict[str, Tensor], x_i: Tensor) -> Tensor:
        swapped = {**others, **theta}
        policy.own.add(swapped)
        f = flattened(functional_call(model, swapped, (x_i[None],)), 1)
        return (f @ readout)[0]

    def jacobian(x_i: Tensor) -> dict[str, Tensor]:
        _, pull = vjp(lambda theta: g(theta, x_i), theta)[:2]
        unit = torch.eye(readout.shape[1], dtype=readout.dtype, device=readout.device)
        if len(unit) == 1:  # a vmap less, ten times faster for convolutions
            (row,) = pull(unit[0])
            return {name: gradient.reshape(1, -1) for name, gradient in row.items()}
        (rows,) = vmap(pull)(unit)
        return {name: row.reshape(len(unit), -1) for name, row in rows.items()}

    rows = _empty(parameters, names, len(x), readout)
    # Fused attention has no rule for vmap; its definition has.
    for start in range(0, len(x), together):
        with policy, Swapped(model), sdpa_kernel(SDPBackend.MATH), quiet():
            some = vmap(jacobian)(x[start : start + together])
        for name in names:
            rows[name][start : start + together] = some[name]
    return rows


def _empty(
    parameters: Mapping[str, Tensor], names: Sequence[str], n: int, readout: Tensor
) -> Jacobian:
    columns = readout.shape[1]
    return {name: readout.new_zeros(n, columns, parameters[name].numel()) for name in names}


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings about what is torch's own affair.

    That vmap loops over an operation: so it does, and it is exact. That torch compiles its rules
    for forward derivatives by a deprecated function of its own.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        yield


class Swapped(Interception):
    """Refuses a network that uses a parameter of its own where `functional_call` put another."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.own = {id(parameter) for parameter in model.parameters()}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        listed = [a for arg in args if isinstance(arg, list | tuple) for a in arg]
        if not self.own.isdisjoint(map(id, (*args, *listed))):
            raise ValueError("it reaches a parameter other than as an attribute of its module")
        return func(*args, **kwargs)
