"""The NTK in a file, tile by tile, by whatever engine: for kernels that are larger than memory.

Beside the file theta.npy lies its record, theta.npy.tiles: a line that says what the kernel is of,
then the number of each tile that is in the file. A tile's line is written once the tile itself is
on the disk. So whatever is killed, at whatever moment, is resumed with the tiles that are missing,
and the file ends with the same bytes. Only this process writes; workers return tiles.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap
from torch import Tensor, nn
from torch.utils import _pytree as trees

from untrained.analysis.stored import StoredKernel
from untrained.files import write_whole
from untrained.kernels.choice import Method
from untrained.kernels.question import Asked
from untrained.kernels.tiles import Layout, TiledNTK
from untrained.networks.arguments import Selection
from untrained.networks.called import Call, Inputs
from untrained.networks.readout import Output
from untrained.runs.engines import start_engine
from untrained.runs.outlook import Outlook
from untrained.runs.ray_config import RayConfig
from untrained.runs.session import After, OnProgress, Progress, ignore
from untrained.runs.tasks import Tile, TileTask
from untrained.settings import check_range

log = logging.getLogger(__name__)

SAME = 1e-3
"Relative difference of kernels up to which a network counts as the same, on other devices too."


def ntk_on_disk(
    model: Callable[..., Any],
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    file: Path | str,
    output: Output = "sum",
    parameters: Selection = "all",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto", "float64", "float32", "bfloat16"] = "auto",
    params: Any = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: str | None = None,
    entries: Literal["float32", "float64"] = "float32",
    side: int | None = None,
    workers: int = 0,
    ray: RayConfig | None = None,
    on_progress: OnProgress = ignore,
) -> StoredKernel:
    """The NTK as `ntk` gives it, in a .npy file, for kernels that are larger than memory.

        Theta[I, J] = J[I] J[J]^T,    I, J blocks of examples

    Where it was stopped, by whatever means, the same call resumes it, and the file ends with the
    same bytes; where it is finished, the call returns at once. BatchNorm normalises by its running
    statistics. The time left is logged, and told to `on_progress`.

    Args:
        model: as for `ntk`.
        x1: as for `ntk`; an array mapped from a file need not fit the memory.
        x2: as for `ntk`.
        file: to write, which ends in `.npy`. A record of its tiles lies beside it, `FILE.tiles`.
        output: as for `ntk`; for many outputs, `random_readout` makes a tile cheap.
        parameters: as for `ntk`.
        method: as for `ntk`; `loop`, `batched` and `products` are slow in tiles.
        memory: limit in bytes on what each process allocates beside network and inputs; None
            means 4 GiB. Larger tiles need fewer passes.
        precision: of products, as for `ntk`.
        params: as for `ntk`.
        select: as for `ntk`.
        dtype: to compute in, as for `ntk`.
        device: where tiles are computed; of `cuda`, workers share what GPUs there are.
        entries: the type of the file.
        side: examples on each side of a tile; by default, those with the fewest passes under the
            memory limit. Of a file that was begun, it is what it was.
        workers: processes, of one thread each; 0 computes in this one, on one thread too.
        ray: a Ray cluster, which needs no shared disk; None for this machine.
        on_progress: called as tiles come.

    Raises:
        ValueError: as `ntk`; or a file that holds something else: the kernel of another network,
            of other inputs or settings, or no kernel at all.
        OSError: too little space on the disk, or a file that another process is writing.
        MemoryError: a tile does not fit the memory of its process.

    Example:
        >>> import tempfile
        >>> net, x = torch.nn.Linear(2, 1), torch.randn(50, 2)
        >>> theta = ntk_on_disk(net, x, file=Path(tempfile.mkdtemp()) / "theta.npy")
        >>> theta.shape, torch.allclose(theta[:5, :5], x[:5].double() @ x[:5].double().T + 1)
        ((50, 50), True)
    """
    path = Path(file)
    if path.suffix != ".npy":
        raise ValueError(f"file: expected a name that ends in .npy, got {path.name!r}")
    if entries not in ("float32", "float64"):
        raise ValueError(f"entries: expected float32 or float64, got {entries!r}")
    if side is not None:
        check_range("side", side, 1)
    check_range("workers", workers, 0)
    if ray is not None:
        ray.check(workers, device or "cpu")
    asked = Asked(output, parameters, "running", method, memory, precision)
    given = Call().gathered(x1), None if x2 is None else Call().gathered(x2)
    kernel = TiledNTK(model, *given, asked, Call(params, select, dtype, device), entries)
    held = list(model.parameters()) if isinstance(model, nn.Module) else [params]
    if workers and any(
        isinstance(x, Tensor) and x.is_cuda for x in trees.tree_leaves([given, held])
    ):
        raise ValueError(
            "expected a network and inputs on the CPU for workers, got some on a GPU: move them "
            "there, and say device='cuda'"
        )
    with _alone(path):
        stored = _opened(path, kernel, side, max(1, workers))
        missing = [
            TileTask(number, rows, columns, device or "cpu")
            for number, (rows, columns) in enumerate(stored.layout.tiles)
            if number not in stored.done
        ]
        if missing:
            with start_engine(workers, kernel, device=device or "cpu", ray=ray) as engine:
                tell = _teller(stored, engine.lanes, on_progress)
                for index, found in engine(missing):
                    assert isinstance(found, np.ndarray)
                    stored.put(missing[index], found)
                    tell()
    return StoredKernel(path, symmetric=x2 is None, factors=kernel.factors)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process writes the file."""
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: expected the folder {path.parent}, got none")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"cannot write {path}: expected a folder to write into, got a read-only one")
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise OSError(f"{path}: another process is writing it; wait for it, or end it") from None


def _teller(stored: "_Stored", lanes: int, on_progress: OnProgress) -> Callable[[], None]:
    """What says how far the file is."""
    outlook, total = Outlook(time.perf_counter), len(stored.layout.tiles)

    def tell() -> None:
        progress = Progress("kernel", len(stored.done), total, after=After(lanes=lanes))
        left = outlook.seconds_left(progress)
        about = "" if left is None else f", about {left:,.0f} s left"
        log.info("%s: %d of %d tiles%s", stored.path, len(stored.done), total, about)
        on_progress(progress)

    tell()
    return tell


# The file and its record


@dataclass(frozen=True)
class _Stored:
    """A file that some tiles are in."""

    path: Path
    record: Path
    layout: Layout
    array: np.memmap[Any, Any]
    done: set[int]

    def put(self, task: TileTask, tile: Tile) -> None:
        """Writes a tile, and its mirror image, and says so once they are on the disk."""
        a, (rows, columns) = self.layout.apart, (task.rows, task.columns)
        i = slice(rows.start * a, rows.stop * a)
        j = i if columns is None else slice(columns.start * a, columns.stop * a)
        self.array[i, j] = tile
        if self.layout.m is None and columns is not None:
            self.array[j, i] = tile.T
        self.array.flush()
        with self.record.open("a", encoding="ascii") as file:
            file.write(f"{task.number}\n")
            file.flush()
            os.fsync(file.fileno())
        self.done.add(task.number)


def _opened(path: Path, kernel: TiledNTK, side: int | None, lanes: int) -> _Stored:
    """The file, begun or resumed.

    Raises:
        ValueError: it is the file of something else.
        OSError: there is no space for it.
    """
    record = path.with_name(f"{path.name}.tiles")
    prints = kernel.fingerprints()
    if not record.exists():
        if path.exists():
            raise ValueError(
                f"{path} exists and has no record {record.name} beside it: expected a new file, "
                f"or one that was begun by this function; give another name"
            )
        layout = kernel.layout(side, lanes)
        first = kernel.first().flatten().tolist()
        asked = {**prints, "side": layout.side, "apart": layout.apart, "first": first}
        _check_space(path, layout, kernel.entries)
        write_whole(record, f"{json.dumps(asked)}\n".encode())
        done = set[int]()
    else:
        header, *lines = record.read_text(encoding="ascii").split("\n")
        begun = json.loads(header)
        _check_same(path, record, begun, prints, side)
        layout = kernel.layout(begun["side"])
        if not np.allclose(kernel.first().flatten(), begun["first"], SAME, SAME * _size(begun)):
            raise ValueError(
                f"{path} was begun with a network of these parameters that computes otherwise: "
                f"expected the same {_renew(record)}"
            )
        done = set(map(int, lines[:-1]))  # the last is empty, or was cut off
        if lines[-1]:
            write_whole(record, "\n".join([header, *lines[:-1], ""]).encode())
    return _Stored(path, record, layout, _mapped(path, layout, kernel.entries, done, record), done)


def _size(begun: dict[str, Any]) -> float:
    return max(map(abs, begun["first"]))


def _renew(record: Path) -> str:
    return f"as before, or another file; to begin anew, remove {record.name} and what it is of"


def _check_same(
    path: Path, record: Path, begun: dict[str, Any], prints: dict[str, str], side: int | None
) -> None:
    changed = [name for name, value in prints.items() if begun[name] != value]
    if side is not None and side != begun["side"]:
        changed.append(f"side ({begun['side']}, now {side})")
    if changed:
        raise ValueError(
            f"{path} was begun with other {' and '.join(changed)}: expected the same "
            f"{_renew(record)}"
        )


def _bytes(layout: Layout, entries: str) -> int:
    return layout.shape[0] * layout.shape[1] * np.dtype(entries).itemsize


def _check_space(path: Path, layout: Layout, entries: str) -> None:
    needed, free = _bytes(layout, entries), shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            f"{path}: expected {needed / 2**30:,.1f} GiB of free space for {layout.shape[0]:,} x "
            f"{layout.shape[1]:,} entries in {entries}, got {free / 2**30:,.1f} GiB; try another "
            f"disk, or fewer examples"
        )


def _mapped(
    path: Path, layout: Layout, entries: str, done: set[int], record: Path
) -> "np.memmap[Any, Any]":
    """The file, all of whose space is taken at once, so that no tile finds the disk full."""
    whole = path.exists() and path.stat().st_size > _bytes(layout, entries)
    if not whole and done:
        raise ValueError(
            f"{path} is shorter than its record {record.name} says, or gone: expected both, or "
            f"none; remove what is left of them to begin anew"
        )
    if not whole:
        open_memmap(path, "w+", np.dtype(entries), layout.shape)
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        os.fsync(file.fileno())
    return open_memmap(path, "r+")
