"""A network as a score found it: compared afterwards, and put back."""

from collections import OrderedDict
from collections.abc import Iterable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn


class KeptNetwork:
    """All that one network is made of, and a copy of its values.

    Of each module its class and attributes, the dicts of hooks, parameters, buffers and submodules
    among them; of each parameter and buffer its memory, values, gradient and hooks; of each class
    what it defines. Gradients are dropped: what comes first finds none, as what comes next.
    """

    def __init__(self, network: nn.Module):
        self.modules = [_Module(name, module) for name, module in network.named_modules()]
        self.classes = [
            (kind, dict(vars(kind)))
            for kind in {c: None for kept in self.modules for c in kept.kind.__mro__[:-1]}
        ]
        self.parameters = _Values(network.named_parameters())
        self.buffers = _Values(network.named_buffers())

    def restore(self) -> str:
        """Puts back what has changed. Which parameter or submodule that was; empty for others."""
        changed = self.parameters.restore()
        self.buffers.restore()
        for kept in self.modules:
            changed = kept.restore() or changed
        for kind, defined in self.classes:
            for name in vars(kind).keys() - defined.keys():
                delattr(kind, name)
            for name, value in defined.items():
                if vars(kind)[name] is not value:
                    setattr(kind, name, value)
        return changed


class _Module:
    """One module: its class and attributes, and what is in those that are containers."""

    def __init__(self, name: str, module: nn.Module):
        self.name, self.module, self.kind = name, module, type(module)
        self.attributes = dict(vars(module))
        self.containers = [
            (name, value, _PLAIN[type(value)](value))
            for name, value in self.attributes.items()
            if type(value) in _PLAIN
        ]

    def restore(self) -> str:
        """Puts all back; the name of the submodule or parameter that was another."""
        changed = ""
        if type(self.module) is not self.kind:
            changed = self.name or "the network"
            self.module.__class__ = self.kind
        vars(self.module).clear()
        vars(self.module).update(self.attributes)
        for kind, there, then in self.containers:
            if kind in ("_modules", "_parameters"):
                others = [name for name, part in then.items() if there.get(name) is not part]
                changed = ".".join(filter(None, (self.name, others[0]))) if others else changed
            if isinstance(there, list):
                there[:] = then
            elif there or then:
                there.clear()
                there.update(then)
        return changed


_PLAIN: dict[type, Any] = {dict: dict, OrderedDict: dict, list: list, set: set}
"Containers whose content is kept, and as what."


class _Values:
    """Tensors with their memory and values; all of a type are one copy, and one comparison.

    Versions would not do: a change by way of `.data` leaves none. Values are compared as bits, so
    that NaN is equal to itself. Sparse tensors are not kept.
    """

    def __init__(self, tensors: Iterable[tuple[str, Tensor]]):
        self.parts = [_Part(name, t) for name, t in tensors if t.layout is torch.strided]
        self.groups: dict[tuple[torch.dtype, torch.device], list[_Part]] = {}
        for part in self.parts:
            self.groups.setdefault((part.memory.dtype, part.memory.device), []).append(part)
        self.before = {key: _bits(group) for key, group in self.groups.items()}

    @torch.no_grad()
    def restore(self) -> str:
        """Puts all back; the name of one whose values, type or place had changed."""
        changed = ""
        for part in self.parts:
            if part.altered():
                changed = part.name
        for key, group in self.groups.items():
            if not torch.equal(_bits(group), self.before[key]):
                changed = self._rewrite(key, group)
        return changed

    def _rewrite(self, key: tuple[torch.dtype, torch.device], group: list["_Part"]) -> str:
        changed = ""
        sizes = [part.memory.nbytes for part in group]
        for part, bits in zip(group, self.before[key].split(sizes), strict=True):
            if not torch.equal(_bits([part]), bits):
                changed = part.name
                part.memory.copy_(bits.view(key[0]).view_as(part.memory))
        return changed


class _Part:
    """One tensor, an alias of its memory, and what hangs on it."""

    def __init__(self, name: str, tensor: Tensor):
        tensor.grad = None
        self.name, self.tensor, self.memory = name, tensor, tensor.detach()
        self.requires_grad = tensor.requires_grad
        self.attributes = dict(vars(tensor))
        self.hooks = copy(tensor._backward_hooks)
        self.late_hooks = copy(tensor._post_accumulate_grad_hooks)

    def altered(self) -> bool:
        """Puts the tensor back on its memory; whether it had other values or another type."""
        t, memory = self.tensor, self.memory
        alike = (t.dtype, t.device, t.shape) == (memory.dtype, memory.device, memory.shape)
        moved = not alike or (t.data_ptr(), t.stride()) != (memory.data_ptr(), memory.stride())
        changed = not alike or (moved and not torch.equal(_bits_of(t), _bits_of(memory)))
        if t.grad_fn is not None:  # a buffer that something was added to in place
            t.detach_()
        if moved:
            t.data = memory
        t.grad = None
        t.requires_grad_(self.requires_grad)
        t._backward_hooks = copy(self.hooks)
        t._post_accumulate_grad_hooks = copy(self.late_hooks)
        vars(t).clear()
        vars(t).update(self.attributes)
        return changed


def _bits(parts: Iterable[_Part]) -> Tensor:
    return torch.cat([_bits_of(part.memory) for part in parts])


def _bits_of(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)
