"""Power laws, fitted by least squares on logarithms.

    y ~ c x^a:    a = sum (u - u') (v - v') / sum (u - u')^2,    u = log x, v = log y

with u', v' the means. The standard error is that of a regression with independent residuals; those
of a spectrum are not, so that it says how straight the line is rather than how sure.
"""

from dataclasses import dataclass
from math import sqrt

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PowerLaw:
    """An exponent with its standard error, or the reason why there is none."""

    exponent: float | None
    standard_error: float | None
    points: int
    "How many points were fitted."
    reason: str = ""
    "Why there is no exponent; empty if there is one."


def power_law(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> PowerLaw:
    """The exponent a of y ~ c x^a, from positive x and y.

    Example:
        >>> import torch
        >>> x = torch.tensor([1.0, 2.0, 4.0])
        >>> power_law(x, 5 / x**2).exponent
        -2.0
    """
    n = len(x)
    if n < 3:
        return PowerLaw(None, None, n, f"a power law needs three points, got {n}")
    u, v = x.double().log(), y.double().log()
    u, v = u - u.mean(), v - v.mean()
    squares = u.square().sum().item()
    if squares == 0:
        return PowerLaw(None, None, n, "a power law needs different abscissae, got equal ones")
    a = (u @ v).item() / squares
    residual = (v - a * u).square().sum().item()
    return PowerLaw(a, sqrt(residual / (n - 2) / squares), n)
