"""Sums of products that make a kernel, with the precision stated.

    Theta[i, j] += sum_alpha J1[i, alpha] J2[j, alpha]

A precision names the products; sums over parameters are always in float64:

    float64    products in float64
    float32    products in float32, over 1,024 parameters at a time
    bfloat16   factors and products of 8 bits: |error| <= 3 2^-8 sqrt(Theta_ii Theta_jj)
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Factors = tuple[Float[Tensor, "n t a"], Float[Tensor, "n q t o"]]
Precision = Literal["float64", "float32", "bfloat16"]

# Parameters in one product: the sums within it are float32's, those between float64's.
BLOCK = {"float64": 4096, "float32": 1024, "bfloat16": 1024}
FINER = {"float64": "float64", "float32": "float64", "bfloat16": "float32"}
# Rows in one product; above so many, a symmetric one is made of its lower half.
HALVED = 256
# Numbers in the copied factors, or in the products, of one call. More of bfloat16 are slower on a
# CPU; on a GPU, where a call takes longer than most products, there are `ON_GPU` times as many.
TOGETHER = {"float64": 2**18, "float32": 2**18, "bfloat16": 2**15}
ON_GPU = 64
SMALL = 2**16
"Bytes of rows up to which several parameters are multiplied together."

# Share of the largest eigenvalue that the products' rounding may move any other by, over n: the
# spectral norm of an error whose entries are at most u Theta_max is at most n u Theta_max.
ROUNDING = {"float64": 0.0, "float32": 2.0**-24, "bfloat16": 3 * 2.0**-8}


def accumulate(
    theta: Float64[Tensor, "n m"],
    a: Float[Tensor, "n p"],
    b: Float[Tensor, "m p"],
    precision: str,
) -> None:
    """theta += a b^T, by blocks of p; where b is a, the lower half alone.

    Small products are made several in a call, which itself takes most of their time on a GPU.
    """
    block, rows = BLOCK[precision], max(len(a), len(b))
    together = TOGETHER[precision] * (ON_GPU if a.is_cuda else 1)
    at_once = max(1, together // (rows * max(rows, block))) if rows <= HALVED else 1
    for start, stop in _parts(a.shape[1], block, at_once):
        left = rounded(a[:, start:stop], precision)
        right = left if a is b else rounded(b[:, start:stop], precision)
        if stop - start > block:
            left, right = (x.unflatten(1, (-1, block)).transpose(0, 1) for x in (left, right))
            theta += torch.bmm(left, right.mT).sum(0, dtype=torch.float64)
        elif rows <= HALVED:
            theta += left @ right.T
        else:
            _by_rows(theta, left, right, a is b)


def _parts(p: int, block: int, at_once: int) -> Iterator[tuple[int, int]]:
    """Parts of so many whole blocks, and the rest."""
    whole = p - p % block
    return pairwise(sorted({*range(0, max(1, whole), block * at_once), whole, p}))


def _by_rows(theta: Tensor, left: Tensor, right: Tensor, symmetric: bool) -> None:
    """A product of all rows would be as large as theta."""
    for row in range(0, len(left), HALVED):
        rows = slice(row, row + HALVED)
        others = slice(0, row + HALVED) if symmetric else slice(None)
        block = theta[rows, others]
        block += left[rows] @ right[others].T


def rounded(x: Tensor, precision: str) -> Tensor:
    """x in the type that products of this precision take; a float64 network keeps its own."""
    if precision == "float32":
        return x if x.dtype == torch.float64 else x.float()
    return x.double() if precision == "float64" else x.bfloat16()


def mirror(theta: Float64[Tensor, "n n"]) -> None:
    """Writes the lower half of a symmetric matrix into its upper half, without a copy."""
    for start in range(0, len(theta), HALVED):
        rows, before = slice(start, start + HALVED), slice(0, start)
        if start:
            theta[before, rows] = theta[rows, before].T
        block = theta[rows, rows].tril_()
        block += block.tril(-1).T


class Tile:
    """A block of Theta between two sets of examples, as its sums arrive.

    The passes see n + m examples: those of the rows, then those of the columns; or n alone where
    these are the same.
    """

    def __init__(
        self,
        n: int,
        m: int | None,
        apart: int,
        precision: str,
        sums: Float64[Tensor, "nq mq"],
        small: int = 0,
    ):
        self.n, self.m = n, n if m is None else m
        self.square = m is None
        self.apart = apart
        "Rows of Theta for each example: q where the columns of the readout stay apart, or 1."
        self.precision = precision
        self.small = small
        "Bytes of rows up to which shares wait for others, as each product takes its time."
        self._waiting: list[Float[Tensor, "n q p"]] = []
        self._sums = sums
        "Zeros at first, such as those of a part of Theta."

    @property
    def examples(self) -> int:
        """How many examples the passes see."""
        return self.n if self.square else self.n + self.m

    def theta(self) -> Float64[Tensor, "nq mq"]:
        """What was summed, in its place."""
        if self.square:  # only its lower half was, and that as it happened
            mirror(self._sums)
        return self._sums

    @property
    def halves(self) -> int:
        """2 where only half of the products are made, since Theta is symmetric."""
        return 2 if self.square and self.n * self.apart > HALVED else 1

    def set_column(self, column: int, values: Float64[Tensor, " nq"]) -> None:
        """Theta[:, column] = values"""
        self._sums[:, column] = values

    def add(self, j1: Float[Tensor, "n q p"], j2: Float[Tensor, "m q p"] | None = None) -> None:
        """Theta += J1 J2^T over some parameters.

        Without J2, J1 holds the rows of all examples that the passes see; a small share of these
        may wait for `settle`.
        """
        if j2 is None and j1.nbytes <= self.small:
            self._waiting.append(j1)
            if sum(each.nbytes for each in self._waiting) > self.small:
                self.settle()
            return
        for a, b in self._sides(j1, j2):
            accumulate(self._sums, a, b, self.precision)

    def settle(self) -> None:
        """Adds the shares that wait, as one.

        Not in float32: their sizes may differ by more than it has digits, and so few take no time.
        """
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        precision = "float64" if self.precision == "float32" else self.precision
        for a, b in self._sides(torch.cat(rows, 2) if len(rows) > 1 else rows[0], None):
            accumulate(self._sums, a, b, precision)

    def _sides(
        self, j1: Float[Tensor, "n q p"], j2: Float[Tensor, "m q p"] | None
    ) -> Iterator[tuple[Float[Tensor, "n p"], Float[Tensor, "m p"]]]:
        """The matrices to multiply; the same one twice where Theta is symmetric."""
        if j2 is None and not self.square:
            j1, j2 = j1[: self.n], j1[self.n :]
        lefts = [j1.flatten(0, 1)] if self.apart == j1.shape[1] else j1.unbind(1)
        if j2 is None:
            return zip(lefts, lefts, strict=True)
        rights = [j2.flatten(0, 1)] if self.apart == j2.shape[1] else j2.unbind(1)
        return zip(lefts, rights, strict=True)

    def add_grams(self, blocks: Sequence[tuple[int, Callable[[], Factors]]]) -> None:
        """Theta[i, j] += sum_{t, t'} (A_i[t] . A_j[t']) (D_i[t] . D_j[t']).

        The same as `add` of J_i = sum_t D_i[t] A_i[t]^T, without J.

        Args:
            blocks: the first example of each block, ascending, and what gives its A and D; no
                block belongs to rows and columns of Theta both, unless these are the same.
        """
        if self.square:
            lefts = rights = blocks
        else:
            lefts = [block for block in blocks if block[0] < self.n]
            rights = [(start - self.n, give) for start, give in blocks if start >= self.n]
        for k, (i, give) in enumerate(lefts):
            left = give()
            for j, other in rights[: k + 1] if self.square else rights:
                right = left if self.square and j == i else other()
                block = self._grams(*left, *right)
                rows = slice(i * self.apart, i * self.apart + len(block))
                columns = slice(j * self.apart, j * self.apart + block.shape[1])
                sums = self._sums[rows, columns]
                sums += block

    def _grams(self, x1: Tensor, d1: Tensor, x2: Tensor, d2: Tensor) -> Float64[Tensor, "n m"]:
        """One block: X X^T and D D^T over all pairs of positions, multiplied and summed."""
        n, q, t, _ = d1.shape
        m = len(d2)
        # Positions may cancel each other, and rounding with them: several take the next precision.
        work = self.precision if t == 1 else FINER[self.precision]
        inputs = _pairs(x1.flatten(0, 1), x2.flatten(0, 1), work)
        if self.apart != q:  # D_i . D_j = sum over columns as well
            d1, d2 = (d.transpose(1, 2).flatten(2) for d in (d1, d2))
            both = inputs * _pairs(d1.flatten(0, 1), d2.flatten(0, 1), work)
            return both.view(n, t, m, t).sum((1, 3), dtype=torch.float64)
        gradients = _pairs(d1.flatten(0, 2), d2.flatten(0, 2), work).view(n, q, t, m, q, t)
        both = gradients.mul_(inputs.view(n, 1, t, m, 1, t))
        return both.sum((2, 5), dtype=torch.float64).view(n * q, m * q)


def _pairs(
    a: Float[Tensor, "n p"], b: Float[Tensor, "m p"], precision: str
) -> Float[Tensor, "n m"]:
    """a b^T, in the type of its products."""
    return rounded(a, precision) @ rounded(b, precision).T
