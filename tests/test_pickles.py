"""Pickles read as plain values, by every protocol; whatever is more is refused by name."""

import bz2
import collections
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from untrained.pickles import read_pickle

PLAIN: dict[Any, Any] = {
    "a": [1, 2.5, None, True, "text", b"bytes", -(2**70)],
    ("t", 1): {1, 2},
    3: (frozenset((4,)), [], ()),
}
NUMPY: dict[str, Any] = {
    "float64": np.float64(1.5),
    "float32": np.float32(0.5),
    "bool": np.bool_(True),
    "int": np.int64(-3),
    "array": np.arange(6).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
}
NESTED = b")" + 100_000 * b"\x85"
"A tuple in a tuple, and so on: too deep to be shown."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.pickle"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(protocol: int, file: Path) -> None:
    file.write_bytes(pickle.dumps(PLAIN, protocol))
    assert read_pickle(file) == PLAIN
    file.write_bytes(pickle.dumps(collections.OrderedDict(b=1, a=2), protocol))
    assert list(read_pickle(file).items()) == [("b", 1), ("a", 2)]
    packed = file.with_suffix(".pickle.pbz2")
    packed.write_bytes(bz2.compress(pickle.dumps(PLAIN, protocol)))
    assert read_pickle(packed) == PLAIN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_becomes_python(protocol: int, file: Path) -> None:
    file.write_bytes(pickle.dumps(NUMPY, protocol))
    found = read_pickle(file)
    assert found == {name: value.tolist() for name, value in NUMPY.items()}
    assert not any(isinstance(value, np.generic | np.ndarray) for value in found.values())


def test_numpy_of_before_version_2(file: Path) -> None:
    """Its names moved from numpy.core to numpy._core."""
    content = pickle.dumps(NUMPY, 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in content
    file.write_bytes(content)
    assert read_pickle(file)["array"] == [[0, 1, 2], [3, 4, 5]]


class Reduced:
    """Calls something where it is unpickled."""

    def __init__(self, call: Any, *given: Any):
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.given


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (pickle.dumps(Reduced(os.system, "touch run")), f"{os.system.__module__}.system"),
        (pickle.dumps(Reduced(eval, "open('run', 'w')")), "builtins.eval"),
        (b"cos\nsystem\n(S'touch run'\ntR.", "os.system"),
        (b"(S'touch run'\nios\nsystem\n.", "os.system"),
        (pickle.dumps(Reduced(getattr, {}, "pop")), "builtins.getattr"),
        (pickle.dumps({"name": Path("run")}), "PosixPath"),
        (pickle.dumps(np.array([{}], dtype=object)), "numpy.dtype('O8')"),
        (pickle.dumps(np.str_("text")), "numpy.dtype('U4')"),
        (pickle.dumps(np.zeros(2, [("a", int)])), "numpy.dtype('V8')"),
        (pickle.dumps(collections.defaultdict(list)), "collections.defaultdict"),
        (b"\x80\x04c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "'hex'"),
        (pickle.dumps(np.longdouble(1)), "numpy.dtype('f16')"),  # which stays one of NumPy's
        (b"\x80\x02cnumpy\ndtype\n" + NESTED + b"\x85R.", "numpy.dtype("),
        (b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00a" + NESTED + b"tR.", "_codecs.encode to "),
        (b"\x80\x04\x8c\x04a\nb\x1b\x8c\x01c\x93.", "a\\nb\\x1b.c"),
        (b"\x80\x04X\x40\x42\x0f\x00" + 1_000_000 * b"a" + b"\x8c\x01c\x93.", "aaa"),
    ],
    ids=[
        "os.system",
        "eval",
        "os.system by name",
        "os.system by instance",
        "getattr",
        "path",
        "objects",
        "string",
        "record",
        "defaultdict",
        "codec",
        "longdouble",
        "nested dtype",
        "nested codec",
        "escapes",
        "long name",
    ],  # of the bytes, some would be as long as they are, or differ from process to process
)
def test_whatever_could_run_is_refused_by_name(
    content: bytes, name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected numbers and text alone in .*, got ") as error:
        read_pickle(file)
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"P1\n.",
        b"K\x01Q.",
        b"\x82\x01.",
        b"\x80\x05(\x96\x03" + 7 * b"\0" + b"abc\x94\x98h\x00(K\x01e.",
        b"\x80\x02cnumpy._core.numeric\n_frombuffer\n(J\0\0\0\x40cnumpy\ndtype\n"
        b"X\x02\0\0\0u1\x85RK\x01\x85X\x01\0\0\0CtR.",
    ],
    ids=["persistent id", "binary persistent id", "extension", "shared buffer", "size as bytes"],
)
def test_opcodes_of_which_no_table_has_need(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a pickle.*; fetch it again") as error:
        read_pickle(file)
    assert "\n" not in str(error.value)


def test_a_stand_in_cannot_be_changed(file: Path) -> None:
    """State set on a class or a function that a pickle names would outlive the reading."""
    for name in (b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode", b"builtins\nset",
                 b"collections\nOrderedDict", b"numpy._core.multiarray\nscalar",
                 b"numpy._core.multiarray\n_reconstruct"):  # fmt: skip
        file.write_bytes(b"\x80\x02c" + name + b"\n}X\x01\x00\x00\x00xK\x01sb.")
        with pytest.raises(ValueError, match="expected a pickle"):
            read_pickle(file)
        file.write_bytes(b"\x80\x02c" + name + b"\nN}X\x01\x00\x00\x00xK\x01s\x86b.")
        with pytest.raises(ValueError, match="expected a pickle"):
            read_pickle(file)


WHOLE = pickle.dumps(PLAIN | NUMPY)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_part_of_a_pickle_or_none(compressed: bool, tmp_path: Path) -> None:
    """Cut after any byte, and with any byte changed: values or one line, and nothing else."""
    file = tmp_path / ("a.pickle.pbz2" if compressed else "a.pickle")
    whole = bz2.compress(WHOLE) if compressed else WHOLE
    for content in (b"", b"hello", b"\x80\x04", *(whole[:end] for end in range(0, len(whole), 9))):
        assert "\n" not in said(file, content)
    for place in range(0, len(whole), 7):
        changed = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        file.write_bytes(changed)
        with suppress(ValueError):
            read_pickle(file)


def said(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a pickle.*; fetch it again") as error:
        read_pickle(file)
    return str(error.value)
