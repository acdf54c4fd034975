"""The log marginal likelihood of targets under an NTK, with gradients, and lower bounds of it.

    y ~ N(0, Theta + sigma^2 I)

    log p(y) = fit + log Occam factor - N/2 log(2 pi sigma^2)
    fit                 -1/2 y^T (Theta + sigma^2 I)^-1 y
    log Occam factor    -1/2 log det(I + Theta / sigma^2)

Here Theta = sum_l Theta_l / delta_l, with the share of each layer (`ntk_contributions`) and the
precision of its prior N(0, 1 / delta_l). The determinant of a positive definite matrix is at most
the product of those of its diagonal blocks (Fischer). So whatever groups the N rows are cut into,

    log Occam factor >= sum_groups -1/2 log det(I + Theta_gg / sigma^2)

with groups of all outputs of b examples, of one output of all examples, or of both. A random group
of these, times n / b, K, or both, is an unbiased estimate of the sum (over random partitions), and
needs no more of Theta than its block.

With another likelihood than a Gaussian, Laplace's approximation at trained weights has the fit
log p(y | f) - 1/2 sum_l delta_l |theta_l|^2, and L^T Theta L in place of Theta / sigma^2, with the
curvature L L^T of each example: see `softmax_curvature`.

`Regression.log_marginal_likelihood` is the same for a grid of ridges at once, from one
eigendecomposition and without gradients.

Source: Immer et al., "Stochastic Marginal Likelihood Gradients using Neural Tangent Kernels", ICML
2023, https://arxiv.org/abs/2306.03968; MacKay, "Bayesian Interpolation", Neural Computation 1992
(the Occam factor).
"""

from math import pi

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor


def log_evidence(
    theta: Float[Tensor, "r r"],
    targets: Float[Tensor, "n k"],
    noise: float | Float[Tensor, ""],
    *,
    groups: Int[Tensor, " r"] | None = None,
) -> Float64[Tensor, ""]:
    """log p(y) in nats, or a lower bound of it; with gradients to the kernel and the noise.

    Args:
        theta: of `output="full"`, row i K + k; or of the n examples, for each of K independent
            outputs.
        targets: Y.
        noise: sigma^2.
        groups: a number for each row of the kernel. The Occam factor is that of each group by
            itself, which makes a lower bound: `arange(K).repeat(n)` takes outputs apart. None
            means all in one.

    Raises:
        ValueError: shapes that do not fit, noise that is not positive, or a kernel that is not
            positive semi-definite.

    Example:
        >>> x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
        >>> log_precision = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        >>> line, level = (-log_precision).exp()  # variances of slope and intercept
        >>> log_evidence(line * x @ x.T + level, 3 * x, noise=0.1).backward()
        >>> log_precision.grad.sign()  # more of the slope, less of the intercept
        tensor([-1.,  1.], dtype=torch.float64)
    """
    rows, y = len(theta), targets.double()
    if rows not in (len(y), y.numel()):
        raise ValueError(
            f"expected a kernel of {len(y)} rows, or of {y.numel()} as of output='full', for "
            f"targets of shape {tuple(y.shape)}, got {rows}"
        )
    columns = y.numel() // rows
    y = y.reshape(rows, columns)
    root = _root(theta, noise)
    fit = -torch.cholesky_solve(y, root).mul(y).sum() / (2 * noise)
    factor = log_occam_factor(theta, noise, groups=groups) if groups is not None else _of(root)
    variance = torch.as_tensor(noise, dtype=y.dtype, device=y.device)
    return fit + columns * factor - y.numel() / 2 * (2 * pi * variance).log()


def log_occam_factor(
    theta: Float[Tensor, "r r"],
    noise: float | Float[Tensor, ""] = 1.0,
    *,
    groups: Int[Tensor, " r"] | None = None,
) -> Float64[Tensor, ""]:
    """-1/2 log det(I + Theta / sigma^2) in nats, or a lower bound of it, with gradients.

    Args:
        theta: the kernel, or a diagonal block of it, such as of one output or of a batch.
        noise: sigma^2.
        groups: as of `log_evidence`.

    Raises:
        ValueError: as `log_evidence`.

    Example:
        >>> theta = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
        >>> whole, apart = (log_occam_factor(theta, groups=g) for g in (None, torch.arange(2)))
        >>> round(whole.item(), 3), round(apart.item(), 3)
        (-1.354, -1.386)
    """
    if groups is None:
        return _of(_root(theta, noise))
    if groups.shape != theta.shape[:1]:
        raise ValueError(
            f"groups: expected a number for each of {len(theta)} rows, got shape "
            f"{tuple(groups.shape)}"
        )
    members = [(groups == g).nonzero()[:, 0] for g in groups.unique()]
    parts = [log_occam_factor(theta[m[:, None], m], noise) for m in members]
    return torch.stack(parts).sum()


def softmax_curvature(
    theta: Float[Tensor, "nk nk"], p: Float[Tensor, "n k"]
) -> Float64[Tensor, "nk nk"]:
    """L^T Theta L for cross-entropy, whose curvature is L L^T = diag(p) - p p^T for each example.

        L = diag(sqrt(p)) - p sqrt(p)^T

    Args:
        theta: the NTK with `output="full"`, row i K + k.
        p: what the softmax gives.

    Raises:
        ValueError: shapes that do not fit.
    """
    if len(theta) != p.numel():
        raise ValueError(
            f"expected a kernel with a row for each example and output, {p.numel()}, got "
            f"{len(theta)}"
        )
    p = p.double()
    root = p.sqrt()
    blocks = torch.diag_embed(root) - p[:, :, None] * root[:, None]
    n, k = p.shape
    half = torch.einsum(
        "ikr,ikl->ilr", theta.as_subclass(Tensor).double().reshape(n, k, -1), blocks
    )
    found = torch.einsum("rjk,jkl->rjl", half.reshape(n * k, n, k), blocks).reshape(n * k, n * k)
    return (found + found.T) / 2


def _root(theta: Tensor, noise: float | Tensor) -> Float64[Tensor, "r r"]:
    """The Cholesky factor of I + Theta / sigma^2."""
    if theta.ndim != 2 or theta.shape[0] != theta.shape[1]:
        raise ValueError(f"expected a square kernel, got shape {tuple(theta.shape)}")
    variance = noise.item() if isinstance(noise, Tensor) else noise
    if not 0 < variance < torch.inf:
        raise ValueError(f"noise: expected a positive and finite variance, got {variance!r}")
    scaled = theta.as_subclass(Tensor).double() / noise
    a = (scaled + scaled.T) / 2 + torch.eye(len(scaled), dtype=scaled.dtype, device=scaled.device)
    root, failed = torch.linalg.cholesky_ex(a)
    if failed or not root.isfinite().all():
        raise ValueError(
            "expected a positive semi-definite kernel of finite numbers: I + Theta / noise has no "
            "Cholesky factor; try more noise"
        )
    return root


def _of(root: Float64[Tensor, "r r"]) -> Float64[Tensor, ""]:
    """-1/2 log det of L L^T."""
    return -root.diagonal().log().sum()
