"""Tensors made of parameters alone: their rows are the parameters', pulled back.

    J_i = d <R_i, y(theta)> / d theta

with R_i the rows of y: a weight that is normalised, a table of positions that is looked up, a bias
that is laid out for each pair of tokens. However many calls made y, autograd goes back through
them once, for all examples together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from untrained.layerwise.influence import random_weights, tolerance
from untrained.networks.places import Unstructured


class Derivation(NamedTuple):
    """How a tensor was made of parameters."""

    tensor: Tensor
    "y, with its history."
    sources: dict[str, Tensor]
    "The parameters in it by name, as leaves of that history."

    def pulled_back(self, rows: Float[Tensor, "n ..."]) -> dict[str, Float[Tensor, "n ..."]]:
        """J_i of each parameter.

        Raises:
            Unstructured: rows that do not add up to the gradient of their sum.
        """
        n = len(rows)
        rows = rows.reshape(n, *self.tensor.shape)
        try:
            found = self._gradients(rows, together=True)
        except (RuntimeError, ValueError, NotImplementedError):  # no rule for vmap
            each = [self._gradients(row) for row in rows]
            found = [torch.stack(several) for several in zip(*each, strict=True)]
        c = random_weights(n, rows).to(rows)
        truth = self._gradients(torch.tensordot(c, rows, 1))
        for j, expected in zip(found, truth, strict=True):
            error = (torch.tensordot(c.to(j), j, 1) - expected).norm()
            if error > tolerance(j) * j.reshape(n, -1).norm(dim=1).sum():
                raise Unstructured("rows of what is made of parameters are not understood")
        return dict(zip(self.sources, found, strict=True))

    def _gradients(self, rows: Tensor, together: bool = False) -> Sequence[Tensor]:
        return torch.autograd.grad(
            self.tensor,
            list(self.sources.values()),
            rows,
            retain_graph=True,
            is_grads_batched=together,
            materialize_grads=True,
        )
