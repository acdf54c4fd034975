"""Interception of torch functions: how this subpackage looks into a network without touching it.

Inside its context, an interception sees every call of a torch function, whether a module or plain
code makes it. Contexts nest: the innermost sees a call first, and the next one what that calls.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]
Call = Callable[[Function, Sequence[Any], Mapping[str, Any]], Any]
"What a function of these arguments shall give."


def called(func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What it gives."""
    return func(*args, **kwargs)


class Interception(TorchFunctionMode, ABC):
    """A context whose `call` stands for every torch function."""

    @abstractmethod
    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func(*args, **kwargs)` shall give."""

    def __torch_function__(
        self,
        func: Function,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.call(func, args, kwargs or {})


def _unintercepted(function: Function) -> Function:
    """A function of torch's that asks no interception, which would be off while it runs."""
    names = {**function.__globals__, "has_torch_function": lambda tensors: False}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


gradients = _unintercepted(torch.autograd.grad)
backward = _unintercepted(torch.autograd.backward)
"""Torch's own, in which interceptions see the calls of the backward pass: gradient checkpointing
computes parts of the network there again."""
