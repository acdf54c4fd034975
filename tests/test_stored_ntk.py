"""The NTK in a file: the bits of `ntk`, whoever computes it and however often it is stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from numpy.testing import assert_array_equal
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from untrained import ntk, ntk_on_disk
from untrained.analysis import StoredKernel
from untrained.kernels.question import Asked
from untrained.kernels.tiles import Layout, TiledNTK
from untrained.networks.called import Call
from untrained.networks.readout import Output, random_readout
from untrained.runs import Progress, stored_ntk
from untrained.runs.ray_config import RayConfig


def network(seed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), activation()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
    )


def pictures(n: int = 23, seed: int = 1) -> Tensor:
    return torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("output", ["sum", "trace", "full", 1])
@pytest.mark.parametrize("entries", ["float32", "float64"])
def test_one_tile_has_the_bits_of_ntk(tmp_path: Path, output: Output, entries: Any) -> None:
    net, x = network(), pictures()
    stored = ntk_on_disk(net, x, file=tmp_path / "k.npy", output=output, entries=entries)
    expected = ntk(net, x, output=output).numpy().astype(entries)
    assert_array_equal(np.load(stored.path), expected)
    assert stored.array.dtype == entries
    assert net.training


@pytest.mark.parametrize("output", ["sum", "full"])
@pytest.mark.parametrize("columns", [None, 9, 30])
def test_tiles_have_the_bits_of_ntk(tmp_path: Path, output: Output, columns: int | None) -> None:
    """Each of a call on its examples; all together are the kernel, up to its rounding."""
    net, x = network(), pictures()
    x2 = None if columns is None else pictures(columns, 2)
    stored = ntk_on_disk(net, x, x2, file=tmp_path / "k.npy", output=output, side=10)
    a = 3 if output == "full" else 1
    for rows, others in Layout(len(x), columns, 10, a).tiles:
        shown = None if others is None else (x if x2 is None else x2)[others.start : others.stop]
        expected = ntk(net, x[rows.start : rows.stop], shown, output=output).float().numpy()
        j = rows if others is None else others
        i = slice(a * rows.start, a * rows.stop)
        found = stored.array[i, a * j.start : a * j.stop]
        assert_array_equal(found, expected)
        if x2 is None:
            assert_array_equal(stored.array[a * j.start : a * j.stop, i], expected.T)
    np.testing.assert_allclose(stored.array, ntk(net, x, x2, output=output), rtol=2e-4, atol=1e-3)


def test_worker_processes_give_the_same_bits(tmp_path: Path) -> None:
    """And tell how far they are."""
    net, x, told = network(), pictures(), list[Progress]()
    alone = ntk_on_disk(net, x, file=tmp_path / "alone.npy", side=6)
    spread = ntk_on_disk(
        net, x, file=tmp_path / "spread.npy", side=6, workers=2, on_progress=told.append
    )
    assert alone.path.read_bytes() == spread.path.read_bytes()
    assert [progress.done for progress in told] == list(range(11))
    assert {progress.total for progress in told} == {10}


@pytest.mark.cluster
def test_a_ray_cluster_gives_the_same_bits(tmp_path: Path) -> None:
    net, x = network(), pictures()
    alone = ntk_on_disk(net, x, file=tmp_path / "alone.npy", side=6)
    spread = ntk_on_disk(net, x, file=tmp_path / "spread.npy", side=6, workers=2, ray=RayConfig())
    assert alone.path.read_bytes() == spread.path.read_bytes()


# Inputs


def mapped(x: Tensor, folder: Path) -> np.ndarray[Any, Any]:
    file = folder / f"x{len(x)}.npy"
    np.save(file, x.numpy())
    return np.load(file, mmap_mode="r")


@pytest.mark.parametrize(
    "given",
    [
        lambda x, folder: DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=5),
        mapped,
        lambda x, folder: x.numpy(),
        lambda x, folder: (x,),
        lambda x, folder: {"input": x},
    ],
    ids=["loader", "mapped", "array", "tuple", "named"],
)
def test_inputs_of_any_kind(tmp_path: Path, given: Callable[[Tensor, Path], Any]) -> None:
    net, x = network(), pictures()
    plain = ntk_on_disk(net, x, file=tmp_path / "plain.npy", side=10)
    other = ntk_on_disk(net, given(x, tmp_path), file=tmp_path / "other.npy", side=10)
    np.testing.assert_allclose(other.array, plain.array, rtol=1e-5, atol=1e-4)
    both = ntk_on_disk(
        net, given(x, tmp_path), given(x[:7], tmp_path), file=tmp_path / "both.npy", side=10
    )
    np.testing.assert_allclose(both.array, plain.array[:, :7], rtol=1e-5, atol=1e-4)


def test_functions_projections_and_types(tmp_path: Path) -> None:
    w, x = {"w": torch.randn(3, 40).double()}, torch.randn(12, 3).double()

    def f(params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        return {"logits": torch.tanh(x @ params["w"])}

    asked: dict[str, Any] = {
        "params": w,
        "select": lambda found: found["logits"],
        "output": random_readout(40, 6, torch.Generator().manual_seed(0)),
    }
    stored = ntk_on_disk(f, x, file=tmp_path / "k.npy", entries="float64", side=5, **asked)
    expected = ntk(f, x, **asked)
    np.testing.assert_allclose(stored.array, expected, rtol=1e-12)
    assert stored.factors == torch.float64
    single = ntk_on_disk(f, x, file=tmp_path / "s.npy", dtype=torch.float32, **asked)
    assert single.factors == torch.float32


# Stopped and resumed

DRIVER = """
import sys, time
from pathlib import Path
import test_stored_ntk as here
from untrained import ntk_on_disk
from untrained.kernels.tiles import TiledNTK

tile = TiledNTK.tile
def slower(*asked):
    time.sleep(0.05)
    return tile(*asked)
TiledNTK.tile = slower
print("ready", flush=True)
ntk_on_disk(here.network(), here.pictures(), file=Path(sys.argv[1]), side=4)
"""


def started(file: Path) -> "subprocess.Popen[str]":
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(file)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_and_resumed(tmp_path: Path) -> None:
    """The bytes of an unbroken file."""
    whole = ntk_on_disk(network(), pictures(), file=tmp_path / "whole.npy", side=4)
    file, record = tmp_path / "k.npy", tmp_path / "k.npy.tiles"

    def tiles() -> int:
        return record.read_bytes().count(b"\n") - 1 if record.exists() else -1

    for wanted in (-1, 5):
        with started(file) as process:
            while tiles() < wanted:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert tiles() < 21, "it was finished before it was killed"
    stored = ntk_on_disk(network(), pictures(), file=file, side=4)
    assert stored.path.read_bytes() == whole.path.read_bytes()


class Stopped(Exception):
    """Of the test's own, as sudden as a kill where nothing cleans up."""


@pytest.mark.parametrize(
    ("name", "calls"),
    [("write_whole", 1), ("_mapped", 1), ("open_memmap", 1), ("open_memmap", 2), ("_tiled", 3)],
)
def test_stopped_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: int
) -> None:
    """Before the record, before the file, before it is whole, before it is used, at a tile."""
    whole = ntk_on_disk(network(), pictures(), file=tmp_path / "whole.npy", side=6)
    file, made = tmp_path / "k.npy", list[str]()
    home, own = (TiledNTK, "tile") if name == "_tiled" else (stored_ntk, name)
    before = getattr(home, own)

    def counted(*args: Any) -> Any:
        made.append(name)
        if len(made) == calls:
            raise Stopped
        return before(*args)

    with monkeypatch.context() as patch:
        patch.setattr(home, own, counted)
        with pytest.raises((Stopped, ValueError)):
            ntk_on_disk(network(), pictures(), file=file, side=6)
    stored = ntk_on_disk(network(), pictures(), file=file, side=6)
    assert stored.path.read_bytes() == whole.path.read_bytes()


def test_a_tile_that_was_cut_off_in_file_or_record_is_made_again(tmp_path: Path) -> None:
    net, x, file = network(), pictures(), tmp_path / "k.npy"
    ntk_on_disk(net, x, file=file, side=6)
    whole, record = file.read_bytes(), tmp_path / "k.npy.tiles"
    record.write_bytes(record.read_bytes()[: -len("8\n9\n") + 1])  # "8", without its end
    array = np.load(file, mmap_mode="r+")
    array[18:, 6:18] = np.nan  # tiles 8 and 9
    array.flush()
    ntk_on_disk(net, x, file=file, side=6)
    assert file.read_bytes() == whole
    assert sorted(map(int, record.read_text().split("\n")[1:-1])) == list(range(10))


def test_a_finished_file_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = network(), pictures()
    ntk_on_disk(net, x, file=tmp_path / "k.npy", side=6)
    monkeypatch.setattr(stored_ntk, "start_engine", None)
    again = ntk_on_disk(net, x, file=tmp_path / "k.npy", workers=5)  # of the side that it has
    assert again.symmetric


# Refused


def test_another_network_other_inputs_and_other_settings_are_refused(tmp_path: Path) -> None:
    net, x, file = network(), pictures(), tmp_path / "k.npy"
    ntk_on_disk(net, x, file=file, side=10)
    changed, trained = x.clone(), network()
    changed[17, 0, 0, 0] += 1e-6
    next(trained.buffers()).add_(1e-6)
    cases: list[tuple[str, nn.Module, Tensor, dict[str, Any]]] = [
        ("other network:", network(5), x, {}),
        ("other network:", network(0, nn.Tanh), x, {}),
        ("other network:", trained, x, {}),
        ("other inputs:", net, changed, {}),
        ("other inputs:", net, x, {"x2": x}),
        ("other settings:", net, x, {"output": "trace"}),
        ("other settings:", net, x, {"parameters": "weights"}),
        ("other settings:", net, x, {"memory": 10**9}),
        ("other settings:", net, x, {"entries": "float64"}),
        ("other inputs and settings:", net, changed, {"output": 0}),
        ("other side (10, now 5):", net, x, {"side": 5}),
    ]
    before = file.read_bytes()
    for message, model, inputs, asked in cases:
        with pytest.raises(ValueError, match="was begun with ") as refused:
            ntk_on_disk(model, inputs, file=file, **asked)
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)
    assert file.read_bytes() == before


def test_a_program_that_prints_alike_is_told_by_what_it_computes(tmp_path: Path) -> None:
    class Bent(nn.Module):
        def __init__(self, power: int):
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.power = nn.Linear(4, 4), power

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) ** self.power

    x = torch.randn(8, 4)
    ntk_on_disk(Bent(2), x, file=tmp_path / "k.npy")
    with pytest.raises(ValueError, match="computes otherwise"):
        ntk_on_disk(Bent(3), x, file=tmp_path / "k.npy")


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, file = network(), pictures(), tmp_path / "k.npy"
    for bad, message in [
        ({"file": tmp_path / "k.pt"}, "ends in .npy"),
        ({"file": file, "side": 0}, "side: expected a number of at least 1, got 0"),
        ({"file": file, "workers": -1}, "workers: expected a number of at least 0, got -1"),
        ({"file": file, "memory": 10}, "expected 16 bytes or more for a tile"),
        ({"file": file, "memory": 900, "method": "structured"}, "expected a ceiling above"),
    ]:
        with pytest.raises(ValueError, match=message):
            ntk_on_disk(net, x, **bad)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="expected the folder"):
        ntk_on_disk(net, x, file=tmp_path / "none" / "k.npy")
    with FileLock(tmp_path / ".k.npy.lock"), pytest.raises(OSError, match="another process"):
        ntk_on_disk(net, x, file=file)
    np.save(file, np.eye(3))
    with pytest.raises(ValueError, match="has no record"):
        ntk_on_disk(net, x, file=file)
    file.unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"GiB of free space for 23 x 23 entries in float32"):
        ntk_on_disk(net, x, file=file)
    assert [each.name for each in tmp_path.iterdir()] == [".k.npy.lock"]


def test_a_file_that_is_gone_under_its_record(tmp_path: Path) -> None:
    net, x, file = network(), pictures(), tmp_path / "k.npy"
    ntk_on_disk(net, x, file=file)
    file.unlink()
    with pytest.raises(ValueError, match="shorter than its record"):
        ntk_on_disk(net, x, file=file)


def test_coupled_examples_and_inputs_that_are_not_finite(tmp_path: Path) -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            return y - y.mean(0)

    x = torch.randn(8, 4)
    with pytest.raises(ValueError, match="influence each other"):
        ntk_on_disk(Centred(), x, file=tmp_path / "k.npy")
    x[6, 1] = torch.nan
    with pytest.raises(ValueError, match="first in number 6"):
        ntk_on_disk(nn.Linear(4, 2), x, file=tmp_path / "k.npy")


def test_a_network_that_fails_in_a_worker(tmp_path: Path) -> None:
    """What it raises ends the call, and what was done is kept."""
    net, x = Failing(), torch.randn(12, 4)
    for workers in (0, 1):
        with pytest.raises(ValueError, match="no luck today"):
            ntk_on_disk(net, x, file=tmp_path / f"{workers}.npy", side=4, workers=workers)


class Failing(nn.Module):
    """On what it is not shown at first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 3:
            raise RuntimeError("no luck today")
        return self.layer(x)


# Tiles


def test_the_side_has_the_fewest_passes() -> None:
    """And smaller ones where memory is scarce, or processes are many."""
    net, x = network(), torch.zeros(3000, 1, 4, 4)

    def side(memory: int, lanes: int = 1) -> int:
        asked = Asked("sum", "all", "running", "auto", memory, "auto")
        return TiledNTK(net, x, None, asked, Call(), "float32").layout(lanes=lanes).side

    for columns in (None, 7, 40):
        layout = Layout(23, columns, 4, 1)
        assert len(layout.tiles) == layout.count(4)
    roomy = side(4 * 2**30)
    assert roomy == 1000  # three blocks, six tiles
    assert side(4 * 2**30, lanes=8) < roomy
    assert side(2**22) < roomy
    assert 16 * side(2**22) ** 2 <= 2**22


def test_a_stored_kernel_is_what_its_call_returned(tmp_path: Path) -> None:
    net, x = network(), pictures()
    stored = ntk_on_disk(net, x, file=tmp_path / "k.npy")
    assert_array_equal(StoredKernel(stored.path, symmetric=True) @ np.eye(23), stored @ np.eye(23))
