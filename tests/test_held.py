"""`untrained data`: what there is, where it was found, its checksum, and how to get the rest."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_cli import Command, command

from untrained.cli.terminal import PRINTED
from untrained.images import known_images
from untrained.images.sources import BUILT_IN
from untrained.tables import TABLES, known_tables
from untrained.tables.table import BUNDLED

__all__ = ["command"]  # a fixture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a table and two image sets."""
    folder = tmp_path / "data"
    (folder / "tables").mkdir(parents=True)
    (folder / "images").mkdir()
    pl.DataFrame({"a": range(7)}).write_parquet(folder / "tables" / "mnas_imagenet.parquet")
    for name, count in (("cifar10", 5), ("birds", 3)):
        pixels = np.zeros((count, 4, 4, 3), np.uint8)
        np.savez(folder / "images" / f"{name}.npz", x_train=pixels, y_train=np.zeros(count, int))
    monkeypatch.setenv("UNTRAINED_DATA", str(folder))
    monkeypatch.setenv("UNTRAINED_CACHE", "")
    return folder


def test_what_is_here_and_what_is_missing(folder: Path) -> None:
    found = {holding.name: holding for holding in (*known_tables(), *known_images())}
    here = {name: (h.where, h.rows) for name, h in found.items() if h.where}
    assert here == {
        "tables/nasbench201.parquet": ("bundled", 15_625),
        "tables/mnas_imagenet.parquet": ("UNTRAINED_DATA", 7),
        "digits": ("bundled", 1_797),
        "shapes": ("bundled", 6_000),
        "images/cifar10.npz": ("UNTRAINED_DATA", 5),
        "images/birds.npz": ("UNTRAINED_DATA", 3),
    }
    for name in here.keys() - BUILT_IN.keys():
        path = found[name].path
        assert path is not None
        assert path.parent.parent == folder or path.parent == BUNDLED
        assert found[name].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    missing = found["tables/nasbench101.parquet"]
    assert (missing.path, missing.rows, missing.sha256) == (None, None, "")
    assert all(h.obtain for name, h in found.items() if name not in BUILT_IN)


def test_every_table_that_is_read_is_listed() -> None:
    listed = {holding.name for holding in known_tables()}
    assert {f"tables/{table.file}" for table in TABLES.values()} <= listed


def test_the_users_data_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UNTRAINED_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert {h.where for h in known_tables()} == {"bundled", ""}
    (tmp_path / "home").mkdir()
    folder.rename(tmp_path / "home" / "untrained")
    assert {h.where for h in known_tables()} == {"bundled", "user's data folder", ""}


def test_it_is_told_in_lines(command: Command, folder: Path) -> None:
    code, out, err = command("data")
    assert code == 0, err
    assert f"Data folder: {folder}" in out
    assert "15,625 rows, bundled, SHA-256 " in out
    assert "5 images, UNTRAINED_DATA, SHA-256 " in out
    assert "missing: nasbench_full.tfrecord of https://" in out
    code, out, _ = command("data", "--json")
    found = {each["name"]: each for each in json.loads(out)}
    assert code == 0
    assert found["images/birds.npz"]["path"] == str(folder / "images" / "birds.npz")
    assert found["tables/nasbench101.parquet"]["path"] is None


def test_a_terminal_of_80_columns(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is wider, and the command that imports a table stands on one of its own."""
    monkeypatch.setattr(PRINTED, "_force_terminal", True)
    monkeypatch.setattr(PRINTED, "_width", 80)
    code, out, err = command("data")
    assert code == 0, err
    where, *lines = re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()
    assert str(folder) in where
    assert max(map(len, lines)) <= 80
    assert "    then untrained data import nasbench101 PATH" in lines


@pytest.mark.parametrize("name", ["tables/mnas_imagenet.parquet", "images/cifar10.npz"])
@pytest.mark.parametrize(
    "content", [b"", b"something else", b"PAR1PAR1", b"PK\x05\x06" + 18 * b"\0"]
)
def test_a_damaged_file_is_told_as_such(
    name: str, content: bytes, command: Command, folder: Path
) -> None:
    (folder / name).write_bytes(content)
    code, out, err = command("data")
    assert code == 0, err
    line = out.splitlines()[2 + out.splitlines().index(name)]
    assert line.strip().startswith("unreadable (UNTRAINED_DATA): expected a ")
