"""Attention with infinitely many heads of infinite width.

Scores are Gaussian: with C the covariance of queries, of keys, and of values,

    E G(a, k) G'(b, k') = C(a, b) C(k, k'),      A = softmax(G + mask),
    K(a, b)     = E A(a) C A'(b)^T
    Theta(a, b) = E A(a) T A'(b)^T + T(a, b) S[C](a, b) + C(a, b) S[T](a, b)
    S[X](a, b)  = E sum_kk' (dA(a) C dA'(b)^T)(k, k') X(k, k'),    dA = diag(A) - A^T A

with a, b positions of two examples, and T the tangent kernel of queries, keys and values. No
closed form of these expectations is known: they are means over draws of the scores, of which the
error falls with the root of their number.

Source: Hron et al., "Infinite attention: NNGP and NTK for deep attention networks", ICML 2020,
https://arxiv.org/abs/2006.10540, whose theorem 3 holds for any map of scores; the sums of dA are
those of the softmax.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

LEAST = 1e-30
"What is added where all words are zero."
Kernel4 = Float64[Tensor, "n n t t"]
ROOM = 2**25
"Numbers that may be held at once."
JITTER = 1e-10
"What is added to C, times its mean diagonal, so that it has a root where two words are the same."


def attended(
    c: Kernel4,
    theta: Kernel4,
    mask: Float[Tensor, "t t"] | Bool[Tensor, "t t"] | None,
    draws: int,
    generator: torch.Generator,
) -> tuple[Kernel4, Kernel4]:
    """K and Theta of what attention makes of values, before its last projection.

    Args:
        c: C of examples i, j at positions p, q: c[i, j, p, q].
        theta: T of the same.
        mask: added to scores; true where one of booleans must not look.
        draws: how many.
        generator: of the draws.
    """
    n, _, t, _ = c.shape
    whole = c.transpose(1, 2).reshape(n * t, n * t)
    blind = mask is not None and _looked(torch.zeros_like(mask, dtype=c.dtype), mask).softmax(-1)
    if isinstance(blind, Tensor) and blind.isnan().any():
        raise ValueError("attention: expected a mask that lets each word see one or more")
    jitter = (JITTER * whole.diagonal().mean().detach() + LEAST) * torch.eye(n * t, dtype=c.dtype)
    root = torch.linalg.cholesky(whole + jitter).reshape(n, t, n * t)
    many = max(1, ROOM // max((n * t) ** 2, 16 * n * n * t * t))
    value, slope_c, slope_t, kept = (torch.zeros_like(c) for _ in range(4))
    for start in range(0, draws, many):
        z = torch.randn(min(many, draws - start), n * t, n * t, generator=generator, dtype=c.dtype)
        scores = torch.einsum("itr,brs,ius->bitu", root, z, root)
        a = _looked(scores, mask).softmax(-1)
        of_c, of_t = _Seen(a, c), _Seen(a, theta)
        value = value + of_c.between.sum(0)
        kept = kept + of_t.between.sum(0)
        slope_c = slope_c + _slopes(a, c, c, of_c, of_c)
        slope_t = slope_t + _slopes(a, c, theta, of_c, of_t)
    tangent = (kept + theta * slope_c + c * slope_t) / draws
    return value / draws, tangent


def _looked(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(mask, -torch.inf)
    return scores + mask.to(scores.dtype)


class _Seen:
    """X as it is seen by attention on one side, the other, and both."""

    def __init__(self, a: Tensor, x: Kernel4):
        self.left = torch.einsum("bitp,ijpq->bijtq", a, x)
        "A X."
        self.right = torch.einsum("ijpq,bjuq->bijpu", x, a)
        "X A'^T."
        self.between = torch.einsum("bijtq,bjuq->bijtu", self.left, a)
        "A X A'^T."


def _slopes(a: Tensor, c: Kernel4, x: Kernel4, of_c: _Seen, of_x: _Seen) -> Tensor:
    """S[X], summed over draws, by the four products of dA(a) and dA'(b).

    (dA C dA'^T)(k, k') = A_k A'_k' (C(k, k') - (A C)_k' - (C A'^T)_k + A C A'^T)
    """
    both = torch.einsum("bitp,ijpq,bjuq->ijtu", a, c * x, a)
    left = torch.einsum("bijtq,bjuq->ijtu", of_c.left * of_x.left, a)
    right = torch.einsum("bitp,bijpu->ijtu", a, of_c.right * of_x.right)
    return both - left - right + (of_c.between * of_x.between).sum(0)
