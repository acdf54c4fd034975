"""Sums and products of examples and parameters, entry by entry.

    y = x + p      J_i = sum_t D_i[t]
    y = x p        J_i = sum_t D_i[t] x_i[t]

over all positions t at which broadcasting repeats the entries of p.
"""

import torch
from torch import Tensor

from untrained.layerwise.terms import Layer, Term
from untrained.networks.sites import Site

Number = float | int


def added(site: Site, n: int, input: Tensor, other: Tensor, *, alpha: Number = 1) -> Layer:
    """input + alpha other, of which either may be the parameter."""
    output = torch.add(input, other, alpha=alpha)
    return Layer(output, other, _terms(site, n, output.ndim, (input, 1), (other, alpha)))


def subtracted(site: Site, n: int, input: Tensor, other: Tensor, *, alpha: Number = 1) -> Layer:
    """input - alpha other"""
    output = torch.sub(input, other, alpha=alpha)
    return Layer(output, other, _terms(site, n, output.ndim, (input, 1), (other, -alpha)))


def multiplied(site: Site, n: int, input: Tensor, other: Tensor) -> Layer:
    """input other"""
    output, x, y = torch.mul(input, other), input.detach(), other.detach()
    kept = x if site.parameters[1] else y
    return Layer(output, kept, _terms(site, n, output.ndim, (input, y), (other, x)))


def _terms(
    site: Site, n: int, rank: int, *pairs: tuple[Tensor, Number | Tensor]
) -> tuple[Term, ...]:
    """For the parameter of two tensors, each with the derivative by its entries."""
    (place,) = site.outputs
    terms = []
    for name, (tensor, derivative) in zip(site.parameters, pairs, strict=True):
        sizes = (1,) * (rank - tensor.ndim) + tuple(tensor.shape)
        if not name or place is None or sizes[place.dim] != 1:
            continue
        repeated = [k + 1 for k, size in enumerate(sizes) if size == 1]

        def rows(
            d: Tensor,
            derivative: Number | Tensor = derivative,
            repeated: list[int] = repeated,
            shape: torch.Size = tensor.shape,
        ) -> Tensor:
            if isinstance(derivative, Tensor) or derivative != 1:
                d = d * derivative
            return place.front(d, n).sum(repeated).reshape(n, *shape)

        terms.append(Term(tensor, rows))
    return tuple(terms)
