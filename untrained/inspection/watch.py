"""A network watched layer by layer: every call that makes something new of its images.

A layer is a call of a torch function, whether a module or plain code makes it, under the name of
the innermost module that makes it. A module without parameters and without parts, such as an
activation of somebody's own, is one layer, whatever it calls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from untrained.inspection.ledger import Call, Ledger
from untrained.networks import attention, recurrence
from untrained.networks.interception import Function, Interception
from untrained.networks.provenance import Provenance, tensors_in
from untrained.networks.sites import name_of

OPERATORS = {
    **{f"{kind}{name}": name for kind in "ri" for name in ("add", "sub", "mul", "matmul", "pow")},
    **{f"{kind}truediv": "div" for kind in ("", "r", "i")},
}


class Watch(Interception):
    """Tells a ledger of every call of one forward pass."""

    def __init__(self, model: nn.Module, ledger: Ledger):
        super().__init__()
        self.model, self.ledger = model, ledger
        self.own = Provenance((*model.parameters(), *model.buffers()))
        # By id, of parameters and of what is made of them; `own` holds the tensors.
        self.names = {id(p): frozenset({name}) for name, p in model.named_parameters()}
        self.used: set[str] = set()
        "Names of parameters that a call has used, with images or without."
        self._modules: list[tuple[str, bool]] = [("", False)]  # that are running, innermost last
        self._inside: list[str] | None = None  # what a module that is one layer has called

    @contextmanager
    def over(self, x: Tensor) -> Iterator[None]:
        """Inside, a pass of the network over x is watched."""
        self.ledger.enter(x)
        with ExitStack() as hooks:
            for name, module in self.model.named_modules():
                for hook in self._hooks(name, module):
                    hooks.callback(hook.remove)
            with self:
                yield

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self._inside is not None:
            self._inside.append(called(func))
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward and attention.fits(*args, **kwargs):
            with self:  # its own calls are layers
                return attention.self_attention(*args, **kwargs)
        if recurrence.fits(func, args, kwargs):
            with self:
                return recurrence.recurrence(func, *args)
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        names = frozenset[str]().union(*(self.names.get(id(t), ()) for t in tensors))
        if not self.own.makes(func, args, kwargs):
            return self._layer(func, args, kwargs, names)
        result = func(*args, **kwargs)
        self.own.add(result)
        if names:
            self.names |= {id(t): names for t in tree_leaves(result)}
        return result

    def _layer(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        names: frozenset[str],
    ) -> Any:
        operation = called(func)
        if operation not in READING:
            self.used |= names
        again = lambda x: func(x, *args[1:], **kwargs)  # noqa: E731
        call = self._asked((*args, *kwargs.values()), args[:1], again)
        call = call._replace(operation=operation, parameters=names)
        result = func(*args, **kwargs)
        if operation == "setitem":
            self.ledger.follow(args[:1], call.sources)
        return self.ledger.note(call, result)

    def _asked(
        self, given: Sequence[Any], first: Sequence[Any], again: Callable[[Tensor], Any]
    ) -> Call:
        """A call before it is made, with a copy of the first argument if no other is a tensor."""
        tensors = [*tensors_in(given)]
        examples = [t for t in tensors if t not in self.own]
        self.ledger.know(examples)
        alone = len(tensors) == 1 and any(t is first[0] for t in examples)
        copy = tensors[0].detach().clone() if alone and _is_signal(tensors[0]) else None
        sources = self.ledger.sources(examples)
        return Call(*self._modules[-1], "", sources, (), copy, again)

    def _hooks(self, name: str, module: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """They say which module is running, and of one that is a layer itself what it gives."""
        whole = not any(True for _ in module.children())
        plain = whole and not any(True for _ in module.parameters())
        asked: list[Call] = []

        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._modules.append((name, whole))
            if plain and self._inside is None:
                with torch._C.DisableTorchFunction():  # hooks run inside this interception
                    call = self._asked((*args, *kwargs.values()), args[:1], module.forward)
                asked.append(call)
                self._inside = []

        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
            if asked:
                calls, self._inside = self._inside or [], None
                call = asked.pop()._replace(
                    operation=calls[0] if len(calls) == 1 else type(module).__name__
                )
                if "batch_norm" in calls:  # again, it would take other statistics
                    call = call._replace(entered=None)
                with torch._C.DisableTorchFunction():
                    result = self.ledger.note(call, result)
            self._modules.pop()
            return result

        return (
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, with_kwargs=True),
        )


READING = frozenset({"get", "size", "dim", "len", "numel", "stride"})
"Functions by which modules ask a parameter for its shape, type or device."


def called(func: Function) -> str:
    """A function's name, the same for a function, a method and an operator."""
    name = name_of(func).strip("_")
    return OPERATORS.get(name, name)


def _is_signal(t: Tensor) -> bool:
    return t.is_floating_point() and t.ndim > 1
