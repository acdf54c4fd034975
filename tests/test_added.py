"""`untrained data add`: what is published is fetched and checked, what one has is read."""

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_archives import assert_equal, cifar_python, drawn, mnist, packed, parquet, unpacked
from test_cli import Command, command
from test_tfrecord import RECORDS, framed

from untrained.archives import PUBLISHED
from untrained.cli.terminal import WORKING
from untrained.downloads import PublishedFile, download
from untrained.images import load_images
from untrained.importers.adding import PUBLISHED as PUBLISHED_TABLES

__all__ = ["command"]  # a fixture

CLOTHES = drawn(10, (28, 28))
SMALL = drawn(10)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nowhere."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server of a folder's files on this machine; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as address:
        yield tmp_path / "served", address


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def published(folder: Path, address: str, files: dict[str, bytes]) -> tuple[PublishedFile, ...]:
    """Files that are served, with their checksums."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return tuple(
        PublishedFile(f"{address}/{name}", f"md5:{hashlib.md5(content).hexdigest()}")
        for name, content in files.items()
    )


def test_images_are_fetched_checked_and_found_by_name(
    served: tuple[Path, str], data_folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = {f"{name}.gz": gzip.compress(each) for name, each in mnist(CLOTHES).items()}
    known = replace(PUBLISHED["fashion-mnist"], files=published(*served, zipped))
    monkeypatch.setitem(PUBLISHED, "fashion-mnist", known)
    code, out, err = command("data", "add", "fashion-mnist")
    assert code == 0, err
    assert f"Images: {data_folder / 'images' / 'fashion-mnist.npz'}" in out
    assert "untrained search --images fashion-mnist" in out
    assert "fetching t10k-labels-idx1-ubyte.gz" in err
    images = load_images("fashion-mnist")
    assert_equal(images, CLOTHES)
    assert (images.name, images.classes[9]) == ("fashion-mnist", "Ankle boot")
    assert [path.name for path in data_folder.iterdir() if any(path.iterdir())] == ["images"]
    _, out, _ = command("data", "--json")
    found = {each["name"]: each["rows"] for each in json.loads(out)}
    assert found["images/fashion-mnist.npz"] == 100
    code, _, err = command("data", "add", "fashion-mnist")
    assert (code, "expected no images at" in err) == (2, True)
    assert command("data", "add", "fashion-mnist", "--replace")[0] == 0


def test_a_bar_on_a_terminal(
    served: tuple[Path, str], data_folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(data_folder.with_name("a.tar.gz"), cifar_python(SMALL, 10))
    files = published(*served, {"cifar-10-python.tar.gz": path.read_bytes()})
    monkeypatch.setitem(PUBLISHED, "cifar10", replace(PUBLISHED["cifar10"], files=files))
    monkeypatch.setattr(WORKING, "_force_terminal", True)
    monkeypatch.setattr(WORKING, "_width", 100)
    code, _, err = command("data", "add", "cifar10")
    assert code == 0, err
    assert "cifar-10-python.tar.gz" in err
    size = f"{path.stat().st_size / 1e3:.1f}"
    assert f"{size}/{size} kB" in err
    assert_equal(load_images("cifar10"), SMALL)


def test_a_table_is_fetched(
    served: tuple[Path, str], data_folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = published(*served, {"a.tfrecord": b"".join(map(framed, RECORDS))})
    monkeypatch.setitem(PUBLISHED_TABLES, "nasbench101", file)
    code, out, err = command("data", "add", "nasbench101")
    assert code == 0, err
    assert f"Table: {data_folder / 'tables' / 'nasbench101.parquet'}" in out
    assert len(pl.read_parquet(data_folder / "tables" / "nasbench101.parquet")) == 2
    assert "expected no table" in command("data", "add", "nasbench101")[2]


def test_without_a_network(
    data_folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port of which nothing is served any more."""
    with serving(data_folder.parent) as address:
        pass
    file = PublishedFile(f"{address}/cifar-10-python.tar.gz", "md5:0")
    monkeypatch.setitem(PUBLISHED, "cifar10", replace(PUBLISHED["cifar10"], files=(file,)))
    code, out, err = command("data", "add", "cifar10")
    assert (code, out) == (1, "")
    said = err.splitlines()[-1]
    assert f"expected to fetch {file.url}, got no connection" in said
    assert "then untrained data add NAME PATH" in said
    assert not (data_folder / "images").exists()


def test_what_comes_is_something_else(served: tuple[Path, str], tmp_path: Path) -> None:
    (file,) = published(*served, {"a.gz": b"content"})
    with pytest.raises(ValueError, match=r"expected a file with the checksum md5:0 at .*a\.gz"):
        download([replace(file, checksum="md5:0")], tmp_path / "to")
    with pytest.raises(OSError, match="got the answer 404"):
        download([replace(file, url=f"{served[1]}/b.gz")], tmp_path / "to")
    assert [*(tmp_path / "to").iterdir()] == []
    (path,) = download([file], tmp_path / "to")
    assert path.read_bytes() == b"content"
    (served[0] / "a.gz").unlink()
    assert download([file], tmp_path / "to") == [path]  # is not fetched again


def test_files_that_one_has(data_folder: Path, command: Command, tmp_path: Path) -> None:
    files = cifar_python(SMALL, 10)
    archive = packed(tmp_path / "cifar-10-python.tar.gz", files, "cifar-10-batches-py/")
    folder = unpacked(tmp_path / "batches", files)
    for name, source in (("cifar10", archive), ("mine-2", folder)):
        code, _, err = command("data", "add", name, str(source))
        assert code == 0, err
        assert_equal(load_images(name), SMALL)
        assert load_images(name).classes == load_images(source).classes
        assert load_images(name).fingerprint == load_images(source).fingerprint


def test_shards_with_a_validation_split(
    data_folder: Path, command: Command, tmp_path: Path
) -> None:
    for split, of in (("train", "train"), ("validation", "test"), ("test", "test")):
        x, y = CLOTHES[f"x_{of}"], CLOTHES[f"y_{of}"].tolist()
        parquet(tmp_path / "hf" / f"{split}.parquet", x, y, [*"abcdefghij"])
    assert command("data", "add", "mnist", str(tmp_path / "hf"))[0] == 0
    assert load_images("mnist").fingerprint == load_images(tmp_path / "hf").fingerprint
    assert len(load_images("mnist").validation) == 20


def test_wrong_uses(data_folder: Path, command: Command, tmp_path: Path) -> None:
    """One line each; nothing is fetched, or written."""
    archive = str(packed(tmp_path / "a.tar", cifar_python(SMALL, 10)))
    np.savez(tmp_path / "text.npz", x_train="text")
    asked: dict[tuple[str, ...], tuple[int, str]] = {
        ("cifar11",): (2, "expected the name of images that can be fetched, cifar10, cifar100,"),
        ("tinyimagenet32",): (2, "or name your files as well: untrained data add tinyimagenet32"),
        ("natsbench",): (2, "expected a table that can be fetched, nasbench101, got 'natsbench'"),
        ("digits", archive): (2, "got 'digits', which is built in"),
        ("../up", archive): (
            2,
            "expected a name of letters, digits and hyphens, got '../up'",
        ),
        ("my pets", archive): (2, "try my-pets"),
        ("pets", str(tmp_path / "nowhere")): (1, "expected images at "),
        ("pets", str(tmp_path / "text.npz")): (2, "lacks y_train"),
        ("cifar100", archive): (2, "CIFAR-100, 100 classes of images of 32 x 32 x 3, in "),
        ("mnist", archive): (2, "got 10 classes of 32 x 32 x 3; see http"),
        (): (2, "name"),
    }
    for words, (expected, part) in asked.items():
        code, out, err = command("data", "add", *words)
        assert (code, out) == (expected, ""), err
        assert part in err.splitlines()[-1]
    assert not data_folder.exists()


def test_checksums_have_the_digits_of_their_kinds() -> None:
    tables = PUBLISHED_TABLES.values()
    files = [*tables, *(file for known in PUBLISHED.values() for file in known.files)]
    assert len({file.checksum for file in files}) == len(files) == 13
    for file in files:
        kind, digits = file.checksum.split(":")
        assert len(bytes.fromhex(digits)) == hashlib.new(kind).digest_size
        assert file.url.startswith("http")
