"""How learning one labelled example moves another: the labelled pseudo-NTK (lpNTK).

A small step of gradient descent on example j, whose outputs are wrong by e_j = y_j - p_j, moves
the outputs of i by eta Theta_ij e_j, Theta_ij their K x K block. It lowers the loss of i if

    e_i^T Theta_ij e_j > 0

With softmax and cross-entropy e is positive at the label and negative elsewhere, whatever the
network has learnt. The paper keeps these signs alone, s, and so needs nothing but labels:

    k(i, j) = 1/K w_i^T Theta_ij w_j,    w = s, or e itself

Signs of two classes agree at K - 2 outputs of K, so that with many classes and alike outputs all
examples pull together. The errors tell apart what signs do not; they count an example by how much
of it is still to be learnt.

    interchangeable    k(i, j) >=  t max(k(i, i), k(j, j)): learning one is learning the other
    contradictory      k(i, j) <= -t max(k(i, i), k(j, j)): learning one is unlearning the other
    unrelated          all between

Source: Guo, Ren, Albrecht & Smith, "lpNTK: Better Generalisation with Less Data via Sample
Interaction During Learning", ICLR 2024, https://arxiv.org/abs/2401.08808. One t for both sides,
and its value, are ours. The clusters are those of Gonzalez, "Clustering to Minimize the Maximum
Intercluster Distance", Theoretical Computer Science 1985.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.alignment import normalised
from untrained.analysis.kernel import is_finite, symmetric
from untrained.analysis.rounding import rounding_of


@dataclass(frozen=True)
class Clusters:
    """Examples, each with the head that is closest to it."""

    heads: Int[Tensor, " c"]
    "Numbers of examples, in the order in which they were chosen."
    cluster: Int[Tensor, " n"]
    "Of each example, the position of its head in `heads`."
    radius: float
    "Largest distance of an example from its head, |phi_i - phi_h|, k(i, j) = phi_i . phi_j."


@dataclass(frozen=True)
class Relationships:
    """What labelled examples are to each other."""

    kernel: Float64[Tensor, "n n"]
    "k."
    share: float
    "t."

    @property
    def similarity(self) -> Float64[Tensor, "n n"]:
        """k(i, j) / sqrt(k(i, i) k(j, j)), in [-1, 1]; 0 for an example that nothing moves."""
        return normalised(self.kernel)

    @property
    def kinds(self) -> Int[Tensor, "n n"]:
        """1 for interchangeable examples, -1 for contradictory ones, 0 for unrelated ones."""
        k, own = self.kernel, self.kernel.diagonal()
        related = k.abs() >= self.share * torch.maximum(own[:, None], own)
        return (related * k.sign()).long()

    def clusters(self, count: int) -> Clusters:
        """So many clusters, by farthest-first traversal from example 0; fewer of fewer examples.

        Each further head is the example farthest from all heads so far, if it is not one of them.
        No clusters of that number have less than half the radius.

        Raises:
            ValueError: a count outside 1, ..., n.
        """
        k, n = self.kernel, len(self.kernel)
        if not 1 <= count <= n:
            raise ValueError(f"expected from 1 to {n} clusters, got {count!r}")
        heads, cluster = [0], torch.zeros(n, dtype=torch.long, device=k.device)
        away = self._squares_from(0)
        for position in range(1, count):
            if not away.any():
                break
            heads.append(int(away.argmax()))
            squares = self._squares_from(heads[-1])
            cluster[squares < away] = position
            away = torch.minimum(away, squares)
        return Clusters(torch.tensor(heads, device=k.device), cluster, away.max().sqrt().item())

    def _squares_from(self, head: int) -> Float64[Tensor, " n"]:
        """|phi_i - phi_h|^2 = k(i, i) - 2 k(i, h) + k(h, h)."""
        own = self.kernel.diagonal()
        return (own - 2 * self.kernel[head] + own[head]).clamp(min=0)


def relationships(
    theta: Float[Tensor, "nk nk"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    share: float = 0.5,
) -> Relationships:
    """The labelled pseudo-NTK, and which of them are interchangeable.

    Args:
        theta: the NTK with `output="full"`, row i K + k.
        labels: class numbers, for w = s; or w, such as the errors y - p of a network.
        share: t, in (0, 1].

    Raises:
        ValueError: shapes that do not fit, labels that are no classes, a share out of range, or a
            kernel with NaN or infinity.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> theta = torch.kron(x @ x.T, torch.eye(2))  # of a linear network, f = W x
        >>> relationships(theta, torch.tensor([0, 1, 1])).kinds
        tensor([[ 1, -1,  0],
                [-1,  1,  0],
                [ 0,  0,  1]])
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected a number in (0, 1], got {share!r}")
    n = len(labels)
    k = len(theta) // max(n, 1)
    w = labels if labels.is_floating_point() else error_signs(labels, k)
    return Relationships(labelled_kernel(theta, w) / k, share)


def error_signs(labels: Int[Tensor, " n"], classes: int) -> Float64[Tensor, "n k"]:
    """The signs of y - p for cross-entropy: 1 at the label, -1 at all other classes.

    Raises:
        ValueError: labels outside 0, ..., classes - 1.

    Example:
        >>> error_signs(torch.tensor([2]), 3)
        tensor([[-1., -1.,  1.]], dtype=torch.float64)
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"expected labels from 0 to {classes - 1}, since the kernel has {classes} rows for "
            f"each, got {int(labels.min())} to {int(labels.max())}"
        )
    return 2 * torch.nn.functional.one_hot(labels.long(), classes).double() - 1


def labelled_kernel(
    theta: Float[Tensor, "nk nk"], weights: Float[Tensor, "n k"]
) -> Float64[Tensor, "n n"]:
    """w_i^T Theta_ij w_j: the kernel of the outputs, weighted for each example by itself.

    With the residuals p - y as weights these are the products of the gradients of the examples'
    losses. Examples whose outputs cancel up to rounding count as zero.

    Args:
        theta: the NTK with `output="full"`, row i K + k.
        weights: w.

    Raises:
        ValueError: shapes that do not fit, or NaN or infinity.

    Example:
        >>> labelled_kernel(torch.eye(4), torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
        tensor([[5., 0.],
                [0., 9.]], dtype=torch.float64)
    """
    full = symmetric(theta)
    if weights.ndim != 2 or not weights.numel() or weights.numel() != len(full):
        raise ValueError(
            f"expected a kernel with a row for each example and output, as of output='full', got "
            f"{len(full)} rows and weights of shape {tuple(weights.shape)}"
        )
    if not is_finite(full) or not is_finite(weights):
        raise ValueError("expected finite numbers, got a kernel or weights with NaN or infinity")
    n, k = weights.shape
    w = weights.detach().double().to(full.device).flatten()
    found = (w[:, None] * full * w).reshape(n, k, n, k).sum((1, 3))
    # sum_kl |w_k Theta_kl w_l| <= K sum_k w_k^2 Theta_kk: less than this times eps is noise
    known = rounding_of(theta)
    eps = max(known.factors, known.entries) if known else torch.finfo(theta.dtype).eps
    most = k * (w.square() * full.diagonal()).reshape(n, k).sum(1)
    there = found.diagonal() > eps * most
    return torch.where(there[:, None] & there, found, 0.0)
