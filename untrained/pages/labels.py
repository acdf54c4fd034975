"""Labels of points in a figure, where they fit."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTHS, HEIGHT = (180, 240, 320, 480, 640, 900), 290.0
"""Pixels of a plot across a page, from a small phone's on; labels that fit into one fit into any
that is wider."""
LETTER, LINE, GAP = 7.5, 15.0, 7.5
"Pixels: of a letter's width, of a line's height, and from the middle of a point to its label."


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two have area in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


def place_labels(
    x: Sequence[float], y: Sequence[float], texts: Sequence[str], width: int = WIDTHS[-1]
) -> tuple[str | None, ...]:
    """On which side of each point its label covers no point, and no label of an earlier point.

    Args:
        x: of each point, logarithms on a log axis; the axis is as of `axis_range`.
        y: the same upwards.
        texts: the labels; earlier ones are placed first.
        width: of the plot.

    Returns:
        Plotly's `textposition` of each label; None where it fits on no side.
    """
    middles = [*zip(_pixels(x, width), _pixels(y, HEIGHT), strict=True)]
    points = [Box(a - GAP, b - GAP, a + GAP, b + GAP) for a, b in middles]
    placed: list[Box] = []
    found: list[str | None] = []
    for (a, b), text in zip(middles, texts, strict=True):
        for side, box in _sides(a, b, LETTER * len(text)).items():
            inside = box.left >= 0 and box.right <= width
            if inside and not any(map(box.overlaps, (*points, *placed))):
                placed.append(box)
                found.append(side)
                break
        else:
            found.append(None)
    return tuple(found)


def _sides(a: float, b: float, width: float) -> dict[str, Box]:
    """The label's box on each side of a point at a and b, the preferred side first."""
    left, right, low, high = a - width / 2, a + width / 2, b - LINE / 2, b + LINE / 2
    return {
        "top center": Box(left, b + GAP, right, b + GAP + LINE),
        "bottom center": Box(left, b - GAP - LINE, right, b - GAP),
        "middle right": Box(a + GAP, low, a + GAP + width, high),
        "middle left": Box(a - GAP - width, low, a - GAP, high),
    }


def axis_range(values: Sequence[float]) -> tuple[float, float]:
    """From below the least value to above the largest, with room for their labels."""
    least, most = min(values), max(values)
    room = 0.1 * (most - least) or 1.0
    return least - room, most + room


def _pixels(values: Sequence[float], length: float | int) -> list[float]:
    """Where values lie along an axis of `axis_range`."""
    low, high = axis_range(values)
    return [length * (v - low) / (high - low) for v in values]
