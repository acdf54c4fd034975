"""What may be limited, in which units, and how a limit is written: `parameters=100k`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Units(NamedTuple):
    """The units of a kind of quantity."""

    sizes: Mapping[str, float]
    "Unit -> how many of the plain one it is, the smallest first; in which values are shown."
    example: str
    others: Mapping[str, float] = {}
    "More that are read."


COUNTS = Units({"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}, "100k or 2.5M")
SECONDS = Units({"us": 1e-6, "ms": 1e-3, "s": 1.0}, "5ms")
JOULES = Units({"uJ": 1e-6, "mJ": 1e-3, "J": 1.0}, "2mJ")
BYTES = Units(
    {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    "100MB or 64MiB",
    {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
)

QUANTITIES: dict[str, Units] = {
    "parameters": COUNTS,
    "macs": COUNTS,
    "memory": BYTES,
    "training_memory": BYTES,
    "latency": SECONDS,
    "latency_32": SECONDS,
    "latency_onnx": SECONDS,
    "latency_onnx_32": SECONDS,
}
"Quantities that are measured, of the network that would be trained."
OF_DEVICES: dict[str, Units] = {"latency": SECONDS, "energy": JOULES}
"Quantities of which a benchmark has a table: `latency:pixel3`."
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Limit:
    """The most that a network may have of a quantity."""

    quantity: str
    "A key of `QUANTITIES`; or one of `OF_DEVICES`, a colon and a device."
    most: float
    "In parameters, multiply-adds, seconds, bytes or joules; above 0."

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Of the form `latency=5ms`.

        Raises:
            ValueError: another form, an unknown quantity, a unit that it does not have, or a
                number that is not above 0.

        Example:
            >>> print(Limit.parse("parameters=100k"), Limit.parse("memory=64MiB"), sep=", ")
            parameters at most 100,000, memory at most 67.11 MB
        """
        quantity, equals, amount = (part.strip() for part in text.partition("="))
        if not equals or not quantity:
            raise ValueError(
                f"limit: expected a quantity and the most of it, such as parameters=100k or "
                f"latency=5ms, got {text!r}"
            )
        units = units_of(quantity)
        number = NUMBER.match(amount)
        unit = amount[number.end() :].strip() if number else amount
        known = {**units.sizes, **units.others}
        if number is None or unit not in known:
            raise ValueError(
                f"limit: expected {quantity} as a number above 0 with a unit "
                f"({', '.join(unit or 'none' for unit in known)}), such as {units.example}, got "
                f"{text!r}"
            )
        most = float(number[0]) * known[unit]
        if not 0 < most < float("inf"):
            raise ValueError(f"limit: expected {quantity} above 0, got {text!r}")
        return cls(quantity, most)

    def __str__(self) -> str:
        return f"{self.quantity} at most {shown(self.quantity, self.most)}"


def parse_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Each of them.

    Raises:
        ValueError: as `Limit.parse`; or a quantity that is limited twice.
    """
    limits = tuple(map(Limit.parse, texts))
    names = [limit.quantity for limit in limits]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"limit: expected each quantity once, got {name} twice or more")
    return limits


def units_of(quantity: str) -> Units:
    """The units of a quantity.

    Raises:
        ValueError: there is none of this name.
    """
    if quantity in QUANTITIES:
        return QUANTITIES[quantity]
    name, colon, device = quantity.partition(":")
    if colon and device and name in OF_DEVICES:
        return OF_DEVICES[name]
    near = get_close_matches(quantity, QUANTITIES, n=3, cutoff=0.5) or [*QUANTITIES]
    raise ValueError(
        f"limit: unknown quantity {quantity!r}: expected {_listed(near)}, or latency:DEVICE and "
        f"energy:DEVICE where a benchmark's table has them"
    )


def shown(quantity: str, value: float | int) -> str:
    """A value of a quantity for people.

    Example:
        >>> shown("parameters", 78_212), shown("latency", 0.00513), shown("memory", 2.5e7)
        ('78,212', '5.13 ms', '25 MB')
    """
    units = units_of(quantity)
    if units is COUNTS:
        return f"{value:,.0f}"
    sizes = [*units.sizes.items()]
    unit, size = next((pair for pair in reversed(sizes) if pair[1] <= value), sizes[0])
    return f"{value / size:,.4g} {unit}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
