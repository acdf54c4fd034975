"""Where examples lie in a tensor, found by exchanging some of them.

A network sees three examples; then the same with the first exchanged; then with the other two
exchanged. A dimension holds the examples if what differs lies in the first example's slices of it
the first time, and in all others' the second.
"""

from itertools import accumulate
from typing import NamedTuple
from weakref import ReferenceType, ref

import torch
from jaxtyping import Float64
from torch import Tensor

SEEN = 3
"Examples that are shown."
ROUNDING = 64
"Units of a type's precision by which equal examples may come out different."


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
        if m == 1:
            apart = x.unsqueeze(self.dim + 1)
            return apart if self.dim == 0 else apart.movedim(self.dim, 0)
        if self.minor:
            return x.unflatten(self.dim, (m, n)).movedim(self.dim + 1, 0)
        return x.unflatten(self.dim, (n, m)).movedim(self.dim, 0)

    def back(self, x: Tensor) -> Tensor:
        """The inverse of `front`."""
        return x.movedim(0, self.dim + self.minor).flatten(self.dim, self.dim + 1)


class Prints:
    """What is kept of the tensors that one pass meets: a number for each of their slices."""

    def __init__(self) -> None:
        self.shapes: list[torch.Size] = []
        self.rounding: list[float] = []
        "What may be rounding, as a share of a tensor's largest number; 0 for whole numbers."
        # One tensor: small ones that stay, between large ones that go, would break up the memory.
        self._sums: Float64[Tensor, " s"] = torch.empty(2**16, dtype=torch.float64)
        self._filled = 0
        self._weights: Float64[Tensor, " w"] = torch.empty(0, dtype=torch.float64)
        self._met: dict[int, tuple[ReferenceType[Tensor], int, int]] = {}

    def take(self, x: Tensor) -> int:
        """The number of x's print; a tensor met again, unchanged, has the same."""
        known, version, number = self._met.get(id(x), (None, 0, 0))
        if known is not None and known() is x and x._version == version:
            return number
        self.shapes.append(x.shape)
        exact = not (x.is_floating_point() or x.is_complex())
        self.rounding.append(0.0 if exact else ROUNDING * torch.finfo(x.dtype).eps)
        if not x.is_inference():  # which has no versions
            self._met[id(x)] = ref(x), x._version, len(self.shapes) - 1
        x = x.detach()
        wide = (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x).double()
        for dim in possible(x.shape):
            self._add(wide.movedim(dim, 0) if dim else wide, x.shape[dim])
        if not possible(x.shape):
            self._add(wide, 1)
        return len(self.shapes) - 1

    def numbers(self) -> Float64[Tensor, " s"]:
        """Of all prints, one after another."""
        return self._sums[: self._filled]

    def _add(self, x: Tensor, slices: int) -> None:
        """Sums whose weights differ from place to place: changes do not cancel."""
        size = x.numel() // slices
        if self._weights.numel() < size or self._weights.device != x.device:
            places = torch.arange(size, device=x.device)
            self._weights = places.remainder_(8191).double().add_(1)
        end = self._filled + slices
        if not self._filled:
            self._sums = self._sums.to(x.device)
        if end > self._sums.numel():
            self._sums = torch.cat([self._sums, self._sums.new_empty(end)])
        sums = torch.mv(x.reshape(slices, size), self._weights[:size])
        self._sums[self._filled : end] = sums
        self._filled = end


def possible(shape: torch.Size) -> list[int]:
    """Dimensions in which three examples may lie."""
    return [d for d, size in enumerate(shape) if size % SEEN == 0] if shape.numel() else []


def differ(a: Tensor, b: Tensor, tolerance: Tensor | float) -> Tensor:
    """Where two tensors differ by more than this; NaN is equal to NaN."""
    return (a != b) & ~(a.isnan() & b.isnan()) & ~((a - b).abs() <= tolerance)


class Exchanges:
    """Which slices changed when the first example was exchanged, and when all others were.

    Raises:
        Unstructured: shapes that depend on the input.
    """

    def __init__(self, seen: Prints, first: Prints, others: Prints):
        for shape, *after in zip(seen.shapes, first.shapes, others.shapes, strict=True):
            if after != [shape, shape]:
                raise Unstructured(f"shapes depend on the input: {tuple(shape)}")
        self.shapes = seen.shapes
        sizes = [sum(shape[d] for d in possible(shape)) or 1 for shape in self.shapes]
        self._starts = list(accumulate(sizes, initial=0))
        numbers = seen.numbers()
        tolerance = _tolerance(numbers, sizes, seen.rounding)
        self._first: list[bool] = differ(numbers, first.numbers(), tolerance).tolist()
        self._others: list[bool] = differ(numbers, others.numbers(), tolerance).tolist()

    def _moved(self, number: int) -> bool:
        some = slice(*self._starts[number : number + 2])
        return any(self._first[some]) or any(self._others[some])

    def place(self, number: int) -> Place | None:
        """Where examples lie; None where the tensor is the same for all of them.

        Raises:
            Unstructured: no such dimension, or several.
        """
        if not self._moved(number):
            return None
        found, shape, start = [], self.shapes[number], self._starts[number]
        for dim in possible(shape):
            size = shape[dim]
            a, b = (each[start : start + size] for each in (self._first, self._others))
            m, start = size // SEEN, start + size
            if not any(a[m:]) and not any(b[:m]):
                found.append(Place(dim))
            elif not any(a[1::SEEN]) and not any(a[2::SEEN]) and not any(b[::SEEN]):
                found.append(Place(dim, minor=True))
        if len(found) == 1:
            return found[0]
        raise Unstructured(f"examples are not told apart in a tensor of shape {tuple(shape)}")


def _tolerance(
    numbers: Float64[Tensor, " s"], sizes: list[int], rounding: list[float]
) -> Float64[Tensor, " s"]:
    """For each number of a tensor's print, its share of the largest of them."""
    of = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(numbers.device)
    largest = numbers.new_zeros(len(sizes)).scatter_reduce(0, of, numbers.abs(), "amax")
    return (largest * torch.tensor(rounding).to(largest))[of]


def growing(shape: torch.Size, fewer: torch.Size) -> Place | None:
    """The dimension that grows with the number of examples, of a tensor the same for all."""
    if shape == fewer or len(shape) != len(fewer):
        return None
    grown = [d for d, (a, b) in enumerate(zip(shape, fewer, strict=True)) if a != b]
    return Place(grown[0]) if len(grown) == 1 else None
