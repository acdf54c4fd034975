"""Activation patterns of any network, hashed to 128 bits while it runs.

An input's pattern is the piece that each unit is on. Pieces are packed, one bit for a unit of two
pieces, and whenever 4 KiB have come in for each input, they are replaced by their hash,

    h <- blake2b(h, pieces)    of 16 bytes,

so that no pattern is held as a whole. Among n inputs, two different patterns have the same hash
with a probability below n^2 2^-129.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from torch import Tensor

from untrained.networks.interception import Function, Interception
from untrained.regions.piecewise_linear import PiecewiseLinear, activation_of

HELD = 4096
"""Bytes of an input's packed pieces before they are hashed; equal for all, however many run."""

DIGEST = 16
"""Bytes of a hash."""

Rows = UInt8[np.ndarray, "n w"]


class PatternHash(Interception):
    """Reads the patterns of one batch while a network runs on it."""

    def __init__(self, inputs: int):
        super().__init__()
        self.inputs = inputs
        self.neurons = 0
        self._held: list[Rows] = [np.empty((inputs, 0), np.uint8)]

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if activation := activation_of(func, args, kwargs):
            self._add(activation)
        return func(*args, **kwargs)

    def digests(self) -> list[bytes]:
        """The hash of each input's pattern so far."""
        rows = np.concatenate(self._held, axis=1)
        return [hashlib.blake2b(row, digest_size=DIGEST).digest() for row in rows]

    def _add(self, activation: PiecewiseLinear) -> None:
        if activation.x.shape[:1] != (self.inputs,):
            raise ValueError(
                f"expected nonlinearities on the batch of {self.inputs}, "
                f"got shape {tuple(activation.x.shape)}"
            )
        pieces = [piece.reshape(self.inputs, -1) for piece in activation.pieces()]
        self.neurons += max((piece.shape[1] for piece in pieces), default=0)
        self._held += map(packed, pieces)
        if sum(rows.shape[1] for rows in self._held) > HELD:
            joined = b"".join(self.digests())
            self._held = [np.frombuffer(joined, np.uint8).reshape(self.inputs, DIGEST)]


def packed(piece: Tensor) -> Rows:
    """The pieces of each input as bytes: one bit a unit for two pieces, four bytes for more."""
    if piece.dtype != torch.bool:
        return piece.to(torch.int32).contiguous().cpu().numpy().view(np.uint8)
    if piece.device.type == "cpu":
        return np.packbits(piece.numpy(), axis=1)
    return packed_in_place(piece).cpu().numpy()


def packed_in_place(piece: Bool[Tensor, "n m"]) -> UInt8[Tensor, "n w"]:
    """`packbits` on the device of the pieces, so that an eighth of the bytes travel."""
    eights = F.pad(piece.to(torch.uint8), (0, -piece.shape[1] % 8)).unflatten(1, (-1, 8))
    place = 2 ** torch.arange(7, -1, -1, dtype=torch.uint8, device=piece.device)
    return (eights * place).sum(2, dtype=torch.uint8)
