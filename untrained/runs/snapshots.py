"""Looks of a tracking on the disk: one line of `moments.jsonl` and one kernel for each.

Each line ends with a digest of itself and its kernel, so that damage to either is seen. A look
that is damaged is left out; the others stand.
"""

import hashlib
import io
import json
import tokenize
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from untrained.analysis.estimate import Quantity
from untrained.files import write_whole
from untrained.runs.moments import MEASURED, Moment

MOMENTS = "moments.jsonl"
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError),
    *(SyntaxError, tokenize.TokenError, RecursionError, ArithmeticError, MemoryError),
)
"What reading a damaged line or array raises."


class Snapshot(NamedTuple):
    """A look at a network that is trained."""

    moment: Moment
    kernel: Float32[Tensor, "n n"]


def read_snapshots(folder: Path, size: int) -> tuple[list[Snapshot], list[str]]:
    """The whole looks in a folder, at `size` images each, and what is wrong with the others.

    Raises:
        OSError: the moments cannot be read.
    """
    looks: list[Snapshot] = []
    damage = []
    path = folder / MOMENTS
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            kept = json.loads(line)
            moment = _moment({name: kept[name] for name in kept if name != "digest"})
        except UNREADABLE as error:
            damage.append(f"{path}: line {number} cannot be read ({type(error).__name__})")
            continue
        try:
            look = Snapshot(moment, _kernel(folder, moment, size))
            if kept.get("digest", _digest(look)) != _digest(look):
                raise ValueError("it does not fit its line")
            if looks and moment.epoch <= looks[-1].moment.epoch:
                raise ValueError("its line stands out of order")
            looks.append(look)
        except UNREADABLE as error:
            where = kernel_file(folder, moment)
            damage.append(f"{where}: cannot be read ({str(error)[:80] or type(error).__name__})")
    return looks, damage


def write_snapshot(folder: Path, looks: Sequence[Snapshot], new: Snapshot) -> None:
    """Writes a new look, its line last: one that is written has all that goes with it.

    Args:
        folder: with a folder `kernels` in it.
        looks: all, in the order of their epochs.
        new: the one among them that is not yet on the disk.
    """
    content = io.BytesIO()
    np.save(content, new.kernel.numpy())
    write_whole(kernel_file(folder, new.moment), content.getvalue())
    lines = [json.dumps({**asdict(look.moment), "digest": _digest(look)}) for look in looks]
    write_whole(folder / MOMENTS, "".join(f"{line}\n" for line in lines).encode())


def kernel_file(folder: Path, moment: Moment) -> Path:
    """Where the kernel of a moment lies."""
    return folder / "kernels" / f"{moment.epoch:05d}.npy"


def _digest(look: Snapshot) -> str:
    found = hashlib.blake2b(json.dumps(asdict(look.moment)).encode(), digest_size=8)
    found.update(look.kernel.contiguous().numpy().tobytes())
    return found.hexdigest()


def _kernel(folder: Path, moment: Moment, size: int) -> Tensor:
    content = kernel_file(folder, moment).read_bytes()
    kernel = np.load(io.BytesIO(content), allow_pickle=False)
    if kernel.dtype != np.float32 or kernel.shape != (size, size):
        raise ValueError(f"expected float32 of {size} x {size}, got {kernel.dtype} of "
                         f"{kernel.shape}")  # fmt: skip
    return torch.from_numpy(kernel)


def _moment(kept: dict[str, Any]) -> Moment:
    quantities = {name: Quantity(*kept[name]) for name in MEASURED}
    moment = Moment(**{**kept, **quantities, "eigenvalues": tuple(kept["eigenvalues"])})
    whole = all(map(_is_quantity, quantities.values()))
    numbers = all(map(_is_number, (moment.seconds, *moment.eigenvalues)))
    if type(moment.epoch) is not int or moment.epoch < 0 or not (whole and numbers):
        raise ValueError(f"expected the numbers of a look, got {kept}")
    return moment


def _is_quantity(found: Quantity) -> bool:
    given = _is_number(found.value) and found.unresolved == ""
    return given or (found.value is None and isinstance(found.unresolved, str))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]
