"""The network to measure, out of what wraps it; and refusals, by name, of what cannot be measured.

This subpackage looks into a network by way of the torch functions that Python calls (see
`interception`). A wrapper that computes what its network computes is taken off. Where torch has
made a program of a network, its calls are no longer Python's: TorchScript is differentiated by
autograd all the same, and so has an NTK, but nothing else that is read off the calls.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrapped(model: Any) -> nn.Module:
    """The network itself, whose calls can be seen.

    Out of `torch.compile`, `DataParallel` and `DistributedDataParallel`, which compute the same.

    Raises:
        ValueError: what is no `nn.Module`; one whose calls are not Python's, as of TorchScript and
            `torch.export`; or one without numbers to differentiate by: quantised, sharded, on the
            meta device, or not yet initialised.

    Example:
        >>> network = nn.Linear(3, 1)
        >>> unwrapped(nn.DataParallel(network)) is network
        True
    """
    model = _bare(model)
    for name, _ in _scripts(model):
        raise ValueError(
            f"{name} is TorchScript, whose calls cannot be seen: expected a network that Python "
            f"runs; give the network that it was made from"
        )
    return model


def differentiable(model: Any, batchnorm: str) -> nn.Module:
    """The network itself, TorchScript too: for what needs autograd alone.

    Raises:
        ValueError: as `unwrapped`; TorchScript with a BatchNorm that does not follow the policy,
            or with a dropout that is on for good, as `torch.jit.trace` leaves in training mode.
    """
    model = _bare(model)
    for name, script in _scripts(model):
        if batchnorm != "running" and _arguments(script, "aten::batch_norm", 5):
            raise ValueError(
                f"{name} is TorchScript with BatchNorm, which batchnorm={batchnorm!r} cannot "
                f"reach: expected 'running', or the network that it was made from"
            )
        if True in _arguments(script, "aten::batch_norm", 5) + _arguments(
            script, "aten::dropout", 2
        ):
            raise ValueError(
                f"{name} was traced in training mode, which is for good: expected BatchNorm and "
                f"dropout in evaluation; trace it after .eval()"
            )
    return model


@contextmanager
def eager() -> Iterator[None]:
    """Inside, what `torch.compile` compiled runs as it was written, call by call."""
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _bare(model: Any) -> nn.Module:
    """Out of its wrappers, and neither exported, quantised, sharded nor without numbers."""
    while isinstance(model, DataParallel | DistributedDataParallel) or _compiled(model):
        model = model._orig_mod if _compiled(model) else model.module
    check_module(model)
    for name, module in model.named_modules():
        for fits, why in _REFUSED:
            if fits(module):
                raise ValueError(f"{_named(name, module)} {why}")
        for own, p in module._parameters.items():
            if p is not None:
                _check_parameter(f"{name}.{own}" if name else own, p)
    return model


def check_module(model: object) -> None:
    """Refuse what is no module."""
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"expected a network as nn.Module, got {_kind(model)}; wrap it in a module, or give "
            f"the network that it was made from; or, of a function f(params, x), its params"
        )


def _check_parameter(name: str, p: nn.Parameter) -> None:
    if type(p).__name__ == "DTensor":
        raise ValueError(f"parameter {name!r} is a DTensor: expected it whole, not sharded")
    if isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta:
        raise ValueError(
            f"parameter {name!r} has no numbers yet: expected an initialised network on a "
            f"device; call a lazy one once, and move one on the meta device by to_empty"
        )


def _compiled(model: Any) -> bool:
    return isinstance(getattr(model, "_orig_mod", None), nn.Module)


def _exported(module: nn.Module) -> bool:
    """Whether it is a graph of aten operations, not of modules and torch functions."""
    held = vars(module)
    graph = held.get("_graph", held.get("graph"))
    return isinstance(graph, torch.fx.Graph) and any(
        isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes
    )


def _quantised(module: nn.Module) -> bool:
    home = type(module).__module__
    return home.startswith("torch.ao.nn.") and ".quantized" in home


def _sharded(module: nn.Module) -> bool:
    return type(module).__name__ == "FullyShardedDataParallel"


_REFUSED: tuple[tuple[Callable[[nn.Module], bool], str], ...] = (
    (
        _exported,
        "is an exported program, which has no evaluation mode and whose calls cannot be "
        "followed: expected the network that it was exported from",
    ),
    (
        _quantised,
        "is quantised, and autograd does not pass it: expected floating-point layers; give the "
        "network from before the quantisation",
    ),
    (
        _sharded,
        "holds a shard of its network's parameters: expected the network whole; build it without "
        "FSDP",
    ),
)


def _scripts(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The TorchScript that a network calls, modules and functions, each with a name."""
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            yield _named(name, module), module
            continue
        if type(module).__module__.startswith("torch.nn."):
            continue
        held = {key: value for key, value in vars(module).items() if _is_script(value)}
        for key, script in {**_globals(type(module)), **held}.items():
            yield f"{key!r} of {_named(name, module)}", script


def _globals(kind: type[nn.Module]) -> dict[str, Any]:
    """The scripted functions that a class's `forward` names."""
    forward = getattr(kind, "forward", None)
    code, known = getattr(forward, "__code__", None), getattr(forward, "__globals__", {})
    names = () if code is None else code.co_names
    return {name: known[name] for name in names if _is_script(known.get(name))}


def _is_script(value: Any) -> bool:
    return isinstance(value, torch.jit.ScriptFunction)


def _arguments(script: Any, operation: str, place: int) -> list[Any]:
    """For each call of an operation in a script, its argument; None where it is no constant."""
    graph = script.inlined_graph  # held here: its nodes go with it
    nodes = [node for kind in (operation, f"{operation}_") for node in graph.findAllNodes(kind)]
    values = [list(node.inputs())[place] for node in nodes]
    return [v.toIValue() if v.node().kind() == "prim::Constant" else None for v in values]


def _named(name: str, module: nn.Module) -> str:
    return f"the module {name!r} ({_kind(module)})" if name else f"the network ({_kind(module)})"


def _kind(value: Any) -> str:
    return str(getattr(value, "original_name", type(value).__name__))
