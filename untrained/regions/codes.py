"""Activation codes: on which side of its breakpoint each unit is, for each input of a batch.

A unit is an entry of an elementwise piecewise-linear activation, one for each breakpoint: ReLU has
one at zero, ReLU6 two. Activations are found by what they compute, whether a module, a function
or a method does, in place or not; see `untrained.regions.piecewise_linear`. Max-pooling compares
entries with each other and has no code.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor, nn

from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.interception import Function, Interception
from untrained.networks.unwrapping import unwrapped
from untrained.regions.patterns import packed
from untrained.regions.piecewise_linear import Comparison, activation_of

Bits = UInt8[np.ndarray, "n u"]

TOGETHER = 2**13
"Bytes of an input's code that are unpacked at a time: so few units that float32 counts exactly."


@dataclass(frozen=True)
class ActivationCodes:
    """The codes of n inputs, eight units a byte."""

    inputs: int
    parts: tuple[tuple[UInt8[np.ndarray, "n _"], int], ...]
    "The packed bits of one activation, and how many units they are."

    @property
    def units(self) -> int:
        """N_A, the units of the whole network."""
        return sum(units for _, units in self.parts)

    def agreement(self) -> Float64[Tensor, "n n"]:
        """K_ij = N_A - d_H(c_i, c_j), the units on which inputs i and j agree.

        With s = 2 c - 1 in {-1, 1}, s_i . s_j = N_A - 2 d_H(c_i, c_j). Sums are exact.
        """
        k = np.zeros((self.inputs, self.inputs))
        for bits in self._bits():
            s = 2 * torch.from_numpy(bits).float() - 1
            k += (s @ s.T).double().numpy()
        return torch.from_numpy((k + self.units) / 2)

    def distinct_units(self) -> int:
        """How many patterns over the inputs the units have: the distinct columns of the codes."""
        found: set[bytes] = set()
        for bits in self._bits():
            columns = np.ascontiguousarray(np.packbits(bits, axis=0).T)
            rows = columns.view(np.dtype((np.void, columns.shape[1])))
            found.update(row.tobytes() for row in np.unique(rows))
        return len(found)

    def _bits(self) -> Iterator[Bits]:
        """The codes unpacked, so many units at a time."""
        for rows, units in self.parts:
            for start in range(0, rows.shape[1], TOGETHER):
                some = rows[:, start : start + TOGETHER]
                yield np.unpackbits(some, axis=1, count=min(units - 8 * start, 8 * some.shape[1]))


def activation_codes(
    model: nn.Module, x: Tensor, *, batchnorm: Policy = "running"
) -> ActivationCodes:
    """The activation codes of the inputs `x`, by one forward pass.

    The model is left as it was. Dropout is off.

    Args:
        model: any network whose first argument is a batch.
        x: n inputs.
        batchnorm: `batch` or `frozen`, here the same, by the statistics of `x`; or `running`.

    Raises:
        ValueError: an activation that is not finite, has pieces that are not followed, or is of
            something other than one row for each input; or none at all.

    Example:
        >>> x = torch.tensor([[-1.0, 2.0], [1.0, 3.0]])
        >>> activation_codes(nn.ReLU(), x).agreement()
        tensor([[2., 1.],
                [1., 2.]], dtype=torch.float64)
    """
    model, recorder = unwrapped(model), _Recorder(len(x))
    with evaluating(model), torch.no_grad(), foreign(x), recorder, policy_mode(batchnorm, model):
        model(x.clone())  # a network may change its input in place
    if not recorder.parts:
        raise ValueError(
            "expected a network with piecewise-linear activations such as ReLU, got one without: "
            "its units have no codes"
        )
    return ActivationCodes(len(x), tuple(recorder.parts))


class _Recorder(Interception):
    def __init__(self, inputs: int):
        super().__init__()
        self.inputs = inputs
        self.parts: list[tuple[UInt8[np.ndarray, "n _"], int]] = []

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        activation = activation_of(func, args, kwargs)
        if isinstance(activation, Comparison):
            if activation.x.shape[:1] != (self.inputs,):
                raise ValueError(
                    f"expected activations on the batch of {self.inputs}, "
                    f"got shape {tuple(activation.x.shape)}"
                )
            pieces = (piece.reshape(self.inputs, -1) for piece in activation.pieces())
            self.parts += [(packed(piece), piece.shape[1]) for piece in pieces]
        return func(*args, **kwargs)
