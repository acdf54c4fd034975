"""Kernels between training and validation examples, and mixtures of two such kernels."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Blocks(NamedTuple):
    """A kernel on n training and m validation examples."""

    train: Float[Tensor, "n n"]
    validation: Float[Tensor, "m n"]
    prior: Float[Tensor, " m"] | None = None
    "k(x, x) of each validation example; None if no variance is asked for."
    features: Float[Tensor, "n p"] | None = None
    "Z with K = Z Z^T on the training examples; None where they are not known to be fewer than n."


def split(kernel: Float[Tensor, "t t"], n: int) -> Blocks:
    """The blocks of a kernel whose first `n` examples are for training.

    Example:
        >>> import torch
        >>> x = torch.randn(8, 3, dtype=torch.float64)
        >>> split(x @ x.T, 5).validation.shape
        torch.Size([3, 5])
    """
    return Blocks(kernel[:n, :n], kernel[n:, :n], kernel.diagonal()[n:])


def mixture(first: Blocks, second: Blocks, share: float | int) -> Blocks:
    """A mixture of two kernels, each in units of its mean diagonal on the training examples.

        K = share K_1 / (tr(K_1) / n) + (1 - share) K_2 / (tr(K_2) / n)

    Raises:
        ValueError: a share outside [0, 1], or a kernel without a positive trace.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share of the first kernel in [0, 1], got {share!r}")
    weights = []
    for blocks, part in ((first, share), (second, 1 - share)):
        mean = blocks.train.double().diagonal().mean().item()
        if not 0 < mean < float("inf"):
            raise ValueError(
                f"a kernel in a mixture is divided by its mean diagonal: expected it positive and "
                f"finite, got {mean!r}"
            )
        weights.append(part / mean)
    a, b = weights
    prior = None
    if first.prior is not None and second.prior is not None:
        prior = a * first.prior.double() + b * second.prior.double()
    return Blocks(
        a * first.train.double() + b * second.train.double(),
        a * first.validation.double() + b * second.validation.double(),
        prior,
    )
