"""Training in closed form: what gradient descent makes of a linear model, from its kernel alone.

    loss         L = 1/2 |f(X) - y|^2, summed over n examples and K columns of y
    flow         f_t(X) = y + phi(Theta) (f_0(X) - y),                phi(lambda) = e^(-lambda t)
    descent      the same,                                   phi(lambda) = (1 - eta lambda)^t
    momentum     a_(s+1) = (1 + beta - eta lambda) a_s - beta a_(s-1), a_0 = a_(-1) = 1, phi = a_t
    elsewhere    f_t(x) = f_0(x) + A_t (y - f_0(X)),        A_t = Theta(x, X) (1 - phi) Theta^-1

A wide network moves so with its NTK at initialisation, Theta; of a network of any width, it is
what its linearisation does. An ensemble of such networks, whose initial outputs are a Gaussian
process with the NNGP K, is after t

    mean         A_t y
    covariance   K(x, x') + A_t K(X, X) A_t^T - A_t K(X, x') - K(x, X) A_t^T

Eigenvalues that are rounding noise count as zero, and what lies along them is not learnt.

Source: Jacot, Gabriel & Hongler, NeurIPS 2018, https://arxiv.org/abs/1806.07572; Lee et al.,
NeurIPS 2019, https://arxiv.org/abs/1902.06720, equations 8 to 16; momentum: Polyak 1964.
"""

from dataclasses import dataclass
from math import inf, isinf

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from untrained.analysis.kernel import plain
from untrained.analysis.regression import decomposed, targets_of

Time = float | int


@dataclass(frozen=True)
class Descent:
    """A training in closed form; t counts steps of descent, or is the time of a flow."""

    eigenvalues: Float64[Tensor, " n"]
    "lambda of Theta on the training examples, ascending; zero where not resolved."
    eigenvectors: Float64[Tensor, "n n"]
    "U, a column for each."
    targets: Float64[Tensor, "n k"]
    "y."
    start: Float64[Tensor, "n k"]
    "f_0(X)."
    rate: float | None
    "eta of descent; None for a flow."
    momentum: float = 0.0
    "beta."

    @property
    def largest_rate(self) -> float:
        """2 (1 + beta) / lambda_max, below which descent converges; infinite for a zero kernel."""
        largest = self.eigenvalues[-1].item()
        return 2 * (1 + self.momentum) / largest if largest else inf

    def left(self, t: Time) -> Float64[Tensor, " n"]:
        """phi: of each eigenvector's part of f - y, what is left of it.

        Raises:
            ValueError: a negative time, a part of a step, or t = infinity where descent diverges.
        """
        self._check(t)
        resolved = self.eigenvalues > 0
        if isinf(t):
            return (~resolved).double()
        if self.rate is None:
            return torch.exp(-t * self.eigenvalues)
        step = self.eigenvalues.new_zeros(len(self.eigenvalues), 2, 2)
        step[:, 0, 0] = 1 + self.momentum - self.rate * self.eigenvalues
        step[:, 0, 1] = -self.momentum
        step[:, 1, 0] = 1
        return torch.linalg.matrix_power(step, int(t))[:, 0].sum(1)

    def outputs(self, t: Time) -> Float64[Tensor, "n k"]:
        """f_t(X), of the training examples."""
        u = self.eigenvectors
        return self.targets + u @ (self.left(t)[:, None] * (u.T @ (self.start - self.targets)))

    def predict(
        self,
        kernel: Float[Tensor, "m n"],
        t: Time = inf,
        start: Float[Tensor, "m k"] | None = None,
    ) -> Float64[Tensor, "m k"]:
        """f_t(x) of other examples.

        Args:
            kernel: Theta(x, X), between them and the training examples.
            t: when.
            start: f_0(x); None means zero.
        """
        moved = self.weights(kernel, t) @ (self.targets - self.start)
        return moved if start is None else start.detach().double() + moved

    def weights(self, kernel: Float[Tensor, "m n"], t: Time = inf) -> Float64[Tensor, "m n"]:
        """A_t = Theta(x, X) (1 - phi) Theta^-1, by which residuals are weighted."""
        n = len(self.targets)
        if kernel.ndim != 2 or kernel.shape[1] != n:
            raise ValueError(
                f"expected a kernel of (other, {n} training) examples, got shape "
                f"{tuple(kernel.shape)}; try its transpose"
            )
        u = self.eigenvectors
        return (plain(kernel) @ u * self._gained(t)) @ u.T

    def covariance(
        self,
        kernel: Float[Tensor, "m n"],
        nngp: Float[Tensor, "t t"],
        t: Time = inf,
    ) -> Float64[Tensor, "m m"]:
        """Of f_t(x) over an ensemble, one column of outputs; its mean is `predict` from zero.

        Args:
            kernel: Theta(x, X).
            nngp: K on the n training examples, then the m others.
            t: when.
        """
        n, m = len(self.targets), len(kernel)
        if nngp.shape != (n + m, n + m):
            raise ValueError(
                f"expected an NNGP of the {n} training examples and then the {m} others, got "
                f"shape {tuple(nngp.shape)}"
            )
        a, k = self.weights(kernel, t), plain(nngp)
        cross = a @ k[:n, n:]
        return k[n:, n:] + a @ k[:n, :n] @ a.T - cross - cross.T

    def loss(self, t: Time) -> float:
        """L, of the training examples."""
        return self.losses(t).sum().item()

    def losses(self, t: Time) -> Float64[Tensor, " n"]:
        """1/2 |phi u^T (f_0 - y)|^2 of each eigenvector u: they sum to the loss."""
        parts = self.eigenvectors.T @ (self.start - self.targets)
        return (self.left(t)[:, None] * parts).square().sum(1) / 2

    def _gained(self, t: Time) -> Float64[Tensor, " n"]:
        """(1 - phi) / lambda, with every digit of a small lambda t; zero where not resolved."""
        resolved = self.eigenvalues > 0
        usual = self.eigenvalues.where(resolved, 1.0)
        if self.rate is None and not isinf(t):
            self._check(t)
            share = -torch.expm1(-t * self.eigenvalues)
        else:
            share = 1 - self.left(t)
        return (share / usual).where(resolved, 0.0)

    def _check(self, t: Time) -> None:
        whole = isinf(t) or self.rate is None or t == int(t)
        if not t >= 0 or not whole:
            expected = "a time of 0 or more" if self.rate is None else "whole steps, 0 or more"
            raise ValueError(f"t: expected {expected}, got {t!r}")
        if isinf(t) and self.rate is not None and self.rate >= self.largest_rate:
            raise ValueError(
                f"rate: expected one below {self.largest_rate:.3g}, above which descent "
                f"diverges, got {self.rate!r}; see largest_rate"
            )


def gradient_flow(
    kernel: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    start: Float[Tensor, "n k"] | None = None,
    classes: int | None = None,
) -> Descent:
    """Gradient flow on the squared loss, in closed form; its time is learning rate times steps.

    Args:
        kernel: Theta, the NTK on the training examples; of `output="full"`, with rows for each
            example and output, of targets in one column.
        labels: class numbers, whose targets are one-hot minus 1 / K; or the targets y.
        start: f_0(X), the outputs before training; None means zero.
        classes: K; None means one more than the largest label.

    Raises:
        ValueError: shapes that do not fit, or a negative eigenvalue beyond rounding.

    Example:
        >>> x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
        >>> found = gradient_flow(x @ x.T, 3 * x)  # f = w x, whose weight learns to be 3
        >>> round(found.predict(x[-1:] @ x.T).item(), 6)
        3.0
    """
    return _begun(kernel, labels, start, classes, None, 0.0)


def gradient_descent(
    kernel: Float[Tensor, "n n"],
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"],
    *,
    rate: float,
    momentum: float = 0.0,
    start: Float[Tensor, "n k"] | None = None,
    classes: int | None = None,
) -> Descent:
    """Full-batch gradient descent on the squared loss, in closed form, step by step.

    Args:
        kernel: as of `gradient_flow`.
        labels: as of `gradient_flow`.
        rate: eta, for the loss summed over examples and columns.
        momentum: beta of the heavy ball, in [0, 1).
        start: as of `gradient_flow`.
        classes: as of `gradient_flow`.

    Raises:
        ValueError: as `gradient_flow`; a rate that is not positive, or momentum out of range.
    """
    if not 0 < rate < inf:
        raise ValueError(f"rate: expected a positive number, got {rate!r}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: expected a number in [0, 1), got {momentum!r}")
    return _begun(kernel, labels, start, classes, rate, momentum)


def _begun(
    kernel: Tensor,
    labels: Tensor,
    start: Tensor | None,
    classes: int | None,
    rate: float | None,
    momentum: float,
) -> Descent:
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) != len(labels):
        raise ValueError(
            f"expected a square kernel and a label for each row, got shape {tuple(kernel.shape)} "
            f"and {len(labels)} labels"
        )
    y = targets_of(labels, classes)
    if start is not None and start.shape != y.shape:
        raise ValueError(
            f"start: expected outputs of shape {tuple(y.shape)}, got {tuple(start.shape)}"
        )
    s, u, _ = decomposed(kernel)
    if not s.isfinite().all():
        raise ValueError("expected a kernel of finite numbers, got NaN or infinity")
    f = torch.zeros_like(y) if start is None else start.detach().double()
    return Descent(s, u, y, f, rate, momentum)
