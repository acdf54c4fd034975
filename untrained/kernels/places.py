"""Where examples lie in a tensor, found by exchanging some of them.

A network sees three examples; then the same with the first exchanged; then with the other two
exchanged. A dimension holds the examples if what differs lies in the first example's slices of it
the first time, and in all others' the second.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

SEEN = 3
"Examples that are shown."


class Unstructured(ValueError):
    """A network, or one of its calls, that the structured method cannot follow."""


class Place(NamedTuple):
    """Where n examples lie in a tensor: in a dimension of n m numbers."""

    dim: int
    minor: bool = False
    "Whether examples vary fastest in it: as (m n), not as (n m)."

    def front(self, x: Tensor, n: int) -> Tensor:
        """x as (n, ...), with m where the dimension was."""
        m = x.shape[self.dim] // n
        if self.minor:
            return x.unflatten(self.dim, (m, n)).movedim(self.dim + 1, 0)
        return x.unflatten(self.dim, (n, m)).movedim(self.dim, 0)


class Print(NamedTuple):
    """What is kept of a tensor, to tell it from another: a number for each slice."""

    shape: torch.Size
    whole: Float64[Tensor, ""]
    slices: dict[int, Float64[Tensor, " size"]]
    "Of each dimension in which three examples may lie."


def take_print(x: Tensor) -> Print:
    """Weighted sums over x and over its slices."""
    slices = {
        dim: _sums(x.movedim(dim, 0).reshape(size, -1))
        for dim, size in enumerate(x.shape)
        if size and size % SEEN == 0
    }
    whole = next(iter(slices.values())).sum() if slices else _sums(x.reshape(1, -1))[0]
    return Print(x.shape, whole, slices)


def _sums(rows: Tensor) -> Float64[Tensor, " r"]:
    # Weights that differ from place to place: changes do not cancel.
    weights = torch.arange(rows.shape[1], device=rows.device).remainder(8191).double() + 1
    return rows.double() @ weights


def differ(a: Tensor, b: Tensor) -> Tensor:
    """Where two tensors differ; NaN is equal to NaN."""
    return (a != b) & ~(a.isnan() & b.isnan())


def place_of(seen: Print, first: Print, others: Print) -> Place | None:
    """Where examples lie; None where the tensor is the same for all of them.

    Raises:
        Unstructured: shapes that depend on the input, or no such dimension, or several.
    """
    if not seen.shape == first.shape == others.shape:
        raise Unstructured(f"shapes depend on the input: {tuple(seen.shape)}")
    if not (differ(seen.whole, first.whole) or differ(seen.whole, others.whole)):
        return None
    found = []
    for dim, slices in seen.slices.items():
        a, b = (differ(slices, other.slices[dim]) for other in (first, others))
        m = len(slices) // SEEN
        if not a[m:].any() and not b[:m].any():
            found.append(Place(dim))
        elif not a.view(m, SEEN)[:, 1:].any() and not b.view(m, SEEN)[:, 0].any():
            found.append(Place(dim, minor=True))
    if len(found) == 1:
        return found[0]
    raise Unstructured(f"examples are not told apart in a tensor of shape {tuple(seen.shape)}")


def growing(shape: torch.Size, fewer: torch.Size) -> Place | None:
    """The dimension that grows with the number of examples, of a tensor the same for all."""
    if len(shape) != len(fewer):
        return None
    grown = [d for d, (a, b) in enumerate(zip(shape, fewer, strict=True)) if a != b]
    return Place(grown[0]) if len(grown) == 1 else None
