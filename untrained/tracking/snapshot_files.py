"""Snapshots of a tracking on the disk: one line of `snapshots.jsonl` and one kernel for each.

Each line ends with a digest of itself and its kernel, so that damage to either is seen. A snapshot
that is damaged is left out; the others stand.
"""

import hashlib
import io
import json
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from untrained.estimate import Quantity
from untrained.files import content_of, write_whole
from untrained.locations import Location
from untrained.settings import typed
from untrained.tracking.by_class import ClassAlignment
from untrained.tracking.by_layer import LayerShare
from untrained.tracking.snapshots import MEASURED, Snapshot
from untrained.urls import Unreachable

SNAPSHOTS = "snapshots.jsonl"
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError),
    *(SyntaxError, tokenize.TokenError, RecursionError, ArithmeticError, MemoryError),
)
"What reading a damaged line or array raises."
Part = TypeVar("Part", ClassAlignment, LayerShare)


class Recorded(NamedTuple):
    """A snapshot, with its kernel."""

    snapshot: Snapshot
    kernel: Float32[Tensor, "n n"]


def read_recorded(folder: Location, size: int) -> tuple[list[Recorded], list[str]]:
    """The whole snapshots in a folder, at `size` images each, and what is wrong with the others.

    Raises:
        OSError: the snapshots cannot be read.
    """
    snapshots: list[Recorded] = []
    damage = []
    path = folder / SNAPSHOTS
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            kept = json.loads(line)
            said = {name: kept[name] for name in kept if name != "digest"}
            snapshot = _snapshot(said)
        except UNREADABLE as error:
            damage.append(f"{path}: line {number} cannot be read ({type(error).__name__})")
            continue
        try:
            recorded = Recorded(snapshot, _kernel(folder, snapshot, size))
            digest = _digest(said, recorded.kernel)
            if kept.get("digest", digest) != digest:
                raise ValueError("it does not match its line")
            if snapshots and snapshot.epoch <= snapshots[-1].snapshot.epoch:
                raise ValueError("its line is out of order")
            snapshots.append(recorded)
        except Unreachable:
            raise
        except UNREADABLE as error:
            where = kernel_file(folder, snapshot)
            damage.append(f"{where}: cannot be read ({str(error)[:80] or type(error).__name__})")
    return snapshots, damage


def write_recorded(folder: Location, snapshots: Sequence[Recorded], new: Recorded) -> None:
    """Writes a new snapshot, its line last: one that is written has all that goes with it.

    Args:
        folder: with a folder `kernels` in it.
        snapshots: all, in the order of their epochs.
        new: the one among them that is not yet on the disk.
    """
    content = content_of(lambda file: np.save(file, new.kernel.numpy()))
    write_whole(kernel_file(folder, new.snapshot), content)
    lines = []
    for recorded in snapshots:
        said = asdict(recorded.snapshot)
        lines.append(json.dumps({**said, "digest": _digest(said, recorded.kernel)}))
    write_whole(folder / SNAPSHOTS, "".join(f"{line}\n" for line in lines).encode())


def kernel_file(folder: Location, snapshot: Snapshot) -> Location:
    """Where the kernel of a snapshot lies."""
    return folder / "kernels" / f"{snapshot.epoch:05d}.npy"


def _digest(said: Mapping[str, Any], kernel: Tensor) -> str:
    """Of a line as it is written, in whatever version, and of its kernel."""
    found = hashlib.blake2b(json.dumps(said).encode(), digest_size=8)
    found.update(kernel.contiguous().numpy().tobytes())
    return found.hexdigest()


def _kernel(folder: Location, snapshot: Snapshot, size: int) -> Tensor:
    content = kernel_file(folder, snapshot).read_bytes()
    kernel = np.load(io.BytesIO(content), allow_pickle=False)
    if kernel.dtype != np.float32 or kernel.shape != (size, size):
        raise ValueError(f"expected float32 of {size} x {size}, got {kernel.dtype} of "
                         f"{kernel.shape}")  # fmt: skip
    return torch.from_numpy(kernel)


def _snapshot(kept: dict[str, Any]) -> Snapshot:
    """Of a line; one of an older version has no classes and no layers."""
    parts = {"by_class": ClassAlignment, "by_layer": LayerShare}
    quantities = {name: Quantity(*kept[name]) for name in MEASURED}
    shares = {
        name: tuple(_part(kind, of) for of in kept.get(name, ())) for name, kind in parts.items()
    }
    snapshot = Snapshot(
        **{**kept, **quantities, **shares, "eigenvalues": tuple(kept["eigenvalues"])}
    )
    whole = all(map(_is_quantity, quantities.values()))
    numbers = all(map(_is_number, (snapshot.seconds, *snapshot.eigenvalues)))
    if type(snapshot.epoch) is not int or snapshot.epoch < 0 or not (whole and numbers):
        raise ValueError(f"expected the numbers of a snapshot, got {kept}")
    return snapshot


def _part(kind: type[Part], kept: dict[str, Any]) -> Part:
    """One class or layer of a snapshot."""
    known: dict[str, Any] = {
        field.name: Quantity(*kept[field.name])
        if field.type is Quantity
        else typed(field.type, kept[field.name], field.name)
        for field in fields(kind)
    }
    quantities = [value for value in known.values() if isinstance(value, Quantity)]
    if known.keys() != kept.keys() or not all(map(_is_quantity, quantities)):
        raise ValueError(f"expected the numbers of a {kind.__name__}, got {kept}")
    return kind(**known)


def _is_quantity(found: Quantity) -> bool:
    given = _is_number(found.value) and found.reason == ""
    return given or (found.value is None and isinstance(found.reason, str))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]
