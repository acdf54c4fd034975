"""Rows of J for any operation at all: what falls between the layers that have formulas.

    J_i = d <D_i, y(theta, x_i)> / d theta

for the one call y = func(...) that uses theta, by `vmap` over `grad` of that call, or where it has
no rule for vmap, one example after another. The network around it is not run again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import TreeSpec, tree_leaves, tree_unflatten

from untrained.layerwise.influence import random_weights, tolerance
from untrained.networks.jacobian import quiet
from untrained.networks.places import Place, Unstructured


class Operation(NamedTuple):
    """One call, taken apart."""

    func: Callable[..., Any]
    leaves: list[Any]
    "Its arguments, those with examples in front: (n, ...)."
    tree: TreeSpec
    batched: list[bool]
    "Which leaves are."
    wanted: list[int]
    "Which leaves are the parameters that rows are asked for."
    whole: list[Any]
    "Its arguments as they were given."
    versions: list[int]
    "Of tensors among these, before the call."

    @property
    def name(self) -> str:
        """The function's."""
        return getattr(self.func, "__name__", str(self.func))

    def rows(
        self, gradients: Mapping[int, Tensor], places: Sequence[Place | None], n: int
    ) -> list[Float[Tensor, "n ..."]]:
        """J_i of each parameter asked for, given D of some outputs, by their numbers.

        Raises:
            Unstructured: rows that do not add up to what autograd gives for the call.
        """
        each: list[Tensor | None] = [None] * len(places)
        weighted: list[Tensor | None] = [None] * len(places)
        for k, d in gradients.items():
            place = places[k]
            if place is None:
                raise Unstructured("what a parameter gives does not depend on the example")
            front = place.front(d, n)
            c = random_weights(n, d).to(d).view(n, *[1] * (front.ndim - 1))
            weighted[k] = place.back(c * front)
            each[k] = front if any(self.batched) else _alone(d, place, n)
        found = self._rows(each, n)
        self._check(found, weighted, n)
        return found

    def _rows(self, gradients: Sequence[Tensor | None], n: int) -> list[Tensor]:
        try:
            with quiet():
                return self._together([*gradients])
        except (RuntimeError, ValueError, NotImplementedError):
            pass
        try:
            each = (self._one(i, gradients) for i in range(n))
            return [torch.stack(rows) for rows in zip(*each, strict=True)]
        except (RuntimeError, NotImplementedError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise Unstructured(f"{self.name} does not take single examples: {reason}") from error

    def _check(self, rows: Sequence[Tensor], gradients: Sequence[Tensor | None], n: int) -> None:
        """Compares with the gradient of the call as it was, c_i D_i being that of its outputs:

        sum_i c_i J_i = d <c D, y> / d theta
        """
        if versions(self.whole) != self.versions:
            raise Unstructured("the input of a call was changed in place")
        theta = [self.whole[index].detach().requires_grad_() for index in self.wanted]
        with torch.enable_grad():
            inner = self._inner(theta, self.whole, gradients)
        truth = _gradients(inner, theta)
        for found, expected in zip(rows, truth, strict=True):
            error = (_weighted(found, n) - expected).norm()
            size = found.reshape(n, -1).norm(dim=1).sum()
            if error > tolerance(found) * size:
                raise Unstructured(f"rows of {self.name} are not understood")

    def _inner(
        self, theta: Sequence[Tensor], leaves: Sequence[Any], gradients: Sequence[Any]
    ) -> Tensor:
        """<D_i, y(theta, x_i)>"""
        leaves = list(leaves)
        for index, value in zip(self.wanted, theta, strict=True):
            leaves[index] = value
        args, kwargs = tree_unflatten(leaves, self.tree)
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no rule for vmap
            outputs = self.func(*args, **kwargs)
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        pairs = zip(found, gradients, strict=True)
        terms = [(y * d.view_as(y)).sum() for y, d in pairs if d is not None]
        return torch.stack(terms).sum()

    def _together(self, gradients: list[Tensor | None]) -> list[Tensor]:
        theta = [self.leaves[index] for index in self.wanted]
        held = [leaf for leaf, batched in zip(self.leaves, self.batched, strict=True) if batched]
        given = [d for d in gradients if d is not None]

        def inner(theta: list[Tensor], held: list[Tensor], given: list[Tensor]) -> Tensor:
            mine, theirs = iter(held), iter(given)
            leaves = [
                next(mine) if batched else leaf
                for leaf, batched in zip(self.leaves, self.batched, strict=True)
            ]
            return self._inner(
                theta, leaves, [d if d is None else next(theirs) for d in gradients]
            )

        return list(vmap(grad(inner), in_dims=(None, 0, 0))(theta, held, given))

    def _one(self, i: int, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        leaves = [
            leaf[i] if batched else leaf
            for leaf, batched in zip(self.leaves, self.batched, strict=True)
        ]
        theta = [self.leaves[index].detach().requires_grad_() for index in self.wanted]
        with torch.enable_grad():
            inner = self._inner(theta, leaves, [d if d is None else d[i] for d in gradients])
        return _gradients(inner, theta)


def _gradients(inner: Tensor, theta: Sequence[Tensor]) -> list[Tensor]:
    if not inner.requires_grad:
        return [torch.zeros_like(t) for t in theta]
    return list(torch.autograd.grad(inner, theta, materialize_grads=True))


def versions(leaves: Sequence[Any]) -> list[int]:
    """How often tensors were changed in place."""
    return [leaf._version for leaf in leaves if isinstance(leaf, Tensor)]


def _weighted(rows: Float[Tensor, "n ..."], n: int) -> Tensor:
    """sum_i c_i J_i"""
    return torch.tensordot(random_weights(n, rows).to(rows), rows, 1)


def _alone(d: Tensor, place: Place, n: int) -> Float[Tensor, "n ..."]:
    """D_i where the whole output has it, and zero elsewhere."""
    if n * d.nbytes > MOST:
        raise Unstructured("a parameter that is spread over too many numbers")
    apart = d.new_zeros(n, *d.shape)
    front = place.front(d, n)
    for i in range(n):
        place.front(apart[i], n)[i] = front[i]
    return apart


MOST = 2**27
"Bytes that the gradients of one call may take, where each example has its own of all outputs."
