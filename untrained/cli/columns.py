"""Tables of names and numbers that are read at any width.

A name is whole where there is room, else what it does not share with others, else in lines. Where
even then not all columns fit, those left over follow in a table of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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
    width = max(PRINTED.width - beside, NARROW)
    written, parts = fitted(shown, columns, width)
    for some in parts:
        PRINTED.print()
        if title and some is parts[0]:
            tell(title, style="bold")
        table = Table(box=SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
        if marks:
            table.add_column("", no_wrap=True)
        table.add_column(heading, no_wrap=True)
        for column in some:
            table.add_column(column.title, justify=column.justify, no_wrap=True, vertical="top")
        cells = [column.cells for column in some]
        for k, row in enumerate(zip(written, *cells, strict=True)):
            table.add_row(*marks[k : k + 1], *row, style=(styles or {}).get(k, ""))
        PRINTED.print(table)
    if any(LEFT_OUT in each and each not in shown for each in written):
        tell(f"{LEFT_OUT} stands for what all of these names share.", style="dim")


def fitted(
    names: Sequence[str], columns: Sequence[Column], width: int
) -> tuple[list[str], list[list[Column]]]:
    """The names as they are written, and the columns of each part of the table."""
    longest, beside = max(map(len, names), default=0), sum(c.width + GAP for c in columns)
    if longest + beside <= width:
        return [*names], [[*columns]]
    short = shortened(names)
    least = min(NARROW, max(map(len, short), default=0))
    parts = [*_parts(columns, width - least)]
    room = min(width - sum(c.width + GAP for c in part) for part in parts)
    if longest <= room:  # of the part with most columns
        return [*names], parts
    return [broken(name, max(room, 8)) for name in short], parts


def _parts(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """As many columns together as fit."""
    part: list[Column] = []
    for column in columns:
        if part and sum(c.width + GAP for c in (*part, column)) > room:
            yield part
            part = []
        part.append(column)
    yield part
