"""A network lent for a while: whatever is done to it meanwhile, it comes back as it was."""

from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Gives parameters, buffers, flags, hooks and attributes back at the end of the block.

    It works on the network itself, as networks may hold what no copy can be made of: locks, open
    files, tensors that were computed. A backward pass of the caller's that was prepared before is
    still right after it. What an attribute refers to is not copied.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> before = model.weight.clone()
        >>> with borrowed(model), torch.no_grad():
        ...     _ = model.weight.zero_()
        >>> torch.equal(model.weight, before)
        True
    """
    held = (t for t in (*model.parameters(), *model.buffers()) if not is_lazy(t))
    tensors = list({id(t): t for t in held}.values())
    # `data` keeps the very memory, which others may share; the copy, what lay in it.
    values = [(t, t.data, t.detach().clone(), t.requires_grad) for t in tensors]
    gradients = [(t.grad, t.grad.data) for t in tensors if t.is_leaf and t.grad is not None]
    with ExitStack() as versions:
        for t in tensors:
            versions.enter_context(torch.autograd._unsafe_preserve_version_counter(t))  # type: ignore[attr-defined]
        try:
            with same_attributes(model):
                yield
        finally:
            for t, memory, value, trained in values:
                t.requires_grad = trained
                t.data = memory
                t.data.copy_(value)
            for gradient, memory in gradients:
                gradient.data = memory


@contextmanager
def same_attributes(model: nn.Module) -> Iterator[None]:
    """Gives attributes back alone, among them flags, hooks, and which tensors a module has."""
    attributes = [(module, _attributes(module)) for module in model.modules()]
    try:
        yield
    finally:
        for module, (plain, tables) in attributes:
            module.__dict__.clear()
            module.__dict__.update(plain)
            for name, table in tables.items():
                module.__dict__[name].clear()
                module.__dict__[name].update(table)


def _attributes(module: nn.Module) -> tuple[dict[str, Any], dict[str, dict[Any, Any]]]:
    """A module's attributes, and what its tables of parameters, buffers, hooks and so on hold."""
    plain = dict(module.__dict__)
    return plain, {
        name: dict(table)
        for name, table in plain.items()
        if name.startswith("_") and isinstance(table, dict)
    }


def shares_memory(model: nn.Module) -> bool:
    """Whether anything else lies in the memory of a parameter, as a view that is kept does.

    Then parameters must stay where they are.
    """
    own = {id(p): p for p in model.parameters() if p.numel()}
    memory = {p.untyped_storage()._cdata for p in own.values()}
    held = (t for module in model.modules() for t in tree_leaves(vars(module)))
    others = (t for t in held if isinstance(t, Tensor) and id(t) not in own and t.numel())
    return len(memory) < len(own) or any(_lies_in(memory, t) for t in others)


def _lies_in(memory: Container[int], t: Tensor) -> bool:
    try:
        return t.untyped_storage()._cdata in memory
    except NotImplementedError:  # sparse, say: its numbers are in tensors of its own
        return False
