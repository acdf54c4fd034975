"""Object stores that tests bring: one that fails as those of a network do, and one of processes.

`shop://` is in memory. `shelf:///FOLDER` is a folder, written as an object store is; other
processes know it where `enrolled` was called.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from fsspec import AbstractFileSystem, register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from untrained import patience

Fault = Literal["torn", "cut", "away", "denied"]


class Disconnected(Exception):
    """As libraries have them: no OSError."""


class Shop(MemoryFileSystem):  # type: ignore[misc]
    """In memory; it lists nothing of what it holds, and each write meets the next fault.

    What is hidden, by the end of its name, cannot be read.
    """

    protocol = "shop"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[list[Fault]] = []
    hidden: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("shop://").strip("/")

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        return []

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        if path.endswith(tuple(self.hidden)):
            raise Disconnected("no route\nto host")
        return bytes(super().cat_file(path, start, end))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "denied":
            raise PermissionError("Access Denied")
        if fault == "away":
            raise Disconnected("no route\nto host")
        whole = len(value) if fault is None else len(value) // 2
        super().pipe_file(path, value[:whole])
        if fault == "cut":
            raise ConnectionResetError(104, "Connection reset by peer")


class Shelf(AbstractFileSystem):  # type: ignore[misc]
    """In a folder."""

    protocol = "shelf"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": Path(path).stat().st_size, "type": "file"}

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        return Path(path).read_bytes()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(f"{path}.{os.getpid()}")
        unfinished.write_bytes(value)
        unfinished.rename(path)

    def rm_file(self, path: str) -> None:
        Path(path).unlink()


register_implementation("shop", Shop, clobber=True)
register_implementation("shelf", Shelf, clobber=True)


def enrolled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started know `shelf://`: fsspec reads what installed packages offer."""
    offers = folder / "shelf-1.dist-info"
    offers.mkdir()
    (offers / "METADATA").write_text("Name: shelf\nVersion: 1\n")
    (offers / "entry_points.txt").write_text("[fsspec.specs]\nshelf = object_stores.Shelf\n")
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def shop(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[type[Shop]]:
    """An empty one, for which nobody waits long, and whose locks no other process has."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.002)
    yield Shop
    for system in (Shop, MemoryFileSystem):
        system.store.clear()
    Shop.faults.clear()
    Shop.hidden.clear()
