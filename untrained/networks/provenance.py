"""Which tensors of a forward pass are no example's: parameters, buffers, and what is made of them.

Made of: by calls that were seen, of such tensors alone, from a first one on. Anything else counts
as the examples': what comes from where nobody looks, such as a custom function, may be theirs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from untrained.networks.interception import Function


class Provenance:
    """Tensors that are no example's, by id, with the tensors themselves: ids come again."""

    def __init__(self, tensors: Iterable[Tensor] = ()):
        self.known = {id(t): t for t in tensors}

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self.known

    def add(self, outputs: Any) -> None:
        """From now on these are known."""
        self.known |= {id(t): t for t in tree_leaves(outputs) if isinstance(t, Tensor)}

    def makes(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether what this call gives is no example's."""
        if func in LIKE:
            return True
        if args and isinstance(args[0], Tensor) and id(args[0]) not in self.known:
            return False  # nearly always
        if func in SHAPED:
            return True
        tensors = list(tensors_in((*args, *kwargs.values())))
        if not tensors:
            return func in CONSTANT
        own = [t for t in tensors if t in self]
        if len(own) == len(tensors):
            return True
        if own and _in_place(func):  # by an example's
            self._discard(own[0])
        return False

    def _discard(self, tensor: Tensor) -> None:
        """Forgets all that has this tensor's memory."""
        memory = tensor.untyped_storage()._cdata
        self.known = {
            key: t for key, t in self.known.items() if t.untyped_storage()._cdata != memory
        }


def _in_place(func: Function) -> bool:
    name: str = getattr(func, "__name__", "")
    return name.startswith(("__i", "__s")) or (name.endswith("_") and not name.endswith("__"))


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """Tensors among arguments and in lists of them, in order; every call passes here."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


CONSTANT = frozenset(
    {
        torch.arange,
        torch.linspace,
        torch.zeros,
        torch.ones,
        torch.full,
        torch.eye,
        torch.tril_indices,
    }
)
"Functions of numbers alone. What `torch.tensor` is made of may be an example."
LIKE = frozenset(
    {
        *(torch.zeros_like, torch.ones_like, torch.full_like),
        *(Tensor.new_zeros, Tensor.new_ones, Tensor.new_full),
    }
)
"Functions that ask a tensor for its shape or type alone."
SHAPED = frozenset(
    {Tensor.type_as, Tensor.expand_as, Tensor.view_as, Tensor.reshape_as, Tensor.to}
)
"Functions that ask all but their first tensor for shape or type alone."
SPREADING = frozenset(
    {
        *(Tensor.expand, Tensor.expand_as, torch.broadcast_to, Tensor.broadcast_to),
        *(Tensor.repeat, torch.tile, Tensor.tile),
    }
)
"Functions that repeat a tensor as it is."
