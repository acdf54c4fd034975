"""Archives that are damaged, foreign or malicious: one line says what was expected and came."""

import gzip
import os
import pickle
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.io import savemat
from test_archives import (
    cifar_binary,
    cifar_python,
    drawn,
    idx,
    mnist,
    packed,
    parquet,
    png,
    samples,
    unpacked,
)
from test_images import complain

from untrained.images import load_images

CIFAR = drawn(10)
DIGITS = drawn(10, (9, 9))
PETS = drawn(3, (12, 12, 3))


class Runs:
    """Calls a program where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch run",)


def assert_said(source: Path, *parts: str) -> None:
    """One line that holds all of these."""
    said = complain(source)
    assert said.startswith("expected ")
    assert "got " in said
    for part in parts:
        assert part in said, said
    assert len(said) < 700


# CIFAR


def test_a_pickle_that_would_run_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data_batch_3", "batches.meta"):
        files = cifar_python(CIFAR, 10) | {name: pickle.dumps({"data": Runs()}, 2)}
        for source in (
            packed(tmp_path / f"{name}.tar.gz", files, "cifar-10-batches-py/"),
            unpacked(tmp_path / name, files),
        ):
            assert_said(source, "posix.system", name, "not loaded")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "Ran out of input"),
        (b"hello", "something else or a part of one"),
        (pickle.dumps([1, 2]), "uint8 of shape (n, 3072)"),
        (pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}, 2), "got float64"),
        (pickle.dumps({"data": np.zeros((2, 9), np.uint8), "labels": [0, 1]}, 2), "(2, 9)"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, 2), "2 integers"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": ["0"]}, 2), "1 integers"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, 2), "from 0 to 99"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [2**80]}, 2), "0 to 99"),
        (b"\x80\x02T\xff\xff\xff\x7f.", "something else or a part of one"),  # claims 2 GB
        (cifar_python(CIFAR, 10)["test_batch"][:-20_000], "something else or a part of one"),
    ],
    ids=["empty", "text", "list", "floats", "width", "count", "names", "negative", "large",
         "claim", "cut"],
)  # fmt: skip
def test_batches_of_something_else(content: bytes, part: str, tmp_path: Path) -> None:
    files = cifar_python(CIFAR, 10) | {"data_batch_2": content}
    assert_said(unpacked(tmp_path / "py", files), "data_batch_2 of", part)


def test_class_names_of_something_else(tmp_path: Path) -> None:
    files = cifar_python(CIFAR, 10) | {"batches.meta": pickle.dumps({"label_names": [1]})}
    assert_said(unpacked(tmp_path / "py", files), "class names in batches.meta of")
    files["batches.meta"] = pickle.dumps({"label_names": ["one", "two"]})
    assert_said(unpacked(tmp_path / "few", files), "among the 2 known classes")


def test_batches_that_are_missing(tmp_path: Path) -> None:
    files = cifar_python(CIFAR, 10)
    del files["data_batch_4"], files["test_batch"]
    assert_said(unpacked(tmp_path / "py", files), "no data_batch_4 and no test_batch")


def test_records_that_are_cut(tmp_path: Path) -> None:
    files = cifar_binary(CIFAR, 10)
    files["data_batch_5.bin"] = files["data_batch_5.bin"][:-1]
    assert_said(unpacked(tmp_path / "bin", files), "records of 3073 bytes in data_batch_5.bin")
    files["data_batch_5.bin"] = b""
    assert_said(unpacked(tmp_path / "none", files), "got 0 bytes")


def test_archives_that_are_cut_or_none(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.tar.gz", cifar_python(CIFAR, 10)).read_bytes()
    for name, content in {
        "cut": whole[:-9_000],
        "none": b"hello",
        "empty": b"",
        "damaged": whole[:5_000] + bytes(2_000) + whole[7_000:],
        "zeros": gzip.compress(bytes(20_000)),
    }.items():
        path = tmp_path / f"{name}.tar.gz"
        path.write_bytes(content)
        assert_said(path)


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/../../escaped"])
def test_an_archive_of_files_outside_of_it(name: str, tmp_path: Path) -> None:
    files = cifar_python(CIFAR, 10) | {name: b"anything"}
    assert_said(packed(tmp_path / "a.tar.gz", files), repr(name), "would lie outside")
    pets = samples(PETS["x_train"], PETS["y_train"], str) | {f"{name}.png": b"anything"}
    assert_said(packed(tmp_path / "pets.tar", pets), "would lie outside")
    assert not (tmp_path.parent / "escaped").exists()


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", cifar_python(CIFAR, 10))
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(load_images(path).test) == 20


def test_an_archive_that_claims_a_huge_file(tmp_path: Path) -> None:
    """A sparse one of a few bytes, which would fill the memory."""
    member = tarfile.TarInfo("data_batch_1")
    member.size = 2**40
    header = member.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "a.tar"
    path.write_bytes(header + bytes(1024))
    assert_said(path, "data_batch_1", "bytes")
    member.name = "cat.png"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert_said(path)


# IDX


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "got an empty file"),
        (b"hello, this is no IDX file", "got 68 65 6c 6c"),
        (idx(DIGITS["y_train"]), "got 00 00 08 01"),
        (b"\0\0\x0d\x03" + bytes(12), "got 00 00 0d 03"),  # floats
        (idx(DIGITS["x_train"])[:-5], "got 8,095"),
        (idx(DIGITS["x_train"]) + b"x", "got more"),
        (b"\0\0\x08\x03" + 12 * b"\xff", "claims 4294967295 x 4294967295 x 4294967295"),
        (b"\0\0\x08\x03" + 4 * b"\x00\x00\x04\x00"[:4] + b"x", "got 0"),
        (b"\0\0\x08\x03\0\0", "claims 0"),
        (gzip.compress(idx(DIGITS["x_train"]))[:-30], "compressed by gzip"),
        (b"\x1f\x8bhello", "compressed by gzip"),
    ],
    ids=["empty", "text", "labels", "floats", "cut", "longer", "huge", "claim", "short",
         "gzip cut", "no gzip"],
)  # fmt: skip
def test_idx_files_of_something_else(content: bytes, part: str, tmp_path: Path) -> None:
    if part == "got 0":  # 2**30 values, of which there is none
        content = b"\0\0\x08\x03" + 2 * b"\0\0\x04\0" + b"\0\0\x04\0"
    files = mnist(DIGITS) | {"train-images-idx3-ubyte": content}
    assert_said(unpacked(tmp_path / "m", files), "train-images-idx3-ubyte", part)


def test_idx_files_that_are_missing(tmp_path: Path) -> None:
    files = mnist(DIGITS)
    del files["t10k-labels-idx1-ubyte"]
    assert_said(unpacked(tmp_path / "m", files), "got no file of y_test")


def test_labels_of_other_images(tmp_path: Path) -> None:
    files = mnist(DIGITS) | {"t10k-labels-idx1-ubyte": idx(DIGITS["y_train"])}
    assert_said(unpacked(tmp_path / "m", files), "one label an image, shape (20,)")


# SVHN


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"X": np.zeros((4, 4, 3, 2), np.uint8)},
        {"X": np.zeros((4, 4, 3, 2)), "y": np.ones((2, 1))},
        {"X": np.zeros((4, 4, 3, 2), np.uint8), "y": np.ones((3, 1))},
        {"X": np.zeros((4, 4, 3, 2), np.uint8), "y": np.array([[0], [1]])},
        {"X": "text", "y": "text"},
    ],
    ids=["nothing", "no labels", "floats", "count", "labels from 0", "text"],
)
def test_mat_files_of_something_else(content: dict[str, Any], tmp_path: Path) -> None:
    savemat(tmp_path / "train_32x32.mat", content)
    assert_said(tmp_path, "uint8 X (height, width, 3, n)", "fetch train_32x32.mat")


def test_mat_files_that_are_cut_or_none(tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": DIGITS["x_train"], "y": DIGITS["y_train"]})
    whole = path.read_bytes()
    claim = whole[:132] + b"\xff\xff\xff\x7f" + whole[136:]
    for content in (b"", b"hello", whole[:100], whole[:300], claim):
        path.write_bytes(content)
        assert_said(path, str(path), "; fetch train_32x32.mat")


# Parquet


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"text": ["a", "b"], "label": [0, 1]}, "one column of pictures"),
        (
            {"image": [b"a", b"b"], "depth": [b"a", b"b"], "label": [0, 1]},
            "one column of pictures",
        ),
        ({"image": [b"a", b"b"]}, "one column of labels"),
        ({"image": [b"a", b"b"], "kind": [0, 1], "place": [0, 1]}, "one column of labels"),
        ({"image": [b"a", b"b"], "label": [0, None]}, "got 1 without"),
        ({"image": [b"a", b"b"], "label": [0, -1]}, "got 1 below 0"),
        (
            {"image": pl.Series([], dtype=pl.Binary), "label": pl.Series([], dtype=pl.Int64)},
            "no row",
        ),
        ({"image": [b"a", b"b"], "label": [0, 1]}, "got none (left out a.parquet row 0"),
    ],
    ids=["no pictures", "two", "no labels", "which", "null", "negative", "empty", "no picture"],
)
def test_parquet_files_of_something_else(
    columns: dict[str, Any], part: str, tmp_path: Path
) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    assert_said(tmp_path / "a.parquet", part)


def test_parquet_files_that_are_cut_or_none(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    parquet(path, PETS["x_train"], PETS["y_train"].tolist())
    whole = path.read_bytes()
    bomb = b"PAR1" + bytes(40) + b"\xff\xff\xff\x7fPAR1"
    for content in (b"", b"hello", whole[:-9], whole[:4] + whole[200:], bomb):
        path.write_bytes(content)
        assert_said(path, "train.parquet")


def test_more_labels_than_names(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", PETS["x_train"], PETS["y_train"].tolist(), ["cat", "dog"])
    assert_said(tmp_path / "a.parquet", "labels below 2", "got 2")


def test_shards_without_a_training_split(tmp_path: Path) -> None:
    for name in ("test-0", "validation-0"):
        parquet(tmp_path / f"{name}.parquet", PETS["x_test"], PETS["y_test"].tolist())
    assert_said(tmp_path, "named by their splits", "test-0.parquet")
    parquet(tmp_path / "other.parquet", PETS["x_test"], PETS["y_test"].tolist())
    assert_said(tmp_path, "named by their splits", "other.parquet")


# WebDataset


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({"0.png": png(PETS["x_test"][0])}, "got '0' without one"),
        ({"0.png": b"x", "0.txt": b"a cat"}, "got '0' without one"),
        ({"0.png": b"x", "0.json": b'{"caption": "a cat"}'}, "got '0' without one"),
        ({"0.png": b"x", "0.json": b'{"label": -1}'}, "got '0' without one"),
        ({"0.png": b"x", "0.json": b'{"label": 1.5}'}, "got '0' without one"),
        ({"0.png": b"x", "0.json": b"{"}, "got '0' without one"),
        ({"0.png": b"x", "0.json": 100_000 * b"["}, "got '0' without one"),
        ({"0.png": b"x", "0.cls": b"1", "1.png": b"x", "1.cls": b"cat"}, "got both"),
        ({"0.png": b"x", "0.cls": 2_000_000 * b"1"}, "at most 1,048,576 bytes in 0.cls"),
        ({"0.png": b"x", "0.cls": 5_000 * b"1"}, "training pictures that can be read"),
        ({"0.cls": b"1"}, "got no picture"),
        ({"readme.md": b"words"}, "got no picture"),
        ({"0.png": b"x", "0.cls": b"1"}, "training pictures that can be read"),
    ],
)
def test_shards_of_something_else(files: dict[str, bytes], part: str, tmp_path: Path) -> None:
    assert_said(packed(tmp_path / "train.tar", files), part)


def test_shards_that_are_cut_or_compressed(tmp_path: Path) -> None:
    files = samples(PETS["x_train"], PETS["y_train"], str)
    whole = packed(tmp_path / "a.tar", files).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:3_000])
    assert_said(tmp_path / "a.tar", "part of one")
    assert_said(packed(tmp_path / "b.tar.gz", files), "b.tar.gz", "unpack it by gunzip")


# Any


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: unpacked(folder, cifar_python(CIFAR, 10)),
        lambda folder: unpacked(folder, mnist(DIGITS)),
        lambda folder: packed(folder, samples(PETS["x_train"], PETS["y_train"], str)),
    ],
)
def test_a_changed_byte_is_told_or_harmless(make: Callable[[Path], Path], tmp_path: Path) -> None:
    source = make(tmp_path / "train.tar")
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    rng = np.random.default_rng(0)
    for file in files[:3]:
        whole = file.read_bytes()
        for place in (*range(0, min(60, len(whole)), 7), *rng.integers(0, len(whole), 4).tolist()):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            with suppress(ValueError):
                load_images(source)
        file.write_bytes(whole)
