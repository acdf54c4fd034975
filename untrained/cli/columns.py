"""Tables of names and numbers that are read at any width.

A name is whole where there is room, else what it does not share with others, else in lines. Where
even then not all columns fit, the rows have numbers, and what is left over follows by number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from untrained.cli.names import LEFT_OUT, WORDS, broken, shortened
from untrained.cli.terminal import PRINTED, tell
from untrained.outside import visible

GAP = 2
"Letters between columns: a space, and what would be the line."
NARROW = 20
"Letters that a name is given at least, if it has as many."
LOWER, HIGHER = "↓", "↑"
BEST = "*"


@dataclass(frozen=True)
class Column:
    """Numbers, or short words, under a heading."""

    heading: str
    cells: Sequence[str]
    justify: Literal["left", "right"] = "right"

    @property
    def title(self) -> str:
        """The heading, in lines no longer than it takes."""
        widest = max(map(len, self.cells), default=0)
        return broken(visible(self.heading), max(widest, 12), WORDS)

    @property
    def width(self) -> int:
        """Letters of the longest line."""
        lines = (line for text in (self.title, *self.cells) for line in text.split("\n"))
        return max(map(len, lines), default=0)


def directed(score: str, direction: int | None) -> str:
    """The heading of a score: where the arrow points up, more is better.

    Example:
        >>> directed("naswot", 1), directed("condition_number", -1), directed("macs", None)
        ('naswot ↑', 'condition_number ↓', 'macs')
    """
    return score if not direction else f"{score} {HIGHER if direction > 0 else LOWER}"


def show_table(
    heading: str,
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    marks: Sequence[str] = (),
    styles: Mapping[int, str] | None = None,
    title: str = "",
) -> None:
    """Prints a table, in parts where the terminal is narrow.

    Args:
        heading: of the names.
        names: one a row; they may be from outside.
        columns: what stands beside them.
        marks: a sign before each name, such as `*` for the best; none for no such column.
        styles: row -> its style.
        title: a line above it.
    """
    shown = [visible(name) for name in names]
    beside = GAP + max(map(len, marks), default=-GAP)
    parts = fitted(shown, columns, max(PRINTED.width - beside, NARROW))
    for k, part in enumerate(parts):
        PRINTED.print()
        if title and k == 0:
            tell(title, style="bold")
        PRINTED.print(_table(part, heading if k == 0 else "", marks, styles or {}))
    if any(LEFT_OUT in each and each not in shown for each in parts[0].names):
        tell(f"{LEFT_OUT} stands for what all of these names share.", style="dim")


class Part(NamedTuple):
    """A table, or what fits of it side by side."""

    names: list[str]
    "One a row, in lines."
    columns: list[Column]


def _table(part: Part, heading: str, marks: Sequence[str], styles: Mapping[int, str]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    if marks:
        table.add_column("", no_wrap=True)
    table.add_column(heading, no_wrap=True)
    for column in part.columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True, vertical="top")
    cells = [column.cells for column in part.columns]
    for k, row in enumerate(zip(part.names, *cells, strict=True)):
        table.add_row(*marks[k : k + 1], *row, style=styles.get(k, ""))
    return table


def fitted(names: Sequence[str], columns: Sequence[Column], width: int) -> list[Part]:
    """The table, or parts of it: in the first, rows have numbers, by which others call them."""
    longest = max(map(len, names), default=0)
    short = [*names] if longest <= NARROW else shortened(names)
    for written in (names, short):
        if max(map(len, written), default=0) + _width(columns) <= width:
            return [Part([*written], [*columns])]
    least = min(NARROW, max(map(len, short), default=0))
    first = _fitting(columns, width - least)
    if len(first) == len(columns):
        return [Part(_broken(short, width - _width(first)), first)]
    numbers = [str(k) for k in range(1, len(names) + 1)]
    first = _fitting(columns, width - least - len(numbers[-1]) - 1)
    left = columns[len(first) :]
    numbered = [f"{k} {name}" for k, name in zip(numbers, short, strict=True)]
    parts = [Part(_broken(numbered, width - _width(first)), first)]
    while left:
        some = _fitting(left, width - len(numbers[-1]))
        parts.append(Part(numbers, some))
        left = left[len(some) :]
    return parts


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + GAP for column in columns)


def _broken(names: Sequence[str], width: int) -> list[str]:
    return [broken(name, max(width, 8)) for name in names]


def _fitting(columns: Sequence[Column], room: int) -> list[Column]:
    """As many of the first as fit, one at least."""
    count = max(1, sum(_width(columns[: k + 1]) <= room for k in range(len(columns))))
    return [*columns[:count]]
