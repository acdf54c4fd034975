"""What products with a kernel alone can tell, by Lanczos' method: for kernels too large to hold.

    Theta V = V T + beta v e^T,    V orthonormal, its first column b / |b|,  T tridiagonal

    g(Theta) b        ~  |b| V g(T) e_1
    descent           A_t (y - f_0) = Theta(x, X) g(Theta) (y - f_0(X)),   g = (1 - phi) / lambda
    density           sum_i delta(lambda - lambda_i) / n  ~  mean over random b of
                      sum_j (e_1 . u_j)^2 delta(lambda - theta_j),   T = U diag(theta) U^T

V is orthogonalised anew at every step, so that rounding makes no copies of an eigenvalue.

Source: Saad, SIAM Journal on Numerical Analysis 1992 (functions); Ubaru, Chen & Saad, SIAM Journal
on Matrix Analysis 2017 (densities).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator

Array = NDArray[np.float64]


Operator: TypeAlias = LinearOperator | Array
"A symmetric kernel, to be multiplied by vectors: SciPy's, as of `ntk_operator`, or a matrix."


class Applied(NamedTuple):
    """A function of a kernel, applied to a vector."""

    value: Array
    "g(Theta) b."
    change: float
    "|last - last but one| / |last|: about the relative error, where it falls steadily."
    products: int
    "With the kernel."


def apply_function(
    theta: Operator,
    b: Array,
    g: Callable[[Array], Array],
    *,
    tolerance: float = 1e-8,
    most: int = 300,
) -> Applied:
    """g(Theta) b, by as many products as change the answer.

    Args:
        theta: symmetric.
        b: (n,).
        g: of eigenvalues.
        tolerance: of the relative change, below which it ends.
        most: products.

    Raises:
        ValueError: an operator that is not square, or a vector of another length.

    Example:
        >>> theta = np.diag([1.0, 4.0, 9.0])
        >>> apply_function(theta, np.ones(3), np.sqrt).value.round(6)
        array([1., 2., 3.])
    """
    size = float(np.linalg.norm(b))
    value, change, products = np.zeros_like(b), np.inf if size else 0.0, 0
    for v, s, u in _lanczos(theta, b, most):
        products = v.shape[1]
        last, value = value, size * (v @ (u @ (g(s) * u[0])))
        change = float(np.linalg.norm(value - last) / (np.linalg.norm(value) or 1.0))
        if change < tolerance:
            break
    return Applied(value, change, products)


def descent_weights(
    theta: Operator, residual: Array, t: float, *, tolerance: float = 1e-8, most: int = 300
) -> Applied:
    """a = Theta^-1 (1 - e^(-Theta t)) (y - f_0), one column: f_t(x) = f_0(x) + Theta(x, X) a.

    What gradient flow has made of a linear model by t, see `descent`; as little of it is held as
    of the kernel: one more product with Theta(x, X) gives the outputs of other examples.

    Args:
        theta: on the training examples, such as `ntk_operator(net, x)`.
        residual: y - f_0(X), (n,).
        t: learning rate times steps, finite; for the end of time, see `conjugate_gradients`.
        tolerance: as of `apply_function`.
        most: as of `apply_function`.

    Raises:
        ValueError: a time that is negative or infinite, or as `apply_function`.
    """
    if not 0 <= t < np.inf:
        raise ValueError(f"t: expected a finite time of 0 or more, got {t!r}")

    def g(s: Array) -> Array:
        s = np.maximum(s, 0)
        return np.where(s * t > 1e-12, -np.expm1(-s * t) / np.where(s > 0, s, 1), t)

    return apply_function(theta, residual, g, tolerance=tolerance, most=most)


@dataclass(frozen=True)
class Density:
    """A spectral density, as points with weights that sum to 1."""

    values: Array
    "Eigenvalues of T, ascending, of all probes."
    weights: Array

    def moment(self, power: int) -> float:
        """tr Theta^power / n, about."""
        return float((self.weights * self.values**power).sum())

    def below(self, value: float) -> float:
        """Share of the eigenvalues below a value, about."""
        return float(self.weights[self.values < value].sum())


def spectral_density(
    theta: Operator, *, generator: np.random.Generator, steps: int = 60, probes: int = 8
) -> Density:
    """How eigenvalues are distributed, from `steps` products with each of a few random vectors.

    Args:
        theta: symmetric.
        generator: of the vectors.
        steps: of Lanczos' method; the first 2 steps - 1 moments of each vector are exact.
        probes: vectors; the error of their mean falls with the root of their number.

    Raises:
        ValueError: an operator that is not square, or numbers below 1.
    """
    if steps < 1 or probes < 1:
        raise ValueError(f"expected a step and a probe or more, got {steps!r} and {probes!r}")
    values, weights = list[Array](), list[Array]()
    for _ in range(probes):
        b = generator.choice([-1.0, 1.0], theta.shape[0])
        *_, (_, s, u) = _lanczos(theta, b, steps)
        values.append(s)
        weights.append(u[0] ** 2 / probes)
    order = np.argsort(joined := np.concatenate(values))
    return Density(joined[order], np.concatenate(weights)[order])


def _lanczos(theta: Operator, b: Array, most: int) -> Iterator[tuple[Array, Array, Array]]:
    """V, and eigenvalues and eigenvectors of T, step by step, until nothing new comes."""
    n = len(b)
    if theta.shape != (n, n):
        raise ValueError(f"expected a square operator of {n} rows, got {tuple(theta.shape)}")
    size = np.linalg.norm(b)
    if not size:
        return
    v, alpha, beta = np.asarray(b, dtype=np.float64)[:, None] / size, list[float](), list[float]()
    for step in range(min(most, n)):
        w = np.asarray(theta @ v[:, step], dtype=np.float64)
        alpha.append(float(v[:, step] @ w))
        for _ in range(2):  # once is not enough where w is almost within V
            w = w - v @ (v.T @ w)
        yield v, *eigh_tridiagonal(np.array(alpha), np.array(beta))
        beta.append(float(np.linalg.norm(w)))
        if beta[-1] <= 1e-12 * max(abs(a) for a in alpha):
            return
        v = np.concatenate([v, w[:, None] / beta[-1]], 1)
