"""What the Plotly figures share; the page gives them its own colours of ink and grid."""

import html
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from untrained.outside import visible
from untrained.pages.units import compact

SELECTED = "#e8590c"
RANDOM = "#8791a3"
REFERENCE = "#1c7ed6"
ROUND_DIGITS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
"Sets of leading digits for the ticks of a log axis; the first with three ticks is taken."

MOST_POINTS = 5_000
"More points than about so many are thinned out, since a page has lines of text for each."

Properties = dict[str, Any]
"Properties of a trace or an axis, under Plotly's names."
SELECTED_MARKER: Properties = {"color": SELECTED, "size": 15, "symbol": "star"}


def blank_figure(height: int) -> go.Figure:
    """A figure with axes and a legend on top, without traces."""
    axis = {
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"font": {"size": 13}, "standoff": 12},
    }
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 12, "r": 12, "t": 8, "b": 12},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "font": {"size": 12}},
            "font": {"size": 13},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def thinned(count: int, always: Iterable[int] = ()) -> list[int]:
    """Which of so many points are drawn: all, or evenly many and those that always are.

    Example:
        >>> thinned(3), len(thinned(1_000_000)), thinned(12_000, always=[7])[:4]
        ([0, 1, 2], 5000, [0, 3, 6, 7])
    """
    return sorted({*range(0, count, max(1, -(-count // MOST_POINTS))), *always})


def error_bar(lengths: Sequence[float], colour: str) -> Properties:
    """Bars of these half lengths in a faint `colour`, written #rrggbb."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    faint = f"rgba({red},{green},{blue},0.4)"
    style = {"color": faint, "thickness": 1.3, "width": 0, "visible": any(lengths)}
    return {"array": list(lengths), **style}


def log_axis(values: Sequence[float]) -> Properties:
    """A log axis with a few ticks at round numbers around the values."""
    low, high = min(values) / 1.2, max(values) * 1.2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks: list[float] = []
    for digits in ROUND_DIGITS:
        marks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [mark for mark in marks if low <= mark <= high]
        if len(ticks) >= 3:
            break
    return {"type": "log", "tickvals": ticks, "ticktext": [compact(tick) for tick in ticks]}


def literal(text: str) -> str:
    """Text as it is for Plotly, which reads a little HTML wherever it writes something."""
    return html.escape(visible(text), quote=False)


def wrapped(text: str) -> str:
    """Text for a hover label as it is, in lines that fit a phone."""
    return "<br>".join(map(literal, textwrap.wrap(visible(text), 44)))
