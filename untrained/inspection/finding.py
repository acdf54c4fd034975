"""What an inspection found, and what to change."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that hinders training, or that is worth knowing."""

    title: str
    "In a few words, with the layer."
    layers: tuple[str, ...]
    "Names of the layers, or of the parameters, that it is about; the first comes first."
    measured: str
    "With the numbers."
    threshold: str
    "When this is said, and why then."
    change: str
    "What to do about it."
    hinders: bool = True
    "Whether it hinders training; otherwise it may be meant."


SHOWN = 3
"Names that are listed of many."


def at_layers(names: Sequence[str]) -> str:
    """Layers by name.

    Example:
        >>> at_layers(["a"]), at_layers(["a", "b"])
        ('layer a', 'layers a and b')
    """
    return f"layer{'' if len(names) == 1 else 's'} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(("a", "b")), listed(("a", "b", "c", "d", "e"))
        ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
