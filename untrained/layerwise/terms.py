"""What a formula makes of one call: its output, and how D becomes rows of its parameters."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from untrained.layerwise.outer import Outer


class Term(NamedTuple):
    """What one parameter gets from one layer."""

    parameter: Tensor
    gradient: Callable[[Tensor], Tensor]
    "D of the output as `outer` takes it; or without one, the rows (n, ...) themselves."
    outer: Outer | None = None


class Layer(NamedTuple):
    """A layer's output, and what its parameters get from the gradient of that."""

    output: Tensor
    kept: Tensor
    "The input, which must not change before the gradient comes."
    terms: tuple[Term, ...]
