"""What a layer's signal is like over a batch: its scale, how much images differ in it, its rank.

With h_i the layer's output for image i, of d numbers, and G = H H^T their n x n products,

    RMS           sqrt(tr G / (n d))
    correlation   mean over pairs i != j of  G_ij / sqrt(G_ii G_jj)
    rank          (tr C)^2 / ||C||_F^2,    C = G with the mean image taken out

The correlation of two images at depth l is that of the order-chaos transition: where it goes to 1,
images become the same to the network. The rank is a participation ratio, n - 1 at most.

Source: Poole et al., "Exponential expressivity in deep neural networks through transient chaos",
NeurIPS 2016, https://arxiv.org/abs/1606.05340; Schoenholz et al., "Deep Information Propagation",
ICLR 2017, https://arxiv.org/abs/1611.01232.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

COLUMNS = 2**16
"Of H that are multiplied at a time, in float64."


class Signal(NamedTuple):
    """Scale and geometry of one layer's output."""

    finite: bool
    rms: float | None
    "Of all entries; None if they are not finite."
    mean: float | None
    "Of all entries; None if they are not finite."
    correlation: float | None
    "Mean cosine of two images; None for fewer than two images that are not zero."
    rank: float | None
    "None where images do not differ, or examples cannot be told apart in the tensor."


class Backward(NamedTuple):
    """The gradient that comes back to a layer's output."""

    finite: bool
    rms: float | None
    "Of all entries; None if they are not finite."
    norm: float | None
    "Root mean square over images of the norm; None if it is not finite."


def signal_of(output: Tensor, n: int) -> Signal:
    """That of a tensor which holds n images.

    Example:
        >>> same = torch.ones(4, 8)
        >>> round(signal_of(same, 4).correlation, 6), signal_of(same, 4).rank
        (1.0, None)
    """
    output = output.detach()
    if not bool(torch.isfinite(output).all()):
        return Signal(False, None, None, None, None)
    entries = output.numel()
    mean = output.mean(dtype=torch.float64).item()
    rows = by_example(output, n)
    if rows is None:
        rms = output.double().square().mean().sqrt().item()
        return Signal(True, rms, mean, None, None)
    gram = products(rows)
    rms = (gram.trace() / entries).clamp(min=0).sqrt().item()
    return Signal(True, rms, mean, correlation(gram), rank(gram))


def backward_of(gradient: Tensor, n: int) -> Backward:
    """That of a gradient, whatever the shape of the tensor that it is of."""
    square = gradient.detach().double().square()
    total = square.sum().item()
    if not total < float("inf"):
        return Backward(False, None, None)
    return Backward(True, (total / square.numel()) ** 0.5, (total / n) ** 0.5)


def by_example(t: Tensor, n: int) -> Float[Tensor, "n d"] | None:
    """A row for each image: of batches, of windows of images, and of sequences that come first."""
    if not t.ndim or not t.numel():
        return None
    if len(t) % n == 0:
        return t.reshape(n, -1)
    if t.ndim > 1 and t.shape[1] == n:
        return t.transpose(0, 1).reshape(n, -1)
    return None


def products(rows: Float[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
    """G = H H^T in float64, some columns at a time."""
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in rows.split(COLUMNS, 1):
        h = part.double()
        gram += h @ h.T
    return gram


def correlation(gram: Float64[Tensor, "n n"]) -> float | None:
    """The mean cosine over pairs of images that are not zero."""
    norms = gram.diagonal().sqrt()
    some = norms > 0
    m = int(some.sum())
    if m < 2:
        return None
    cosines = gram[some][:, some] / norms[some] / norms[some][:, None]
    return ((cosines.sum() - cosines.trace()) / (m * (m - 1))).item()


def rank(gram: Float64[Tensor, "n n"]) -> float | None:
    """(tr C)^2 / ||C||_F^2 of the products C of what differs between images."""
    means = gram.mean(0)
    c = gram - means - means[:, None] + means.mean()
    trace = c.trace()
    if trace <= ROUNDING * gram.trace():
        return None
    return (trace.square() / c.square().sum()).item()


ROUNDING = 1e-12
"Share of the signal's square below which what differs between images is rounding of float64."
