"""Figures drawn by Plotly; the page gives them its own colours of ink and grid."""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from untrained.report.measured import Estimate, Panel, Point, ScoreCloud, spans_decades
from untrained.report.trained import Curve, Curves, TrainedPoint
from untrained.report.units import compact, percent, significant

PICK = "#e8590c"
RANDOM = "#8791a3"
MEASURED = "#3f7fcf"
ROUNDS = ("#3f7fcf", "#2a9d8f", "#8f6fd1", "#c98a1b", "#b5486e", "#5c7f3b")
"Colours of the rounds; more rounds than these share a colour scale."
POINTS_WITH_ERRORS = 300
"More points than this are drawn without error bars."

ROUND_DIGITS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
"Sets of leading digits for the ticks of a log axis; the first with three ticks is taken."
ACRONYMS = frozenset({"ntk", "nngp"})

Properties = dict[str, Any]
"Properties of a trace or an axis, under Plotly's names."
PICK_MARKER: Properties = {"color": PICK, "size": 15, "symbol": "star"}


def draw_panel(panel: Panel, kind: Literal["round", "trial"]) -> go.Figure:
    """One score along the search, with its standard errors."""
    figure = _figure(height=250)
    rounds = kind == "round"
    estimates = [step.estimate for step in panel.steps]
    figure.add_scatter(
        x=_step_labels(panel, kind),
        mode="lines+markers" if rounds else "markers",
        line={"color": MEASURED, "width": 2},
        marker={
            "color": [PICK if step.label == "pick" else MEASURED for step in panel.steps],
            "size": 9 if rounds else 6,
        },
        name="one trial",
        hovertext=[
            _hover(s.architecture, f"{kind} {s.label}", {panel.score: s.estimate})
            for s in panel.steps
        ],
        hoverinfo="text",
        **_estimates("y", estimates, MEASURED),
    )
    _add_best(figure, panel, kind)
    figure.update_xaxes(title_text=kind.capitalize(), type="category" if rounds else "linear")
    figure.update_yaxes(_value_axis([found.mean for found in estimates]))
    return figure


def _step_labels(panel: Panel, kind: Literal["round", "trial"]) -> list[Any]:
    return [step.label if kind == "round" else int(step.label) for step in panel.steps]


def _add_best(figure: go.Figure, panel: Panel, kind: Literal["round", "trial"]) -> None:
    if panel.best:
        figure.add_scatter(
            x=_step_labels(panel, kind),
            y=panel.best,
            mode="lines",
            line={"color": PICK, "width": 2, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )


def draw_cloud(cloud: ScoreCloud, kind: Literal["round", "batch"]) -> go.Figure:
    """Two scores against each other, or one score in order of rank; the pick on top."""
    figure = _figure(height=460)
    for trace in _cloud_traces(cloud, kind):
        figure.add_scatter(**trace)
    values = [
        [point.estimates[k].mean for point in cloud.points] for k in range(len(cloud.scores))
    ]
    if len(cloud.scores) == 2:
        figure.update_xaxes(_value_axis(values[0]), title_text=_axis_title(cloud, 0))
        figure.update_yaxes(_value_axis(values[1]), title_text=_axis_title(cloud, 1))
    else:
        figure.update_xaxes(title_text="Rank, the best first")
        figure.update_yaxes(_value_axis(values[0]), title_text=_axis_title(cloud, 0))
    return figure


def _axis_title(cloud: ScoreCloud, k: int) -> str:
    better = "higher" if cloud.directions[k] > 0 else "lower"
    return f"{html.escape(readable(cloud.scores[k]))} ({better} is better)"


def _cloud_traces(cloud: ScoreCloud, kind: Literal["round", "batch"]) -> list[Properties]:
    ranked = list(enumerate(cloud.points, 1))
    batches = sorted({point.batch for point in cloud.points})
    others = [(rank, point) for rank, point in ranked if not point.is_pick]
    traces = (
        [
            _cloud_trace(cloud, [(r, p) for r, p in others if p.batch == batch], colour)
            | {"name": f"{kind} {batch + 1}"}
            for batch, colour in zip(batches, ROUNDS, strict=False)
        ]
        if len(batches) <= len(ROUNDS)
        else [_scaled_trace(cloud, others, kind)]
    )
    picks = _cloud_trace(cloud, [(rank, point) for rank, point in ranked if point.is_pick], PICK)
    picks["marker"] = PICK_MARKER
    return [trace for trace in (*traces, picks | {"name": "the pick"}) if trace["y"]]


def _cloud_trace(
    cloud: ScoreCloud, ranked: Sequence[tuple[int, Point]], colour: str
) -> Properties:
    columns = [[point.estimates[k] for _, point in ranked] for k in range(len(cloud.scores))]
    with_errors = len(cloud.points) <= POINTS_WITH_ERRORS
    positions = (
        _estimates("x", columns[0], colour, with_errors)
        if len(columns) == 2
        else {"x": [rank for rank, _ in ranked]}
    )
    return {
        "mode": "markers",
        "marker": {"color": colour, "size": 8, "opacity": 0.85},
        "hovertext": [_point_hover(cloud, point) for _, point in ranked],
        "hoverinfo": "text",
        **positions,
        **_estimates("y", columns[-1], colour, with_errors),
    }


def _scaled_trace(
    cloud: ScoreCloud, ranked: Sequence[tuple[int, Point]], kind: Literal["round", "batch"]
) -> Properties:
    """One trace for many batches, coloured by their number."""
    trace = _cloud_trace(cloud, ranked, RANDOM)
    trace["marker"] |= {
        "color": [point.batch + 1 for _, point in ranked],
        "colorscale": [[0, "#9db9e0"], [0.5, "#2a9d8f"], [1, "#8f4fd1"]],
        "colorbar": {"title": {"text": kind}, "thickness": 10, "outlinewidth": 0},
    }
    return trace | {"name": "architecture", "showlegend": False}


def _point_hover(cloud: ScoreCloud, point: Point) -> str:
    values = dict(zip(cloud.scores, point.estimates, strict=True))
    return _hover(point.architecture, f"trial {point.trial}: {point.note}", values)


def draw_sizes(points: Sequence[TrainedPoint]) -> go.Figure:
    """Test accuracy against parameters."""
    figure = _figure(height=380)
    for role, colour in (("random", RANDOM), ("pick", PICK)):
        shown = [point for point in points if point.role == role]
        if shown:
            figure.add_scatter(**_size_trace(shown, role, colour))
    figure.update_xaxes(
        _size_axis([p.parameters for p in points]), title_text="Trainable parameters"
    )
    figure.update_yaxes(title_text="Test accuracy", tickformat=".1~%")
    return figure


def _size_axis(parameters: Sequence[int]) -> Properties:
    if max(parameters) < 2 * min(parameters):  # too narrow for round ticks, and as good as linear
        return {"tickformat": "~s"}
    return _log_axis([float(count) for count in parameters])


def _size_trace(points: Sequence[TrainedPoint], role: str, colour: str) -> Properties:
    pick = role == "pick"
    errors = [point.standard_error or 0.0 for point in points]
    return {
        "x": [point.parameters for point in points],
        "y": [point.accuracy for point in points],
        "error_y": _error_bar(errors, colour),
        "mode": "markers",
        "marker": {"color": colour, "size": 10} | (PICK_MARKER if pick else {}),
        "name": "the pick" if pick else "random architecture",
        "hovertext": [_size_hover(point) for point in points],
        "hoverinfo": "text",
    }


def _size_hover(point: TrainedPoint) -> str:
    error = f" ± {percent(point.standard_error)}" if point.standard_error else ""
    return (
        f"{_wrapped(point.architecture)}<br>test accuracy {percent(point.accuracy)}{error}<br>"
        f"{point.parameters:,} parameters, {compact(point.macs)} multiply-adds"
    )


def draw_curves(curves: Curves) -> go.Figure:
    """Loss or accuracy by epoch; the pick strong, the others faint; the legend is the page's."""
    figure = _figure(height=300)
    for curve in curves.curves:
        figure.add_scatter(**_curve_trace(curve))
        if curve.role == "pick" and curve.split == "validation" and curve.best_epoch is not None:
            figure.add_scatter(**_best_epoch(curve, curve.best_epoch))
    last = max(curve.epochs[-1] for curve in curves.curves)
    figure.update_xaxes(title_text="Epoch", dtick=1 if last <= 10 else None)
    figure.update_yaxes(title_text="Cross-entropy" if curves.quantity == "loss" else "Accuracy")
    if curves.quantity == "accuracy":
        figure.update_yaxes(tickformat=".0%")
    return figure.update_layout(showlegend=False)


def _curve_trace(curve: Curve) -> Properties:
    pick = curve.role == "pick"
    heading = f"<b>{'the pick' if pick else 'random'}, {curve.split}</b>"
    return {
        "x": curve.epochs,
        "y": curve.values,
        "mode": "lines" if len(curve.epochs) > 1 else "markers",
        "line": {
            "color": PICK if pick else RANDOM,
            "width": 2.5 if pick else 1.2,
            "dash": "dot" if curve.split == "train" else "solid",
        },
        "opacity": 1 if pick else 0.6,
        "hovertext": [
            f"{heading}<br>{_wrapped(curve.architecture)}<br>epoch {epoch}: {value:.4g}"
            for epoch, value in zip(curve.epochs, curve.values, strict=True)
        ],
        "hoverinfo": "text",
    }


def _best_epoch(curve: Curve, epoch: int) -> Properties:
    kept = curve.epochs.index(epoch)
    return {
        "x": [epoch],
        "y": [curve.values[kept]],
        "mode": "markers",
        "marker": {"color": PICK, "size": 10, "line": {"color": "white", "width": 2}},
        "hovertext": [f"weights kept: epoch {epoch}"],
        "hoverinfo": "text",
    }


def readable(name: str) -> str:
    """A score's name for people.

    Example:
        >>> readable("condition_number"), readable("ntk_trace")
        ('Condition number', 'NTK trace')
    """
    words = [word.upper() if word in ACRONYMS else word for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _figure(height: int) -> go.Figure:
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


def _estimates(
    axis: Literal["x", "y"], estimates: Sequence[Estimate], colour: str, errors: bool = True
) -> Properties:
    """Means along an axis, with standard errors as bars; a single draw has no bar."""
    means = {axis: [found.mean for found in estimates]}
    lengths = [found.standard_error or 0.0 for found in estimates]
    return means | ({f"error_{axis}": _error_bar(lengths, colour)} if errors else {})


def _error_bar(lengths: Sequence[float], colour: str) -> Properties:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    faint = f"rgba({red},{green},{blue},0.4)"
    look = {"color": faint, "thickness": 1.3, "width": 0, "visible": any(lengths)}
    return {"array": list(lengths), **look}


def _value_axis(values: Sequence[float]) -> Properties:
    return _log_axis(values) if spans_decades(values) else {}


def _log_axis(values: Sequence[float]) -> Properties:
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


def _hover(architecture: str, heading: str, values: Mapping[str, Estimate]) -> str:
    lines = [f"{readable(name)}: {_with_error(found)}" for name, found in values.items()]
    escaped = [html.escape(line, quote=False) for line in (heading, *lines)]
    return "<br>".join([f"<b>{escaped[0]}</b>", _wrapped(architecture), *escaped[1:]])


def _with_error(found: Estimate) -> str:
    draws = f"{found.draws} draw{'' if found.draws == 1 else 's'}"
    if found.standard_error is None:
        return f"{significant(found.mean)} ({draws})"
    return f"{significant(found.mean)} ± {significant(found.standard_error)} ({draws})"


def _wrapped(text: str) -> str:
    """Text for a hover label, which reads a little HTML, in lines that fit a phone."""
    return "<br>".join(html.escape(line, quote=False) for line in textwrap.wrap(text, 44))
