"""TensorFlow's record files, and the protocol buffers in them, without TensorFlow.

A record is its length (8 bytes), a checksum of these, the data, and a checksum of that, all little
endian. A checksum c is CRC-32C, masked: (c rotated right by 15 bits + 0xa282ead8) mod 2^32.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details;
https://protobuf.dev/programming-guides/encoding/; CRC-32C: RFC 3720, B.4.
"""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt32

POLYNOMIAL = 0x82F63B78
"Of Castagnoli, bits reversed."
PIECE = 1024
"Bytes of which a checksum is made at once."
LONGEST = 2**24
"Bytes of a record; a benchmark's take some hundred."


def read_records(path: Path) -> Iterator[bytes]:
    """The data of every record, each with both checksums checked.

    Raises:
        ValueError: something else, a damaged record, or a file that ends within one.
    """
    count = 0
    with path.open("rb") as file:
        while head := file.read(12):
            length = int.from_bytes(head[:8], "little")
            if len(head) < 12 or not _matches(head[:8], head[8:]) or length > LONGEST:
                raise _damaged(path, count, "a header whose checksum is wrong")
            body = file.read(length + 4)
            if len(body) < length + 4:
                raise _damaged(path, count, "the end of the file within it")
            if not _matches(body[:length], body[length:]):
                raise _damaged(path, count, "data whose checksum is wrong")
            yield body[:length]
            count += 1
    if not count:
        raise _damaged(path, count, "an empty file")


def _damaged(path: Path, count: int, got: str) -> ValueError:
    return ValueError(
        f"expected record {count:,} of a TFRecord file in {path}, got {got}; fetch it again"
    )


def _matches(data: bytes, masked: bytes) -> bool:
    return masked_checksum(data) == int.from_bytes(masked, "little")


def masked_checksum(data: bytes) -> int:
    """The checksum of a record's part, as it is written."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C: the exclusive or of what each byte adds, by the number of bytes after it.

        c(d) = xor_i  A[n - 1 - i, d_i]  xor  c_0 advanced by n bytes

    over pieces of at most `PIECE` bytes, c_0 = 2^32 - 1 for the first, inverted at the end.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    after, checksum = _after(), 0xFFFFFFFF
    for start in range(0, len(data), PIECE):
        d = np.frombuffer(data[start : start + PIECE], np.uint8)
        n = len(d)
        added = int(np.bitwise_xor.reduce(after[np.arange(n)[::-1], d]))
        for i in range(min(n, 4)):  # the bytes of c_0, the lowest first
            added ^= int(after[n - 1 - i, checksum & 0xFF])
            checksum >>= 8
        checksum ^= added
    return checksum ^ 0xFFFFFFFF


@cache
def _after() -> UInt32[np.ndarray, "k 256"]:
    """A[k, b]: what byte b adds where k bytes come after it."""
    byte = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        byte = np.where(byte & 1, byte >> 1 ^ np.uint32(POLYNOMIAL), byte >> 1)
    rows = [byte]
    while len(rows) < PIECE:
        rows.append(byte[rows[-1] & 0xFF] ^ rows[-1] >> 8)
    return np.stack(rows)


def fields_of(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The numbers and values of a protocol buffer's fields: integers, doubles, and whatever has a
    length, as bytes.

    Raises:
        ValueError: something else.

    Example:
        >>> list(fields_of(bytes([0x08, 0x96, 0x01, 0x12, 0x02]) + b"ok"))
        [(1, 150), (2, b'ok')]
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key & 7 == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
        elif key & 7 == 1:
            yield key >> 3, float(*struct.unpack("<d", _cut(message, place, 8)))
            place += 8
        elif key & 7 == 2:
            length, place = _varint(message, place)
            yield key >> 3, _cut(message, place, length)
            place += length
        else:
            raise ValueError(f"expected fields of a protocol buffer, got wire type {key & 7}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the least first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = _cut(message, place, 1)
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError("expected a protocol buffer, got an integer of more than ten bytes")


def _cut(message: bytes, place: int, length: int) -> bytes:
    if place + length > len(message):
        raise ValueError("expected a protocol buffer, got one that ends within a field")
    return message[place : place + length]
