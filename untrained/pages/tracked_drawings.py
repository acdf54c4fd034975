"""A tracking, drawn by Plotly."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from untrained.pages.canvas import RANDOM, SELECTED, Properties, blank_figure, literal, log_axis
from untrained.pages.tracked import Panel, Picture, Series
from untrained.pages.tracked_parts import Breakdown, Grid
from untrained.pages.units import significant
from untrained.tracking.snapshots import Snapshot

BLUE = "#2f6fbf"
COLOURS = (SELECTED, BLUE, "#2a8f82")
"Of the lines of a panel, in order."
LEVEL = RANDOM
MOST_WRITTEN = 10
"Epochs up to which the cells of a grid have their values written in them."
HEAT = ("#fffdf7", "#fbd9a8", "#f0925a", "#b8395a", "#3c0f53")
BOTH_WAYS = ("#17498f", "#7fa9dc", "#fbfaf7", "#ee9a66", "#8f2f0c")
"Colours of entries: from zero up, and around zero."


def draw_panel(panel: Panel, shown: Sequence[Series]) -> go.Figure:
    """Quantities by epoch; the legend is the page's."""
    figure = blank_figure(height=230)
    for colour, line in zip(COLOURS, shown, strict=False):
        figure.add_scatter(**_line(line, colour))
    figure.update_xaxes(title_text="Epoch", rangemode="tozero")
    values = [value for line in shown for value in line.values]
    positive = all(value > 0 for value in values)
    if panel.axis == "share":
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    elif panel.axis == "log" and positive and values:
        figure.update_yaxes(log_axis(values))
    elif panel.zero:
        figure.update_yaxes(rangemode="tozero")
    if not positive:
        figure.update_yaxes(zeroline=True, zerolinecolor=RANDOM, zerolinewidth=1)
    return figure.update_layout(showlegend=False)


def add_level(figure: go.Figure, label: str, value: float, last: int) -> go.Figure:
    """A dashed level from the first epoch to the last."""
    return figure.add_scatter(
        x=[0, last],
        y=[value, value],
        mode="lines",
        line={"color": LEVEL, "width": 2, "dash": "dash"},
        hovertext=f"{label}: {significant(value)}",
        hoverinfo="text",
    )


def _line(line: Series, colour: str) -> Properties:
    return {
        "x": line.epochs,
        "y": line.values,
        "mode": "lines+markers" if len(line.epochs) < 40 else "lines",
        "line": {"color": colour, "width": 2.2},
        "marker": {"color": colour, "size": 5},
        "hovertext": [
            f"<b>{line.label}</b><br>epoch {epoch}: {significant(value)}"
            for epoch, value in zip(line.epochs, line.values, strict=True)
        ],
        "hoverinfo": "text",
    }


def draw_kernel(picture: Picture, classes: Sequence[str], scale: tuple[float, float]) -> go.Figure:
    """A kernel as a square of colours, with a line between classes."""
    figure = blank_figure(height=280)
    labels = picture.labels.tolist()
    starts = [k for k, label in enumerate(labels) if k == 0 or label != labels[k - 1]]
    ends = [*starts[1:], len(labels)]
    names = [classes[labels[start]] for start in starts]
    figure.add_heatmap(
        z=[[round(entry, 3) for entry in row] for row in picture.entries.tolist()],
        zmin=scale[0],
        zmax=scale[1],
        colorscale=[[k / 4, colour] for k, colour in enumerate(_colours(scale))],
        showscale=False,
        hovertemplate="%{z:.3f}<extra></extra>",
    )
    inner = [start - 0.5 for start in starts[1:]]
    span = [-0.5, len(labels) - 0.5]
    line = {"color": "rgba(40,50,70,0.35)", "width": 0.7}
    for at in inner:
        figure.add_shape(type="line", x0=at, x1=at, y0=span[0], y1=span[1], line=line)
        figure.add_shape(type="line", x0=span[0], x1=span[1], y0=at, y1=at, line=line)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    readable = len(names) <= 12
    figure.update_yaxes(
        range=span[::-1],
        tickvals=middles if readable else [],
        ticktext=[literal(name if len(name) < 12 else f"{name[:10]}…") for name in names],
        tickfont={"size": 11},
        ticks="",
        showgrid=False,
        scaleanchor="x",
        constrain="domain",
    )
    return figure.update_xaxes(
        range=span, showticklabels=False, ticks="", showgrid=False, constrain="domain"
    )


def draw_grid(breakdown: Breakdown, shown: Grid) -> go.Figure:
    """Classes or layers from top to bottom, epochs from left to right, values as colours."""
    figure = blank_figure(height=90 + 22 * max(4, len(shown.rows)))
    values = [value for row in shown.values for value in row if value is not None]
    high = max([1e-6, *map(abs, values)])
    scale = (-high if min([0.0, *values]) < -high / 10 else 0.0, high)
    digits = max(0, 2 - max(0, math.floor(math.log10(high))))
    told = ".0%" if breakdown.share else f",.{digits}f"
    figure.add_heatmap(
        x=[str(epoch) for epoch in shown.epochs],
        z=[[None if value is None else float(f"{value:.4g}") for value in row]
           for row in shown.values],
        zmin=scale[0],
        zmax=scale[1],
        colorscale=[[k / 4, colour] for k, colour in enumerate(_colours(scale))],
        colorbar={"thickness": 10, "outlinewidth": 0, "tickformat": told, "nticks": 5},
        texttemplate=f"%{{z:{told}}}" if len(shown.epochs) <= MOST_WRITTEN else "",
        textfont={"size": 10},
        customdata=[[literal(row)] * len(shown.epochs) for row in shown.rows],
        hovertemplate=f"%{{customdata}}<br>epoch %{{x}}: %{{z:{told}}}<extra></extra>",
        xgap=1,
        ygap=1,
    )  # fmt: skip
    figure.update_xaxes(title_text="Epoch", type="category", ticks="", showgrid=False)
    return figure.update_yaxes(
        autorange="reversed",
        tickvals=[*range(len(shown.rows))],
        ticktext=[literal(_short(row)) for row in shown.rows],
        tickcolor="rgba(0,0,0,0)",  # a gap before the names
        showgrid=False,
        tickfont={"size": 11},
    )


def _short(name: str) -> str:
    """A name by its end, where it is long: layers of one network begin alike."""
    return name if len(name) <= 28 else f"…{name[-27:]}"


def draw_spectra(snapshots: Sequence[Snapshot]) -> go.Figure:
    """Eigenvalues in order, on log axes; the legend is the page's."""
    figure = blank_figure(height=380)
    for snapshot, (label, colour) in zip(snapshots, spectra_legend(snapshots), strict=True):
        figure.add_scatter(
            x=list(range(1, len(snapshot.eigenvalues) + 1)),
            y=[float(f"{value:.5g}") for value in snapshot.eigenvalues],
            mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate=f"{label}<br>%{{y:.3g}}, number %{{x}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Number of the eigenvalue", type="log", dtick=1)
    figure.update_yaxes(title_text="Eigenvalue", type="log", dtick=1, exponentformat="power")
    return figure.update_layout(showlegend=False)


def spectra_legend(snapshots: Sequence[Snapshot]) -> list[tuple[str, str]]:
    """Name and colour of each spectrum, from blue to orange along the training."""
    last = max(1, len(snapshots) - 1)
    return [
        (
            "initialisation" if snapshot.epoch == 0 else f"epoch {snapshot.epoch}",
            _between("#8fb8ea", SELECTED, k / last),
        )
        for k, snapshot in enumerate(snapshots)
    ]


def _between(low: str, high: str, share: float) -> str:
    """The colour at a share of the way between two, all written #rrggbb."""
    pairs = [(int(low[k : k + 2], 16), int(high[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def colour_bar(scale: tuple[float, float]) -> str:
    """The scale of the pictures, as CSS has the stops of a gradient."""
    return ", ".join(_colours(scale))


def _colours(scale: tuple[float, float]) -> tuple[str, ...]:
    return BOTH_WAYS if scale[0] < 0 else HEAT
