"""What an inspection found, and what to change."""

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


def listed(names: tuple[str, ...] | list[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(("a", "b")), listed(("a", "b", "c", "d", "e"))
        ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > SHOWN:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
