"""Rows of J for any operation at all: what falls between the layers that have formulas.

    J_i = d <D_i, y(theta, x_i)> / d theta

for the one call y = func(...) that uses theta, by `vmap` over `grad` of that call, or where it has
no rule for vmap, one example after another. The network around it is not run again.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import TreeSpec, tree_leaves, tree_unflatten

from untrained.kernels.jacobian import quiet


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

    def rows(
        self, gradients: Sequence[Float[Tensor, "n ..."] | None], n: int
    ) -> list[Float[Tensor, "n ..."]]:
        """J_i of each parameter asked for, given D of each output (None where it is unused)."""
        try:
            with quiet():
                return self._together([*gradients])
        except (RuntimeError, ValueError, NotImplementedError):
            each = (self._alone(i, gradients) for i in range(n))
            return [torch.stack(rows) for rows in zip(*each, strict=True)]

    def _inner(self, theta: Sequence[Tensor], leaves: list[Any], gradients: list[Any]) -> Tensor:
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

    def _alone(self, i: int, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        leaves = [
            leaf[i] if batched else leaf
            for leaf, batched in zip(self.leaves, self.batched, strict=True)
        ]
        theta = [self.leaves[index].detach().requires_grad_() for index in self.wanted]
        with torch.enable_grad():
            inner = self._inner(theta, leaves, [d if d is None else d[i] for d in gradients])
        return list(torch.autograd.grad(inner, theta, materialize_grads=True))
