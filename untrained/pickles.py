"""Pickles read as plain values: nothing in them is run. Any subpackage may import this.

A pickle is a program that may call whatever it names. This reader knows the few names that tables
of numbers need, each stood for by a class of ours that only keeps values; any other name is
refused. NumPy's own types are not among them, since a pickle may set their inner state at will.
What is left to a malicious one is to use up memory or the stack, which ends the program.
"""

import bz2
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    BufferError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"What a pickle raises that is cut, or none."
NUMBERS = frozenset(("b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)),
                     "f2", "f4", "f8"))  # fmt: skip
"NumPy's codes of types that become Python's numbers."


def read_pickle(path: Path) -> Any:
    """What a pickle holds, compressed by bzip2 where its name ends in `.pbz2`.

    Dictionaries, lists, tuples, sets, text, bytes and numbers; NumPy's scalars come as Python's
    numbers, its arrays as nested lists, an OrderedDict as a dictionary.

    Raises:
        ValueError: no pickle, a damaged one, or one that names anything else.
        OSError: the file cannot be opened.
    """
    compressed = path.suffix == ".pbz2"
    with path.open("rb") as raw, bz2.open(raw) if compressed else raw as file:
        return _load(
            _PlainUnpickler(file, NAMES),
            str(path),
            "pickle compressed by bzip2" if compressed else "pickle",
            "fetch it again, or use a folder with one file an architecture",
        )


def read_arrays_pickle(content: bytes, where: str) -> Any:
    """What a pickle of arrays holds, such as a batch of CIFAR: as `read_pickle`, but arrays whole.

    Args:
        content: Of its file. What Python 2 wrote, whose text and bytes are one, comes as text.
        where: It comes from, for errors.

    Returns:
        Plain values; each array is a `PickledArray`.

    Raises:
        ValueError: As `read_pickle`.
    """
    unpickler = _PlainUnpickler(io.BytesIO(content), {**NAMES, **ARRAY_NAMES}, encoding="latin1")
    return _load(unpickler, where, "pickle", "fetch it again")


def _load(unpickler: "_PlainUnpickler", where: str, kind: str, if_too_large: str) -> Any:
    """All that a file holds, or one line."""
    try:
        return unpickler.load_whole()
    except _RefusedError as error:
        raise ValueError(
            f"expected numbers and text alone in {where}, got {error}, which is not loaded, as "
            f"a pickle can run any program; use the file that its authors publish"
        ) from None
    except MemoryError:
        raise ValueError(
            f"expected a pickle in {where} that fits into memory, got a larger or a damaged "
            f"one; {if_too_large}"
        ) from None
    except (*DAMAGED, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"expected a {kind} in {where}, got something else or a part of one ({reason}); "
            f"fetch it again"
        ) from error


class _RefusedError(Exception):
    """A pickle names what this reader does not know."""


class _StandIn:
    """What takes the place of a name; a pickle cannot change it, nor what it makes."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("state where none is due")


class _Kind(_StandIn):
    """A NumPy type of numbers or truth values: what `numpy.dtype` makes."""

    def __init__(self, code: object, *flags: object):
        if type(code) is not str or code not in NUMBERS:
            raise _RefusedError(f"numpy.dtype({shortened(code)})")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        """The byte order, the second of a type's values; the others follow from its code."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("a type without a byte order")
        self.dtype = self.dtype.newbyteorder(order)

    def values(self, raw: bytes | bytearray | str) -> np.ndarray:
        """The numbers that bytes stand for; those of Python 2 come as text."""
        return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, self.dtype)


class _Scalar(_StandIn):
    """A number of NumPy's, as one of Python's."""

    def __new__(cls, kind: _Kind, raw: bytes) -> Any:
        return kind.values(raw)[0].item()


class PickledArray(_StandIn):
    """An array of numbers, empty until its state is set."""

    values = np.zeros(0)

    def __init__(self, *empty: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Kind):
            raise pickle.UnpicklingError("an array without its five values")
        _, shape, kind, fortran, raw = state
        self.values = kind.values(raw).reshape(shape, order="F" if fortran else "C")


class _Nested(_StandIn, list[Any]):
    """An array as nested lists."""

    def __init__(self, *empty: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        found = PickledArray()
        found.__setstate__(state)
        self[:] = np.atleast_1d(found.values).tolist()


class _Buffer(_StandIn):
    """An array of pickle's protocol 5."""

    def __new__(
        cls, raw: bytes | bytearray, kind: _Kind, shape: tuple[int, ...], order: str
    ) -> Any:
        found = _Nested()
        found.__setstate__((1, shape, kind, order == "F", raw))
        return found


class _Encoded(_StandIn):
    """Bytes that protocols before 3 hold as text."""

    def __new__(cls, text: str, encoding: object = "latin1") -> Any:
        if encoding != "latin1":
            raise _RefusedError(f"_codecs.encode to {shortened(encoding)}")
        return text.encode("latin1")


class _Type(_StandIn):
    """`numpy.ndarray` where it is an argument."""


NAMES: dict[tuple[str, str], type] = {
    ("collections", "OrderedDict"): dict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
    ("_codecs", "encode"): _Encoded,
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Type,
    **{
        (f"numpy.{core}.{module}", name): kind
        for core in ("core", "_core")
        for module, name, kind in (
            ("multiarray", "scalar", _Scalar),
            ("multiarray", "_reconstruct", _Nested),
            ("numeric", "_frombuffer", _Buffer),
        )
    },
}
"What a pickle may name, and what takes its place."

ARRAY_NAMES: dict[tuple[str, str], type] = {
    (f"numpy.{core}.multiarray", "_reconstruct"): PickledArray for core in ("core", "_core")
}
"The same where arrays come whole, as protocols before 5 have them."


class _PlainUnpickler(pickle.Unpickler):
    """Knows some names and no other."""

    def __init__(
        self,
        file: io.BufferedIOBase,
        names: Mapping[tuple[str, str], type],
        *,
        encoding: str = "ASCII",
    ):
        super().__init__(file, encoding=encoding)
        self.file, self.names = file, names

    def load_whole(self) -> Any:
        """What the file holds, which ends with it."""
        found = self.load()
        if self.file.read(1):  # which also reads the end of a compressed stream
            raise pickle.UnpicklingError("more bytes after its end")
        return found

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in self.names:
            raise _RefusedError(ascii(f"{module}.{name}"[:100])[1:-1])
        return self.names[module, name]
