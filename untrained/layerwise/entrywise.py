"""Sums and products of examples and parameters, entry by entry.

    y = x + p      J_i = sum_t D_i[t]
    y = x p        J_i = sum_t D_i[t] x_i[t]

over all positions t at which broadcasting repeats the entries of p.
"""

import torch
from torch import Tensor

from untrained.layerwise.terms import Layer, Term
from untrained.networks.sites import Site


def added(site: Site, n: int, input: Tensor, other: Tensor, *, alpha: float | int = 1) -> Layer:
    """input + alpha other, of which either may be the parameter."""
    output = torch.add(input, other, alpha=alpha)
    return Layer(output, other, _terms(site, n, output.ndim, (input, 1), (other, alpha)))


def subtracted(site: Site, n: int, input: Tensor, other: Tensor, *, alpha: float | int = 1) -> Layer:
    """input - alpha other"""
    output = torch.sub(input, other, alpha=alpha)
    return Layer(output, other, _terms(site, n, output.ndim, (input, 1), (other, -alpha)))


def multiplied(site: Site, n: int, input: Tensor, other: Tensor) -> Layer:
    """input other"""
    output, x, y = torch.mul(input, other), input.detach(), other.detach()
    kept = x if site.parameters[1] else y
    return Layer(output, kept, _terms(site, n, output.ndim, (input, y), (other, x)))


def _terms(
    site: Site, n: int, rank: int, *pairs: tuple[Tensor, float | int | Tensor]
) -> tuple[Term, ...]:
    """For each tensor that is the same for all examples, and the derivative by its entries."""
    (place,) = site.outputs
    terms = []
    for tensor, derivative in pairs:
        sizes = (1,) * (rank - tensor.ndim) + tuple(tensor.shape)
        if place is None or sizes[place.dim] != 1:
            continue
        repeated = [k + 1 for k, size in enumerate(sizes) if size == 1]

        def rows(
            d: Tensor,
            derivative: float | int | Tensor = derivative,
            repeated: list[int] = repeated,
            shape: torch.Size = tensor.shape,
        ) -> Tensor:
            d = d if isinstance(derivative, int) and derivative == 1 else d * derivative
            return place.front(d, n).sum(repeated).reshape(n, *shape)

        terms.append(Term(tensor, rows))
    return tuple(terms)
