"""The neural network Gaussian process kernel, by Monte Carlo over weight draws.

    K(x, x') = 1 / (M d) sum_m sum_c z_c(x; theta_m) z_c(x'; theta_m)

with M draws theta_m of the weights and d features z before the readout. In infinite width it is
the prior covariance of the outputs, up to the variance of the readout's weights and bias. The
standard error is that of the mean over draws, and falls as 1 / sqrt(M).

Source: Novak et al., "Bayesian Deep Convolutional Networks with Many Channels are Gaussian
Processes", ICLR 2019, https://arxiv.org/abs/1810.05148; for architecture search, Park et al.,
"Towards NNGP-guided Neural Architecture Search", 2020, https://arxiv.org/abs/2011.06006.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from untrained.analysis.blocks import Blocks
from untrained.analysis.kernel import rounded
from untrained.kernels.drawn import Law, Sample, Statistics
from untrained.networks.called import Call, Inputs
from untrained.networks.features import Features


@dataclass(frozen=True)
class NNGP:
    """A Monte-Carlo estimate of the kernel between two batches, or of one with itself."""

    mean: Float64[Tensor, "n m"]
    "K, a `Kernel`, whose rounding is that of the features; it knows nothing of `standard_error`."
    standard_error: Float64[Tensor, "n m"] | None
    "Of each entry of `mean`, over draws; None for one draw, which does not tell."
    draws: int
    "M."
    features: int
    "d, the features of one draw."
    readout: str
    "The operation that the features enter; empty if they are the outputs themselves."

    @property
    def reason(self) -> str:
        """Why the kernel tells no examples apart; empty if it does."""
        smallest, largest = self.mean.min().item(), self.mean.max().item()
        if smallest == largest == 0:
            return "the kernel is zero: every feature is zero on every draw"
        # Features in float32 that differ by rounding alone make entries that differ by this.
        if self.mean.numel() > 1 and largest - smallest <= 1e-6 * abs(largest):
            return "the kernel is constant: the features do not depend on the input"
        return ""


def nngp(
    model: Callable[..., Any],
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    generator: torch.Generator,
    draws: int = 8,
    weights: str = "kaiming_fan_in",
    batchnorm: Statistics = "frozen",
    calibration: Inputs | None = None,
    chunk: int | None = 25,
    keep: Collection[str] = (),
    params: Law | None = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> NNGP:
    """The NNGP kernel between two batches, or of one with itself.

    The model is left as it was: its weights do not matter. Dropout is off. Features have the
    model's precision; sums over them are in float64. Memory does not grow with the draws.

    Args:
        model: any network; or a function f(params, x), with a law of its `params`.
        x1: n inputs: a batch; several, as a tuple of arguments or a dictionary of named ones; or
            an iterable of batches, as a data loader, whose labels are left aside.
        x2: m inputs; None means `x1`.
        generator: of the draws. Networks that share layers share their weights, see `weights.py`.
        draws: M.
        weights: the law of the weights, one of `WEIGHTS`; the published code has `lecun_normal`.
        batchnorm: `frozen` (on each draw, exact statistics of `calibration`, then constant);
            `batch` (statistics of each batch, `x1` and `x2` by its own); `running` (mean 0 and
            variance 1, as after any draw: no normalisation); `published` (moving averages after
            one update of momentum 0.997 from 100 random examples of `calibration`, which is nearly
            none).
        calibration: inputs; None means `x1`.
        chunk: examples to pass at a time; None means all, as for a network whose examples
            influence each other. A batch whose statistics are taken passes whole: for many images,
            give a smaller `calibration`, such as `x1[:100]`.
        keep: names of parameters that are not drawn, see `draw_weights`.
        params: draws those of a function by a generator, in any structure of dictionaries, lists
            and tuples; its outputs are the features, unless it ends in a linear layer.
        select: what of the outputs is meant, such as `lambda found: found["logits"]`.
        dtype: to compute in, such as `torch.float64`, with a copy of the network.
        device: to compute on, with a copy of the network.

    Raises:
        ValueError: an unknown choice, no draw, a network that is not understood, or a draw whose
            features are NaN or infinite.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(3, 200), nn.ReLU(), nn.Linear(200, 1))
        >>> kernel = nngp(model, torch.eye(3), generator=torch.Generator().manual_seed(0))
        >>> kernel.mean.round(decimals=1)  # 1/3 and 1/(3 pi) in infinite width
        tensor([[0.3000, 0.1000, 0.1000],
                [0.1000, 0.3000, 0.1000],
                [0.1000, 0.1000, 0.3000]], dtype=torch.float64)
    """
    sample = Sample(
        draws, weights, batchnorm, chunk, keep, params, Call(None, select, dtype, device)
    )
    batches = [x1] if x2 is None else [x1, x2]
    for m, z in enumerate(sample.features(model, batches, calibration, generator), 1):
        k = _gram(z[0].z, z[-1].z)
        if x2 is None:  # to the last bit, which a product leaves open
            k = (k + k.T) / 2
        if m == 1:
            mean, squares = torch.zeros_like(k), torch.zeros_like(k)
        # Welford: the mean, and the sum of squared deviations from it, of the draws so far.
        deviation = k - mean
        mean += deviation / m
        squares += deviation.mul_(k - mean)
    error = (squares / (draws * (draws - 1))).sqrt() if draws > 1 else None
    mean = rounded(mean, z[0].z.dtype)
    return NNGP(mean, error, draws, z[0].z.shape[1], z[0].readout)


def nngp_blocks(
    model: Callable[..., Any],
    train: Inputs,
    validation: Inputs,
    *,
    generator: torch.Generator,
    draws: int = 8,
    weights: str = "kaiming_fan_in",
    batchnorm: Statistics = "frozen",
    calibration: Inputs | None = None,
    chunk: int | None = 25,
    keep: Collection[str] = (),
    params: Law | None = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Blocks:
    """The NNGP kernel that regression needs: training with training and with validation examples.

    All blocks are of the same draws and of the same statistics, those of `calibration`, by default
    of `train`. Arguments and errors are those of `nngp`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from untrained.analysis.validation import validate
        >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
        >>> labels = (x[:, 0] * x[:, 1] > 0).long()
        >>> model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))
        >>> k = nngp_blocks(model, x[:40], x[40:], generator=torch.Generator().manual_seed(0))
        >>> validate(k, labels[:40], labels[40:]).accuracy > 0.8
        True
    """
    sample = Sample(
        draws, weights, batchnorm, chunk, keep, params, Call(None, select, dtype, device)
    )
    sums: list[Tensor] = []
    columns: list[Tensor] = []
    for t, v in sample.features(model, [train, validation], calibration, generator):
        prior = v.z.double().square().mean(1)
        terms = (_gram(t.z, t.z), _gram(v.z, t.z), prior)
        sums = [a.add_(b) for a, b in zip(sums, terms, strict=True)] if sums else list(terms)
        if draws * t.z.shape[1] < len(t.z):  # then they are smaller than the kernel
            columns.append(t.z.double() / (draws * t.z.shape[1]) ** 0.5)
    k, k_vt, prior = (total.div_(draws) for total in sums)
    k, k_vt = (rounded(block, t.z.dtype) for block in (k, k_vt))
    return Blocks(k, k_vt, prior, torch.cat(columns, 1) if columns else None)


def drawn_features(
    model: Callable[..., Any],
    x: Inputs,
    *,
    generator: torch.Generator,
    draws: int = 8,
    weights: str = "kaiming_fan_in",
    batchnorm: Statistics = "frozen",
    calibration: Inputs | None = None,
    chunk: int | None = 25,
    keep: Collection[str] = (),
    params: Law | None = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Iterator[Features]:
    """The features of each draw, one after the other: all that the NNGP kernel is made of.

    Any number of leading draws, and any of the examples, are those of a smaller question.
    Arguments and errors are those of `nngp`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> found = drawn_features(model, torch.eye(3), generator=torch.Generator(), draws=2)
        >>> [draw.z.shape for draw in found]
        [torch.Size([3, 8]), torch.Size([3, 8])]
    """
    sample = Sample(
        draws, weights, batchnorm, chunk, keep, params, Call(None, select, dtype, device)
    )
    return (found for (found,) in sample.features(model, [x], calibration, generator))


def nngp_flops(
    macs: float | int, *, train: int, validation: int, draws: int, features: int, classes: int
) -> float:
    """FLOPs of regression with the NNGP kernel of M draws, for every ridge of the grid.

        2 M (n + m) macs       forward passes
        4 n p^2                singular values of n x p features, p = min(M d, n)
        40 (n + m) p K         predictions at 20 ridges

    A training of e epochs on n images, with twice the forward pass for the backward one, has
    6 e n macs.

    Args:
        macs: multiply-adds of the network for one image.
        train: n.
        validation: m.
        draws: M.
        features: d, of one draw.
        classes: K.

    Example:
        >>> nngp_flops(1e6, train=1000, validation=500, draws=2, features=64, classes=10)
        6142336000.0
    """
    p = min(draws * features, train)
    passes = 2 * draws * (train + validation) * float(macs)
    return passes + 4 * train * p**2 + 40 * (train + validation) * p * classes


def _gram(z1: Float[Tensor, "n d"], z2: Float[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """1 / d sum_c z_c(x) z_c(x')."""
    return z1.double() @ z2.double().T / z1.shape[1]
