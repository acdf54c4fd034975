"""A number that may be missing, and what several draws of it say. Any subpackage may import this.

mean = sum_d v_d / D,    standard error = sqrt(sum_d (v_d - mean)^2 / (D - 1) / D)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import NamedTuple


class Quantity(NamedTuple):
    """A number, or the reason why it is not resolved."""

    value: float | None
    "None if it is not resolved; never NaN."
    reason: str = ""
    "Why there is no value; empty if there is one."


@dataclass(frozen=True)
class Estimate:
    """The mean of a random quantity over draws."""

    mean: float | None
    "Over the draws that gave a number, and so of the quantity given that; None without any."
    standard_error: float | None
    "Of the mean; None for fewer than two numbers."
    draws: int
    "How many numbers went into it."
    failures: tuple[str, ...] = ()
    "For each draw that gave none, the reason."
    is_count: bool = False
    "Whether it is of something counted, which is shown as a whole number."

    @property
    def value(self) -> float:
        """The mean, where there must be one.

        Raises:
            ValueError: no draw gave a number.
        """
        if self.mean is None:
            raise ValueError(f"expected a draw with a number, got none: {self.failures}")
        return self.mean


def estimate(
    draws: Iterable[tuple[float | int | None, str]], *, is_count: bool = False
) -> Estimate:
    """The mean and standard error of draws, each a value or None and the reason.

    A `Quantity` is such a draw; so is `(found.condition_number, found.reason)`.

    Example:
        >>> estimate([(1.0, ""), (3.0, ""), (None, "overflow")])
        Estimate(mean=2.0, standard_error=1.0, draws=2, failures=('overflow',), is_count=False)
    """
    values, failures = [], []
    for value, reason in draws:
        if value is None:
            failures.append(reason)
        elif isfinite(value):
            values.append(float(value))
        else:
            failures.append(f"not a finite number: {value}")
    n = len(values)
    if n == 0:
        return Estimate(None, None, 0, tuple(failures), is_count)
    mean = sum(values) / n
    if n == 1:
        return Estimate(mean, None, 1, tuple(failures), is_count)
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(mean, sqrt(variance / n), n, tuple(failures), is_count)
