"""An inspection, drawn by Plotly."""

from collections.abc import Sequence
from math import ceil, log10

import plotly.graph_objects as go

from untrained.inspection.curves import Curve
from untrained.inspection.inspection import Inspection
from untrained.pages.canvas import RANDOM, SELECTED, Properties, blank_figure, literal, log_axis
from untrained.pages.units import percent, significant

TRUNK = "#2f6fbf"
KINDS = (
    ("on the trunk", TRUNK),
    ("in a branch", RANDOM),
    ("named by a finding", SELECTED),
)
"Of layers, and their colours: the legend, which is the page's."


def draw_curve(curve: Curve, inspection: Inspection) -> go.Figure:
    """A quantity by depth: a line along the trunk, and dots beside it."""
    figure = blank_figure(height=230)
    rows = inspection.layers.select("layer", "trunk", "findings").to_dicts()
    known = curve.known
    on = [k for k in known if rows[k]["trunk"]]
    figure.add_scatter(
        x=[k + 1 for k in on],
        y=[curve.values[k] for k in on],
        mode="lines",
        line={"color": TRUNK, "width": 1.8},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[k + 1 for k in known],
        y=[curve.values[k] for k in known],
        mode="markers",
        marker={
            "color": [_colour(rows[k]["trunk"], bool(rows[k]["findings"])) for k in known],
            "size": [9 if rows[k]["findings"] else 5 for k in known],
        },
        hovertext=[_hover(rows[k]["layer"], curve, k) for k in known],
        hoverinfo="text",
    )
    figure.update_xaxes(title_text="Layer", range=[0.5, len(rows) + 0.5])
    values = [v for k in known if (v := curve.values[k]) is not None]
    if curve.axis == "log":
        figure.update_yaxes(_log_axis(values))
    elif curve.axis == "share":
        figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure.update_layout(showlegend=False)


def _log_axis(values: Sequence[float]) -> Properties:
    """A log axis with about five ticks, however many decades it spans."""
    decades = log10(max(values) / min(values))
    if decades < 4:
        return log_axis(values)
    return {"type": "log", "dtick": ceil(decades / 5), "exponentformat": "power"}


def _colour(trunk: bool, named: bool) -> str:
    return SELECTED if named else TRUNK if trunk else RANDOM


def _hover(layer: str, curve: Curve, k: int) -> str:
    value = curve.values[k]
    assert value is not None
    shown = percent(value) if curve.axis == "share" else significant(value)
    return f"<b>{literal(layer)}</b><br>{curve.title}: {shown}"


def draw_shares(shares: Sequence[tuple[str, float]]) -> go.Figure:
    """Bars of parameters' shares of the NTK's trace, the first parameter on top."""
    figure = blank_figure(height=60 + 20 * len(shares))
    names = [name for name, _ in shares]
    figure.add_bar(
        x=[share for _, share in shares],
        y=[*range(len(shares))],
        orientation="h",
        marker={"color": TRUNK},
        hovertext=[f"<b>{literal(name)}</b><br>{percent(share, 2)}" for name, share in shares],
        hoverinfo="text",
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(
        tickvals=[*range(len(shares))],
        ticktext=[
            literal(name if len(name) < 46 else f"{name[:12]}…{name[-32:]}") for name in names
        ],
        tickfont={"size": 11},
        range=[len(shares) - 0.5, -0.5],
        showgrid=False,
    )
    return figure.update_layout(showlegend=False, bargap=0.35)
