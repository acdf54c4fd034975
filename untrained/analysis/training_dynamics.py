"""Which unlabelled examples would train a network fastest: active learning by training dynamics.

    dynamics    G(S) = |sum_{i in S} grad L_i|^2 = r_S^T Theta_SS r_S,    r = d L / d f

is how fast gradient flow on the examples S lowers their summed loss. Of unlabelled examples r is
by what the network itself believes, their pseudo-labels. What one would add to labelled ones is

    G(S + x) - G(S) = g(x, x) + 2 sum_{i in S} g(x, i),    g(i, j) = r_i^T Theta_ij r_j

and of a batch, chosen greedily, each example takes those chosen before it for labelled.

Source: Wang et al., "Deep Active Learning by Leveraging Training Dynamics", NeurIPS 2022,
https://arxiv.org/abs/2110.08611. There the batch is of the largest gains by the labelled examples
alone, which are `gains` here.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import is_finite, symmetric


@dataclass(frozen=True)
class Acquisition:
    """Unlabelled examples whose labels are to be bought."""

    examples: Int[Tensor, " c"]
    "Their numbers, in the order in which they were chosen."
    dynamics: Float64[Tensor, " c"]
    "G of the labelled examples and those chosen so far."
    gains: Float64[Tensor, " n"]
    "G(S + x) - G(S) by the labelled examples alone; -inf for these."


def greatest_dynamics(
    gradients: Float[Tensor, "n n"], labelled: Int[Tensor, " s"], count: int
) -> Acquisition:
    """Chooses examples that add most to the training dynamics, greedily and exactly.

    Each step takes n sums, whatever was chosen before. The best batch may be another: to find it
    is a quadratic problem over sets.

    Args:
        gradients: g, the products of the gradients of the examples' losses: `labelled_kernel` of
            the NTK with `output="full"` and of `softmax_residuals`.
        labelled: the numbers of examples whose labels are known; none is allowed.
        count: how many to choose.

    Raises:
        ValueError: a kernel that is not square or finite, an example or a count that is not
            there.

    Example:
        >>> pulls = torch.tensor([[1.0, 0.0], [0.9, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> greatest_dynamics(pulls @ pulls.T, torch.tensor([0]), 2).examples
        tensor([1, 2])
    """
    g = symmetric(gradients)
    if not is_finite(g):
        raise ValueError("expected a kernel of finite numbers, got NaN or infinity")
    known = labelled.unique()
    if len(known) and not 0 <= int(known[0]) <= int(known[-1]) < len(g):
        raise ValueError(
            f"labelled: expected numbers from 0 to {len(g) - 1}, got {int(known[0])} to "
            f"{int(known[-1])}"
        )
    if not 1 <= count <= len(g) - len(known):
        raise ValueError(
            f"expected from 1 to {len(g) - len(known)} unlabelled examples to choose, got "
            f"{count!r}"
        )
    gains = g.diagonal() + 2 * g[known].sum(0)
    gains[known] = -torch.inf
    first, total = gains.clone(), g[known[:, None], known].sum()
    chosen, dynamics = [], []
    for _ in range(count):
        best = int(gains.argmax())
        total = total + gains[best]
        gains += 2 * g[best]
        gains[best] = -torch.inf
        chosen.append(best)
        dynamics.append(total)
    return Acquisition(torch.tensor(chosen, device=g.device), torch.stack(dynamics), first)


def softmax_residuals(
    outputs: Float[Tensor, "n k"], labels: Int[Tensor, " n"] | None = None
) -> Float64[Tensor, "n k"]:
    """r = p - y, the gradients of cross-entropy by the outputs, p = softmax(f).

    Args:
        outputs: f.
        labels: class numbers; None means pseudo-labels, the largest output of each example.

    Raises:
        ValueError: labels outside 0, ..., K - 1, or another number of them.

    Example:
        >>> softmax_residuals(torch.zeros(1, 2), torch.tensor([1]))
        tensor([[ 0.5000, -0.5000]], dtype=torch.float64)
    """
    f = outputs.detach().double()
    y = f.argmax(1) if labels is None else labels
    if len(y) != len(f) or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < f.shape[1]):
        raise ValueError(
            f"expected {len(f)} labels from 0 to {f.shape[1] - 1}, got {len(y)}, the largest "
            f"{int(y.max())}"
        )
    return f.softmax(1) - torch.nn.functional.one_hot(y.long(), f.shape[1])
