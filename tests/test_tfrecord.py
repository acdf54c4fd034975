"""TFRecord files of NAS-Bench-101, made byte by byte, against what went into them."""

import base64
import json
import random
import struct
from pathlib import Path

import polars as pl
import pytest

from untrained.importers.nasbench101 import read_nasbench101
from untrained.importers.tfrecord import crc32c, fields_of, masked_checksum
from untrained.tables import NASBench101Table

CELLS = {
    "00005c142e6f48ac74fdcf73e3439874": (
        "0100110001000000010010000010000001000000010000000",
        "input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output",
    ),
    "0000cb5372fad9d62c470df699ac6d52": (
        "0100010001001000010000000101000001000000010000000",
        "input,conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,maxpool3x3,conv1x1-bn-relu,output",
    ),
}


def field(number: int, value: int | float | bytes) -> bytes:
    """A field of a protocol buffer: an integer, a double, or bytes."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def metrics(valid: float, test: float, seconds: float, parameters: int = 8_555_530) -> bytes:
    """Of one training: at its start, half-way through, at its end."""
    evaluations = [(0.0, 0.1, 0.1), (seconds / 2, 0.5, 0.5), (seconds, valid, test)]
    message = b"".join(
        field(1, field(1, 1.0) + field(2, s) + field(3, 1.0) + field(4, v) + field(5, t)
              + field(6, b"/checkpoint"))
        for s, v, t in evaluations
    )  # fmt: skip
    return message + field(2, parameters) + field(3, 99.0)


def record(cell: str, epochs: int, message: bytes) -> bytes:
    adjacency, operations = CELLS[cell]
    encoded = base64.b64encode(message).decode()
    return json.dumps([cell, epochs, adjacency, operations, encoded]).encode()


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_checksum(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)


FIRST, SECOND = CELLS
RECORDS = [
    record(FIRST, epochs, metrics(epochs / 200 + run / 100, epochs / 300, epochs + run / 8))
    for epochs in (4, 12, 36, 108)
    for run in range(3)
] + [record(SECOND, 108, metrics(0.9, 0.8, 2.0, 3_729_162))]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nasbench_full.tfrecord"
    path.write_bytes(b"".join(map(framed, RECORDS)))
    return path


def test_published_checksums() -> None:
    """RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(reversed(range(32)))) == 0x113FDB5C


@pytest.mark.parametrize("length", [*range(9), 1023, 1024, 1025, 1027, 1028, 2048, 5000])
def test_checksums_of_any_length_byte_by_byte(length: int) -> None:
    """The definition: a shift register of 32 bits, a bit at a time."""
    data = random.Random(length).randbytes(length)
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_fields_of_every_kind() -> None:
    """The examples of Protocol Buffers' documentation, and one of ten bytes."""
    assert list(fields_of(b"\x08\x96\x01")) == [(1, 150)]
    assert list(fields_of(b"\x12\x07testing")) == [(2, b"testing")]
    assert list(fields_of(b"\x18" + b"\xff" * 9 + b"\x01")) == [(3, 2**64 - 1)]
    assert list(fields_of(field(300, 0.25) + field(7, b""))) == [(300, 0.25), (7, b"")]
    for wrong in (b"\x08", b"\x09abc", b"\x12\x07test", b"\x0b", b"\x08" + b"\xff" * 10):
        with pytest.raises(ValueError, match=r"expected .* protocol buffer"):
            list(fields_of(wrong))


def test_what_the_trainings_gave(file: Path, data: Path) -> None:
    name, frame = read_nasbench101(file)
    assert name == "nasbench101.parquet"
    first, second = frame.iter_rows(named=True)
    for epochs in (4, 12, 36, 108):
        assert first[f"cifar10_valid_{epochs}"] == epochs / 200
    assert first["cifar10_valid_108_mean"] == pytest.approx(108 / 200 + 1 / 100)
    assert first["cifar10_test_108_mean"] == pytest.approx(108 / 300)
    assert (first["seconds_108"], first["params"]) == (108.0, 8_555_530)
    assert second["cifar10_valid_4"] is None
    assert (second["cifar10_valid_108"], second["params"]) == (0.9, 3_729_162)
    shipped = pl.read_parquet(data / "tables" / name)
    assert set(shipped.columns) <= set(frame.columns)
    for row in (first, second):
        (same,) = shipped.filter(hash=row["hash"]).iter_rows(named=True)
        for column in ("adjacency", "ops", "n_vertices", "n_edges", "params"):
            assert row[column] == same[column]


def test_the_table_reads_it(file: Path, tmp_path: Path) -> None:
    name, frame = read_nasbench101(file)
    frame.write_parquet(tmp_path / name)
    table = NASBench101Table(tmp_path / name)
    for row in table.frame.iter_rows(named=True):
        assert table.row(row["architecture"])["hash"] == row["hash"]
    (best,) = table.standings(table.frame["architecture"][1])
    assert (best.rank, best.accuracy) == (1, 0.9)


ONE = framed(RECORDS[0])


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"something else altogether", "a header whose checksum is wrong"),
        (ONE[:5], "a header whose checksum is wrong"),
        (ONE[:-1], "the end of the file within it"),
        (ONE[:30] + b"?" + ONE[31:], "data whose checksum is wrong"),
        (framed(RECORDS[0])[:8] + bytes(4) + ONE[12:], "a header whose checksum is wrong"),
        (struct.pack("<Q", 2**40) + struct.pack("<I", masked_checksum(struct.pack("<Q", 2**40))),
         "a header whose checksum is wrong"),
    ],
)  # fmt: skip
def test_a_damaged_file(content: bytes, got: str, file: Path) -> None:
    for before in (b"", framed(RECORDS[0])):
        file.write_bytes(before + content)
        if before and not content:
            continue
        with pytest.raises(ValueError, match=f"of a TFRecord file in .*, got {got}") as error:
            read_nasbench101(file)
        assert f"record {1 if before else 0} of" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[1, 2]",
        b"{}",
        b"[" * 100_000,
        RECORDS[0].replace(b"input,", b"inputs,"),
        RECORDS[0].replace(b"0100110", b"010011"),
        RECORDS[0].replace(b"0100110", b"0100112"),
        RECORDS[0].replace(b", 4, ", b", 5, "),
        RECORDS[0].replace(b", 4, ", b", 4.0, "),
        RECORDS[0].replace(b'["00005c142e6f48ac74fdcf73e3439874"', b"[[]"),
        RECORDS[0].replace(f'"{CELLS[FIRST][0]}"'.encode(), b"[]"),
        RECORDS[0].replace(b", 4, ", b', "4", '),
        record(FIRST, 4, metrics(1.1, 0.5, 1.0)),
        record(FIRST, 4, metrics(float("nan"), 0.5, 1.0)),
        record(FIRST, 4, metrics(0.5, 0.5, 1.0)[:-20]),
        record(FIRST, 4, metrics(0.5, 0.5, 1.0) + field(2, float("inf"))),
        record(FIRST, 4, field(1, 5) * 3 + field(2, 4)),
        record(FIRST, 4, field(1, b"") * 3 + field(2, 4)),
    ],
)
def test_another_record(content: bytes, file: Path) -> None:
    file.write_bytes(framed(RECORDS[0]) + framed(content))
    with pytest.raises(ValueError, match=r"a record of NAS-Bench-101 in .*; try nasb") as error:
        read_nasbench101(file)
    assert "\n" not in str(error.value)
