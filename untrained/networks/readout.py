"""Readouts: which function of a network's outputs the kernel is of.

    g_q(x) = sum_k R[k, q] f_k(x)

    sum     R = (1, ..., 1)^T    Theta[i, j] = sum_kl <d f_k(x_i), d f_l(x_j)>
    trace   R = I, summed        Theta[i, j] = sum_k  <d f_k(x_i), d f_k(x_j)>
    full    R = I                Theta[(i, k), (j, l)] = <d f_k(x_i), d f_l(x_j)>
    k       R = e_k              Theta[i, j] = <d f_k(x_i), d f_k(x_j)>
    tensor  R as given, summed   Theta[i, j] = sum_q <d g_q(x_i), d g_q(x_j)>

In the limit of infinite width the logits are independent, and `sum` equals `trace`.
"""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Output = Literal["sum", "trace", "full"] | int | Float[Tensor, "k q"]


class Readout(NamedTuple):
    """R, and whether its columns stay apart."""

    matrix: Float[Tensor, "k q"]
    apart: bool
    "Whether Theta has a row for each example and column of R, or sums over the columns."

    @property
    def columns(self) -> int:
        """q: backward passes that the kernel needs."""
        return self.matrix.shape[1]

    @property
    def rows(self) -> int:
        """Rows of Theta that one example has."""
        return self.columns if self.apart else 1


def make_readout(output: Output, outputs: int, like: Tensor) -> Readout:
    """R for a network of so many outputs, in the type and on the device of `like`.

    Raises:
        ValueError: an unknown word, a class that is not there, or a tensor that is not (k, q).
    """
    if isinstance(output, Tensor):
        if output.ndim != 2 or output.shape[0] != outputs or not output.shape[1]:
            raise ValueError(
                f"expected a readout of shape ({outputs}, q) for {outputs} outputs, got "
                f"{tuple(output.shape)}"
            )
        return Readout(output.to(like), False)
    if isinstance(output, int) and not isinstance(output, bool):
        if not 0 <= output < outputs:
            raise ValueError(
                f"output={output}: expected a number from 0 to {outputs - 1}, since the network "
                f"has {outputs} outputs"
            )
        return Readout((torch.arange(outputs) == output).to(like)[:, None], False)
    if output == "sum":
        return Readout(like.new_ones(outputs, 1), False)
    if output in ("trace", "full"):
        identity = torch.eye(outputs, dtype=like.dtype, device=like.device)
        return Readout(identity, output == "full")
    raise ValueError(
        f"unknown output: expected 'sum', 'trace', 'full', a class or a (k, q) tensor, got "
        f"{output!r}"
    )


def read(f: Float[Tensor, "n k"], r: Float[Tensor, "k q"]) -> Float[Tensor, "n q"]:
    """g = f R, in the finer of their types: outputs may have another than the parameters."""
    finer = torch.promote_types(f.dtype, r.dtype)
    return f.to(finer) @ r.to(f.device, finer)


def random_readout(outputs: int, count: int, generator: torch.Generator) -> Float[Tensor, "k q"]:
    """A random projection of the outputs, R[k, q] ~ N(0, 1 / count).

    Its kernel is an unbiased estimate of `trace` from `count` backward passes instead of k
    (Hutchinson), with a relative variance of at most 2 / count for Theta[i, i].

    Example:
        >>> from untrained import ntk
        >>> net, x = torch.nn.Linear(3, 1000), torch.eye(3)
        >>> few = random_readout(1000, 4, torch.Generator().manual_seed(0))
        >>> estimate = ntk(net, x, output=few) / ntk(net, x, output="trace")
        >>> bool((estimate - 1).abs().max() < 0.1)
        True
    """
    return torch.randn(outputs, count, generator=generator) / count**0.5


def flattened(outputs: Any, n: int) -> Float[Tensor, "n k"]:
    """f: everything the network gives for each example, one row each.

    Raises:
        ValueError: outputs that are not one real tensor with a row for each of n examples.
    """
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        got = str(outputs.dtype) if isinstance(outputs, Tensor) else type(outputs).__name__
    elif outputs.ndim == 0 or len(outputs) != n:
        got = f"shape {tuple(outputs.shape)}"
    else:
        return outputs.reshape(n, -1)
    raise ValueError(
        f"expected outputs as one real tensor whose first dimension is the batch of {n}, got "
        f"{got}; wrap the network in one that returns such"
    )
