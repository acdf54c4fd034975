"""A network as a score found it: compared afterwards, and put back."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Changes(NamedTuple):
    """What was put back, by name."""

    parts: list[str]
    "Parameters and submodules that were others, or had other values."
    traces: list[str]
    "All else: buffers, gradients, hooks, flags and other attributes."


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

    def restore(self) -> Changes:
        """Puts back what has changed, and says what that was."""
        parts, traces = self.parameters.restore()
        for names in self.buffers.restore():
            traces += names
        for kept in self.modules:
            changes = kept.restore()
            parts += changes.parts
            traces += changes.traces
        for kind, defined in self.classes:
            changed = [n for n, was in defined.items() if vars(kind).get(n, _NOTHING) is not was]
            new = vars(kind).keys() - defined.keys()
            for name in new:
                delattr(kind, name)
            for name in changed:
                setattr(kind, name, defined[name])
            traces += [f"{kind.__name__}.{name}" for name in (*changed, *sorted(new))]
        return Changes(parts, traces)


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

    def restore(self) -> Changes:
        """Puts all back, and says what was another."""
        now, parts = vars(self.module), []
        if type(self.module) is not self.kind:
            parts.append("")
            self.module.__class__ = self.kind
        traces = [
            name
            for name in {**self.attributes, **now}
            if name not in now or now[name] is not self.attributes.get(name, _NOTHING)
        ]
        now.clear()
        now.update(self.attributes)
        for name, there, then in self.containers:
            if not (there or then) or _content(there) == _content(then):
                continue
            others = _others(there, then) if name in ("_modules", "_parameters") else []
            parts += others
            traces += [] if others else [name]
            if isinstance(there, list):
                there[:] = then
            else:
                there.clear()
                there.update(then)
        return Changes(self._named(parts), self._named(traces))

    def _named(self, names: list[str]) -> list[str]:
        return [".".join(filter(None, (self.name, name))) or "the network" for name in names]


def _content(container: Any) -> Any:
    """What two containers that hold the same objects, in the same order if any, agree in."""
    if isinstance(container, dict):
        return [(key, id(value)) for key, value in container.items()]
    return container if isinstance(container, set) else [*map(id, container)]


def _others(there: dict[str, Any], then: dict[str, Any]) -> list[str]:
    return [name for name, part in then.items() if there.get(name) is not part]


_NOTHING = object()
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
    def restore(self) -> Changes:
        """Puts all back; which had other values, or another type, and on which something hung."""
        changes = Changes([], [])
        for part in self.parts:
            altered, hung = part.restore()
            changes.parts.extend([part.name] if altered else [])
            changes.traces.extend(f"{part.name}.{name}" for name in hung)
        for key, group in self.groups.items():
            if not torch.equal(_bits(group), self.before[key]):
                changes.parts.extend(self._rewrite(key, group))
        return changes

    def _rewrite(
        self, key: tuple[torch.dtype, torch.device], group: list["_Part"]
    ) -> Iterator[str]:
        sizes = [part.memory.nbytes for part in group]
        for part, bits in zip(group, self.before[key].split(sizes), strict=True):
            if not torch.equal(_bits([part]), bits):
                part.memory.copy_(bits.view(key[0]).view_as(part.memory))
                yield part.name


class _Part:
    """One tensor, an alias of its memory, and what hangs on it."""

    def __init__(self, name: str, tensor: Tensor):
        tensor.grad = None
        self.name, self.tensor, self.memory = name, tensor, tensor.detach()
        self.requires_grad = tensor.requires_grad
        self.attributes = dict(vars(tensor))
        self.hooks = copy(tensor._backward_hooks)
        self.late_hooks = copy(tensor._post_accumulate_grad_hooks)

    def restore(self) -> tuple[bool, list[str]]:
        """Puts the tensor back on its memory, and off it what hung there.

        Returns:
            Whether it had other values or another type; and the names of what hung on it, `memory`
            among them where equal values lay elsewhere.
        """
        t, memory = self.tensor, self.memory
        alike = (t.dtype, t.device, t.shape) == (memory.dtype, memory.device, memory.shape)
        moved = not alike or (t.data_ptr(), t.stride()) != (memory.data_ptr(), memory.stride())
        changed = not alike or (moved and not torch.equal(_bits_of(t), _bits_of(memory)))
        if t.grad_fn is not None:  # a buffer that something was added to in place
            t.detach_()
        hung = [name for name, differs in self._hung() if differs]
        hung += ["memory"] if moved and not changed else []
        if moved:
            t.data = memory
        t.grad = None
        t.requires_grad_(self.requires_grad)
        t._backward_hooks = copy(self.hooks)
        t._post_accumulate_grad_hooks = copy(self.late_hooks)
        vars(t).clear()
        vars(t).update(self.attributes)
        return changed, hung

    def _hung(self) -> Iterator[tuple[str, bool]]:
        t = self.tensor
        yield "grad", t.grad is not None
        yield "requires_grad", t.requires_grad != self.requires_grad
        hooks = (t._backward_hooks, self.hooks), (t._post_accumulate_grad_hooks, self.late_hooks)
        yield "hooks", any(_content(now or {}) != _content(then or {}) for now, then in hooks)
        yield "attributes", _content(vars(t)) != _content(self.attributes)


def _bits(parts: Iterable[_Part]) -> Tensor:
    return torch.cat([_bits_of(part.memory) for part in parts])


def _bits_of(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)
