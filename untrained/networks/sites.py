"""Sites: the calls of a network that use parameters."""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.networks import attention, recurrence
from untrained.networks.interception import Function, Interception
from untrained.networks.places import Place, Unstructured
from untrained.networks.provenance import tensors_in

DERIVED = "#"
"Begins the names of tensors made of parameters alone."


Kind = Literal["layer", "derived", "spread"]
"Of examples and parameters; of parameters alone; of parameters, once for each example."


class Site(NamedTuple):
    """One call that uses parameters, in the order of the network's own program."""

    name: str
    "Of the function."
    kind: Kind
    places: tuple[Place | None, ...]
    "Of the examples in each tensor among the arguments, in order; None where there are none."
    outputs: tuple[Place | None, ...]
    parameters: tuple[str | None, ...]
    "Their names, and those of tensors made of them, among the tensors; empty for a constant."


class ParameterCalls(Interception, ABC):
    """Sees every call that uses a parameter, or what was made of parameters alone."""

    def __init__(self, parameters: Iterable[Tensor]):
        super().__init__()
        # By id, with the tensors themselves: a freed tensor's id may come again.
        self.known = {id(p): p for p in parameters}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func in _BACKWARD:
            raise Unstructured("the network differentiates itself")
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        if not any(id(t) in self.known for t in tensors):
            return self.plain(func, args, kwargs)
        if name_of(func) in READS:
            value = func(*args, **kwargs)
            if not isinstance(value, Tensor):  # a shape, a type; but `weight.T` is a use
                return value
        if func is F.multi_head_attention_forward and attention.fits(*args, **kwargs):
            with self:  # its own calls are seen in turn
                return attention.self_attention(*args, **kwargs)
        if recurrence.fits(func, args, kwargs):
            with self:
                return recurrence.recurrence(func, *args)
        return self.use(func, args, kwargs, tensors)

    @abstractmethod
    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        """What a call that uses a parameter shall give."""

    def plain(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What any other call shall give."""
        return func(*args, **kwargs)

    def derive(self, outputs: Any) -> None:
        """From now on, these count as parameters."""
        self.known |= {id(t): t for t in tree_leaves(outputs) if isinstance(t, Tensor)}


_BACKWARD = frozenset({torch.autograd.grad, torch.autograd.backward, Tensor.backward})
"What these use cannot be told from the gradients that a kernel is made from."


@contextmanager
def constant_parameters(
    parameters: Iterable[nn.Parameter], but: Container[int] = ()
) -> Iterator[None]:
    """None of these requires a gradient for the time of the block, but those of the ids `but`."""
    held = [p for p in parameters if p.requires_grad and id(p) not in but]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)


def guarded(output: Tensor) -> Tensor:
    """A network may change an output in place, which a leaf forbids."""
    return output.clone() if output.is_leaf else output


def states(tensors: Iterable[Tensor]) -> set[tuple[int, int]]:
    """Which tensors these are, as they are now: what a call gives back unchanged is not new."""
    return {(id(t), t._version) for t in tensors}


def name_of(func: Function) -> str:
    """A function's own name."""
    return getattr(func, "__name__", str(func))


READS = frozenset({"__get__", "size", "dim", "__len__", "numel", "stride"})
"How modules ask a parameter for its shape, type or device: as a property, or by a method."
