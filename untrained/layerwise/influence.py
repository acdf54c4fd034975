"""Whether examples influence each other, by gradients of the batch at hand.

    D_j(c) = c_j D_j(1) for random c,    D(c) = d sum_i c_i s_i / d y

With M_ij = d s_i / d y_j, the left side is sum_i c_i M_ij and the right side c_j sum_i M_ij: they
agree if and only if M_ij = 0 for all i other than j, but for c of probability zero.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from untrained.networks.arguments import coarsest
from untrained.networks.places import ROUNDING, Unstructured


class Coupled(Unstructured):
    """Examples that influence each other."""

    def __init__(self) -> None:
        super().__init__("the examples of a batch influence each other")


def random_weights(n: int, like: Tensor) -> Float64[Tensor, " n"]:
    """c: of both signs, and far from zero, so that every example counts."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
    signs = torch.randint(2, (n,), generator=generator) * 2 - 1
    return (sizes * signs).to(like.device)


def tolerance(*tensors: Tensor) -> float:
    """A relative difference that is more than the rounding of the coarsest of these."""
    return torch.finfo(coarsest(tensors)).eps ** 0.5


class Shadow(NamedTuple):
    """What is kept of gradients D, of each example."""

    sums: Float64[Tensor, " n"]
    "With weights that differ from place to place."
    sizes: Float64[Tensor, " n"]

    @classmethod
    def of(cls, d: Float[Tensor, "n ..."]) -> "Shadow":
        rows = d.detach().reshape(len(d), -1).double()
        places = torch.arange(rows.shape[1], device=d.device, dtype=torch.float64)
        return cls(rows @ torch.cos(places.square()), rows.norm(dim=1))


class Influence:
    """Gradients of weighted sums, then of plain ones, and their comparison.

    Several columns of the readout are taken together, by random signs.
    """

    def __init__(self, n: int, columns: int, like: Tensor, dtype: torch.dtype):
        self.c = random_weights(n, like)
        self.signs = random_weights(columns, like).sign()
        self.weighing = True
        "Whether the gradients that come are those of the weighted sum."
        self._eps = torch.finfo(dtype).eps
        self._weighted: dict[object, Shadow] = {}
        self._plain: dict[object, Shadow] = {}

    def weights(self) -> Float64[Tensor, "n q"]:
        """c_i for each example, with the column's sign."""
        return torch.outer(self.c, self.signs)

    def take(self, use: object, d: Float[Tensor, "n ..."], column: int) -> None:
        """Notes the gradient of one use of a parameter, `column` being its place among them."""
        shadow = Shadow.of(d)
        if self.weighing:
            self._weighted[use] = shadow
            return
        sums, sizes = self.signs[column] * shadow.sums, shadow.sizes
        if use in self._plain:
            sums, sizes = sums + self._plain[use].sums, sizes + self._plain[use].sizes
        self._plain[use] = Shadow(sums, sizes)

    def check(self) -> None:
        """Compares, once all gradients are there.

        Raises:
            Coupled: they differ by more than rounding.
        """
        nothing = Shadow(torch.zeros_like(self.c), torch.zeros_like(self.c))
        largest = max(
            (plain.sizes.nan_to_num().max() for plain in self._plain.values()), default=0
        )
        rounding = ROUNDING * self._eps * largest
        for use in self._weighted.keys() | self._plain.keys():
            weighted, plain = self._weighted.get(use, nothing), self._plain.get(use, nothing)
            error = (weighted.sums - self.c * plain.sums).abs()
            # Where gradients are not finite the kernel will be NaN, and say so.
            if (
                error > self._eps**0.5 * (plain.sizes + TINY * plain.sizes.max()) + rounding
            ).any():
                raise Coupled


TINY = 1e-6
"Share of the largest gradient of a layer, or of all rows, below which another is rounding."
