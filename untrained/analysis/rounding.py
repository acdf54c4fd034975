"""How far rounding moves the eigenvalues of a kernel, and of what is made of it.

    floor = max((n eps_J)^2, n u) max(lambda_max, s)

A relative error n eps_J of the singular values of J is (n eps_J)^2 of their squares. An error of
the entries that is at most u s has a spectral norm of at most n u s; s is the size of the entries
that were rounded, and scales with them. Both hold for a part of a kernel, for sums and for
averages, whatever the largest eigenvalue is there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rounding:
    """The precision of a kernel."""

    factors: float
    "eps_J, of the rows of J."
    entries: float
    "u, the share of s that an entry may be off by."
    scale: float
    "s, in the units of the kernel; infinite where nothing is known."

    def share(self, n: int) -> float:
        """The floor of n rows as a share of the largest eigenvalue, or of s if that is larger."""
        return max((n * self.factors) ** 2, n * self.entries)

    def resolution(self, n: int, largest: float) -> float:
        """The floor of n rows as a share of their largest eigenvalue."""
        if largest <= 0:  # then there is nothing to resolve
            return self.share(n)
        return self.share(n) * max(1.0, self.scale / largest)

    def times(self, factor: float) -> "Rounding":
        """That of c K, given |c|."""
        return replace(self, scale=self.scale * factor if factor else 0.0)

    def beside(self, other: "Rounding") -> "Rounding":
        """That of entries of which some are of one kernel, some of another."""
        return Rounding(
            max(self.factors, other.factors),
            max(self.entries, other.entries),
            max(self.scale, other.scale),
        )

    def plus(self, other: "Rounding") -> "Rounding":
        """That of K_1 + K_2; a kernel of zeros adds nothing."""
        if not self.scale or not other.scale:
            return other if other.scale else self
        return replace(self.beside(other), scale=self.scale + other.scale)

    def apart(self) -> "Rounding":
        """That of what is no J J^T any more, in which errors of J are errors of the entries."""
        return replace(self, entries=max(self.entries, self.factors))


def rounding_of(value: Any) -> Rounding | None:
    """That of a kernel which knows it; None of anything else."""
    return getattr(value, "rounding", None) if isinstance(value, Tensor) else None


def carried(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
) -> Rounding | None:
    """The rounding of what an operation of torch makes of kernels; None where that is not known.

    Args:
        name: of the function, as torch has it.
        args: its arguments; those that have a `rounding` are kernels.
        kwargs: further ones.
        result: what it gave.
    """
    rule = _RULES.get(name.strip("_"))
    found = rule(args, kwargs, result) if rule else None
    if found is None or not isinstance(result, Tensor) or not result.is_floating_point():
        return found
    return replace(found, entries=max(found.entries, torch.finfo(result.dtype).eps))


def _kernels(values: Any) -> Iterator[Rounding]:
    """The roundings in a structure of arguments."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _kernels(value)
        elif (known := rounding_of(value)) is not None:
            yield known


def _same(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """Entries copied, put elsewhere, left out, or averaged; others written among them."""
    known = list(_kernels([*args, *kwargs.values()]))
    return reduce(Rounding.beside, known) if known else None


def _masked(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """Entries moved by themselves, by no more than their errors were."""
    known = _same(args, kwargs, result)
    return known and known.apart()


def _joined(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """Several kernels side by side, if all are."""
    parts = args[0] if isinstance(args[0], list | tuple) else args
    if any(rounding_of(part) is None for part in parts):
        return None
    return reduce(Rounding.beside, _kernels(parts))


def _copied(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    return rounding_of(args[1])


def _added(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """K_1 + a K_2; what is no kernel, such as a ridge, is exact."""
    first, second = _pair(args, kwargs)
    a = float(kwargs.get("alpha", 1))
    one, two = rounding_of(first), rounding_of(second)
    if two is None:
        return one
    if one is None:
        return two.times(abs(a))
    total = one.plus(two.times(abs(a)))
    return total if a >= 0 else total.apart()


def _subtracted(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    return _added(args, {**kwargs, "alpha": -kwargs.get("alpha", 1)}, result)


def _multiplied(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """c K, entry by entry."""
    first, second = _pair(args, kwargs)
    kernel, c = (first, second) if rounding_of(first) else (second, first)
    known = rounding_of(kernel)
    if known is None or rounding_of(c) is not None:
        return None
    scaled = known.times(_largest(c))
    return scaled.apart() if _of_every_entry(c, kernel) else scaled


def _divided(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """K / c, entry by entry."""
    kernel, c = _pair(args, kwargs)
    known = rounding_of(kernel)
    if known is None or rounding_of(c) is not None or kwargs.get("rounding_mode"):
        return None
    smallest = c.abs().min().item() if isinstance(c, Tensor) else abs(float(c))
    scaled = known.times(1 / smallest if smallest else torch.inf)
    return scaled.apart() if _of_every_entry(c, kernel) else scaled


def _product(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """A K, whose entries err by the sums over rows of |A|; or K A, by those over columns."""
    first, second = _pair(args, kwargs)
    one, two = rounding_of(first), rounding_of(second)
    if (one is None) == (two is None) or result.ndim < 2:
        return None
    if one is not None:
        return one.times(_largest(second.abs().sum(-2)))
    return two.times(_largest(first.abs().sum(-1))) if two else None


def _einsum(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    """The same of any sums: their value at entries of 1 and at sizes of all other factors."""
    equation, *factors = args
    factors = list(factors[0]) if isinstance(factors[0], list | tuple) else factors
    known = [each for factor in factors if (each := rounding_of(factor))]
    if len(known) != 1:
        return None
    sizes = [
        factor.abs() if rounding_of(factor) is None else factor.new_ones(()).expand(factor.shape)
        for factor in factors
    ]
    return known[0].times(_largest(torch.einsum(equation, sizes)))


def _summed(args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Rounding | None:
    known = rounding_of(args[0])
    return known and known.times(args[0].numel() / max(1, result.numel()))


def _pair(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    return args[0], args[1] if len(args) > 1 else kwargs["other"]


def _largest(c: Any) -> float:
    """max |c|; without a copy, since c may be as large as a kernel."""
    if not isinstance(c, Tensor):
        return float(abs(c))
    if not c.numel():
        return 0.0
    low, high = c.detach().aminmax()
    return max(-float(low), float(high))


def _of_every_entry(c: Any, kernel: Tensor) -> bool:
    """Whether c is a matrix, rather than a number or a factor for each row or column."""
    return isinstance(c, Tensor) and c.numel() == kernel.numel() > 1


_Rule = Callable[[Sequence[Any], Mapping[str, Any], Any], Rounding | None]

_NAMES: dict[_Rule, str] = {
    _same: """
        getitem index_select select narrow take_along_dim gather setitem fill_diagonal
        clone contiguous detach to type type_as double float half bfloat16 cpu cuda pin_memory
        share_memory requires_grad requires_grad= data alias real neg negative positive
        T mT H mH t transpose swapaxes swapdims permute movedim moveaxis adjoint
        reshape reshape_as view view_as flatten unflatten squeeze unsqueeze expand expand_as
        broadcast_to repeat tile repeat_interleave flip fliplr flipud rot90 roll diagonal
        split split_with_sizes chunk tensor_split hsplit vsplit unbind mean
    """,
    _masked: "abs absolute clamp clamp_min clamp_max relu tril triu where masked_fill",
    _joined: "cat concat concatenate stack vstack hstack dstack block_diag",
    _copied: "copy",
    _added: "add radd",
    _subtracted: "sub subtract rsub",
    _multiplied: "mul multiply",
    _divided: "div divide true_divide",
    _product: "matmul mm bmm",
    _einsum: "einsum",
    _summed: "sum",
}

_RULES = {name: rule for rule, names in _NAMES.items() for name in names.split()}
