"""Rows of the Jacobian, by loop, by batched vector-Jacobian products, and example by example.

    J[(i, q), alpha] = d g_q(x_i) / d theta_alpha

Each method gives, for some examples and parameters, a dictionary: name -> (n, q, p) block.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.networks.batchnorm import BatchNormPolicy
from untrained.networks.few_channels import FewChannels
from untrained.networks.interception import Function, Interception, gradients
from untrained.networks.readout import flattened, read
from untrained.networks.recomputing import by_backward, reenters, requiring

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

    The reference, and the way of the published codes: for all that autograd can differentiate.
    `examples` are those of x whose rows are asked for.
    """
    parameters = dict(model.named_parameters())
    tensors = [parameters[name] for name in names]
    rows = _empty(parameters, names, len(examples), readout.shape[1])
    with FewChannels(), differentiated(model, x, readout, policy) as (g, derivatives):
        if not g.requires_grad:
            return rows
        for i, example in enumerate(examples):
            for q in range(g.shape[1]):
                found = derivatives(g[example, q], tensors)
                for name, gradient in zip(names, found, strict=True):
                    rows[name][i, q] = row_of(gradient)
    return rows


Derivatives = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]
"From one number, and the parameters asked for, to the derivatives by each."


@contextmanager
def differentiated(
    model: nn.Module, x: Tensor, readout: Float[Tensor, "k q"], policy: BatchNormPolicy
) -> Iterator[tuple[Float[Tensor, "n q"], Derivatives]]:
    """g with its graph, and how its gradients are to be had."""
    with torch.enable_grad():
        g, reentrant = _graph(model, x, readout, policy)
        with policy, by_backward(model) if reentrant else nullcontext(_by_grad) as derivatives:
            yield g, derivatives


def _graph(
    model: nn.Module, x: Tensor, readout: Tensor, policy: BatchNormPolicy
) -> tuple[Float[Tensor, "n q"], bool]:
    """g, and whether its gradients come by `Tensor.backward` alone."""
    try:
        with policy:
            g = read(flattened(model(x.clone()), len(x)), readout)
        if not reenters(g):
            return g, False
    except UserWarning:  # that a checkpointed part needs inputs that require gradients
        pass
    with policy:
        return read(flattened(model(requiring(x)), len(x)), readout), True


def _by_grad(g: Tensor, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return gradients(g, tensors, retain_graph=True, materialize_grads=True)


def row_of(gradient: Tensor) -> Float[Tensor, " p"]:
    """A gradient as a row of J: a complex number is two parameters, a sparse one is filled in."""
    if gradient.layout is not torch.strided:
        gradient = gradient.to_dense()
    return (torch.view_as_real(gradient) if gradient.is_complex() else gradient).flatten()


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
    rows = _empty(parameters, names, len(examples), readout.shape[1])
    with policy, torch.enable_grad(), quiet():
        g = read(flattened(model(x.clone()), len(x)), readout)
        if not g.requires_grad:
            return rows
        pairs = [(i, example, q) for i, example in enumerate(examples) for q in range(g.shape[1])]
        for start in range(0, len(pairs), together):
            some = pairs[start : start + together]
            cotangents = g.new_zeros(len(some), *g.shape)
            for k, (_, example, q) in enumerate(some):
                cotangents[k, example, q] = 1
            found = gradients(
                g, tensors, cotangents, retain_graph=True, is_grads_batched=True, allow_unused=True
            )
            for name, several in zip(names, found, strict=True):
                if several is None:
                    continue
                for k, (i, _, q) in enumerate(some):
                    rows[name][i, q] = several[k].flatten()
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
        return read(f, readout)[0]

    def jacobian(x_i: Tensor) -> dict[str, Tensor]:
        outputs, pull = vjp(lambda theta: g(theta, x_i), theta)[:2]
        unit = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
        if len(unit) == 1:  # a vmap less, ten times faster for convolutions
            (row,) = pull(unit[0])
            return {name: gradient.reshape(1, -1) for name, gradient in row.items()}
        (rows,) = vmap(pull)(unit)
        return {name: row.reshape(len(unit), -1) for name, row in rows.items()}

    rows = _empty(parameters, names, len(x), readout.shape[1])
    # Fused attention has no rule for vmap; its definition has.
    for start in range(0, len(x), together):
        unfused = sdpa_kernel(SDPBackend.MATH)
        with policy, Swapped(model), parameters_kept(model), unfused, quiet():
            some = vmap(jacobian)(x[start : start + together])
        for name in names:
            rows[name][start : start + together] = some[name]
    return rows


def _empty(
    parameters: Mapping[str, Tensor], names: Sequence[str], n: int, columns: int
) -> Jacobian:
    """Zeros for rows: of each parameter's own precision, but not below that of its products."""

    def zeros(p: Tensor) -> Tensor:
        dtype = torch.promote_types(p.dtype.to_real(), torch.float32)
        return torch.zeros(n, columns, real_numbers(p), dtype=dtype, device=p.device)

    return {name: zeros(parameters[name]) for name in names}


def real_numbers(p: Tensor) -> int:
    """How many real numbers a parameter is: two for each complex one."""
    return p.numel() * (2 if p.is_complex() else 1)


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


@contextmanager
def parameters_kept(model: nn.Module) -> Iterator[None]:
    """Every module's parameters are, afterwards, what they were.

    `functional_call` does not put back those of a module that the network has under two names.
    """
    held = [(module, dict(module._parameters)) for module in model.modules()]
    try:
        yield
    finally:
        for module, parameters in held:
            for name, parameter in parameters.items():
                module._parameters[name] = parameter


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
