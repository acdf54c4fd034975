"""Scores, drawn by Plotly."""

from collections.abc import Sequence
from typing import Literal

import plotly.graph_objects as go

from untrained.estimate import Estimate
from untrained.pages.canvas import (
    RANDOM,
    SELECTED,
    SELECTED_MARKER,
    Properties,
    blank_figure,
    error_bar,
    literal,
    log_axis,
    thinned,
    wrapped,
)
from untrained.pages.measured import Point, ScoreCloud, ScoreCurve, spans_decades
from untrained.pages.units import counted, readable, significant

MEASURED = "#3f7fcf"
ROUNDS = (MEASURED, "#2a9d8f", "#8f6fd1", "#c98a1b", "#b5486e", "#5c7f3b")
"Colours of the rounds; more rounds than these share a colour scale."
POINTS_WITH_ERRORS = 300
"More points than this are drawn without error bars."
ALWAYS = 100
"The best by each score, which are drawn even where points are thinned out."


def draw_curve(curve: ScoreCurve) -> go.Figure:
    """One score along the search, with its standard errors."""
    figure = blank_figure(height=250)
    rounds = curve.kind == "round"
    kept = thinned(len(curve.points), _notable(curve))
    points, best = [curve.points[k] for k in kept], [curve.best[k] for k in kept if curve.best]
    estimates = [point.estimates[0] for point in points]
    places = [_place(point, rounds) for point in points]
    figure.add_scatter(
        x=places,
        mode="lines+markers" if rounds else "markers",
        line={"color": MEASURED, "width": 2},
        marker={
            "color": [SELECTED if place == "selected" else MEASURED for place in places],
            "size": 9 if rounds else 6,
        },
        name="one trial",
        hovertext=[
            _hover(point, f"{curve.kind} {place}", (curve.score,))
            for point, place in zip(points, places, strict=True)
        ],
        hoverinfo="text",
        **_estimates("y", estimates, MEASURED),
    )
    if best:
        figure.add_scatter(
            x=places,
            y=best,
            mode="lines",
            line={"color": SELECTED, "width": 2, "shape": "hv"},
            name="best so far",
            hoverinfo="skip",
        )
    figure.update_xaxes(
        title_text=curve.kind.capitalize(), type="category" if rounds else "linear"
    )
    figure.update_yaxes(_value_axis([found.value for found in estimates]))
    return figure


def _notable(curve: ScoreCurve) -> list[int]:
    """Points that are drawn however many there are: what was selected, or best when it came."""
    before = (None, *curve.best)
    better = [k for k, best in enumerate(curve.best) if best != before[k]]
    return better + [k for k, point in enumerate(curve.points) if point.is_selected]


def _place(point: Point, rounds: bool) -> int | str:
    """The trial's number; in a pruning search the round from 1, or `selected`."""
    if not rounds:
        return point.trial.number
    return "selected" if point.is_selected else str(point.trial.batch + 1)


def draw_cloud(cloud: ScoreCloud, kind: Literal["round", "batch"]) -> go.Figure:
    """Two scores against each other, or one score in order of rank; what was selected on top."""
    figure = blank_figure(height=460)
    for trace in _cloud_traces(cloud, kind):
        figure.add_scatter(**trace)
    values = [
        [point.estimates[k].value for point in cloud.points] for k in range(len(cloud.scores))
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
    return f"{literal(readable(cloud.scores[k]))} ({better} is better)"


def _cloud_traces(cloud: ScoreCloud, kind: Literal["round", "batch"]) -> list[Properties]:
    ranked = [(k + 1, cloud.points[k]) for k in thinned(len(cloud.points), _best(cloud))]
    batches = sorted({point.trial.batch for _, point in ranked})
    others = [(rank, point) for rank, point in ranked if not point.is_selected]
    traces = (
        [
            _cloud_trace(cloud, [(r, p) for r, p in others if p.trial.batch == batch], colour)
            | {"name": f"{kind} {batch + 1}"}
            for batch, colour in zip(batches, ROUNDS, strict=False)
        ]
        if len(batches) <= len(ROUNDS)
        else [_scaled_trace(cloud, others, kind)]
    )
    selected = _cloud_trace(
        cloud, [(rank, point) for rank, point in ranked if point.is_selected], SELECTED
    )
    selected["marker"] = SELECTED_MARKER
    return [
        trace
        for trace in (*traces, selected | {"name": "the selected architecture"})
        if trace["y"]
    ]


def _best(cloud: ScoreCloud) -> list[int]:
    """Points that are drawn however many there are: what was selected, and the best."""
    found = [k for k, point in enumerate(cloud.points) if point.is_selected]
    for axis, direction in enumerate(cloud.directions):
        values = [-direction * point.estimates[axis].value for point in cloud.points]
        found += sorted(range(len(values)), key=values.__getitem__)[:ALWAYS]
    return found


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
        "hovertext": [
            _hover(point, f"trial {point.trial.number}: {point.trial.note}", cloud.scores)
            for _, point in ranked
        ],
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
        "color": [point.trial.batch + 1 for _, point in ranked],
        "colorscale": [[0, "#9db9e0"], [0.5, "#2a9d8f"], [1, "#8f4fd1"]],
        "colorbar": {"title": {"text": kind}, "thickness": 10, "outlinewidth": 0},
    }
    return trace | {"name": "architecture", "showlegend": False}


def _estimates(
    axis: Literal["x", "y"], estimates: Sequence[Estimate], colour: str, errors: bool = True
) -> Properties:
    """Means along an axis, with standard errors as bars; a single draw has no bar."""
    means = {axis: [found.value for found in estimates]}
    lengths = [found.standard_error or 0.0 for found in estimates]
    return means | ({f"error_{axis}": error_bar(lengths, colour)} if errors else {})


def _value_axis(values: Sequence[float]) -> Properties:
    return log_axis(values) if spans_decades(values) else {}


def _hover(point: Point, heading: str, scores: Sequence[str]) -> str:
    values = zip(scores, point.estimates, strict=True)
    lines = [literal(f"{readable(score)}: {_with_error(found)}") for score, found in values]
    return "<br>".join([f"<b>{literal(heading)}</b>", wrapped(point.trial.architecture), *lines])


def _with_error(found: Estimate) -> str:
    draws = f"{found.draws} draw{'' if found.draws == 1 else 's'}"
    if found.is_count:
        return f"{counted(found.value, found.standard_error)} ({draws})"
    if found.standard_error is None:
        return f"{significant(found.value)} ({draws})"
    return f"{significant(found.value)} ± {significant(found.standard_error)} ({draws})"
