"""A Pareto front, drawn by Plotly; a click on one of its points opens the network below."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from untrained.pages.canvas import (
    RANDOM,
    SELECTED_MARKER,
    Properties,
    blank_figure,
    literal,
    log_axis,
    thinned,
    wrapped,
)
from untrained.pages.measured import spans_decades
from untrained.pages.units import counted, readable, significant
from untrained.runs.fronts import Front, Placed

FRONT = "#2a9d8f"


def draw_front(front: Front, selected: str | None, anchors: Mapping[str, str]) -> go.Figure:
    """The first two scores of everything tried, the first upwards; what is selected on top.

    Args:
        front: with two scores or more.
        selected: the selected architecture.
        anchors: architecture -> the page's element that shows it.
    """
    figure = blank_figure(height=460)
    dominated = [each for each in front.placed if not each.on_front]
    others = [dominated[k] for k in thinned(len(dominated))]
    members = sorted(front.members, key=lambda each: each.estimates[1].value)
    star = [each for each in front.placed if each.trial.architecture == selected]
    line = len(front.scores) == 2
    for placed, name, style in (
        (others, "dominated", {"marker": {"color": RANDOM, "size": 6, "opacity": 0.6}}),
        (
            members,
            "on the front",
            {
                "mode": "lines+markers" if line else "markers",
                "marker": {"color": FRONT, "size": 10},
                "line": {"color": FRONT, "width": 1.5},
            },
        ),
        (star, "the selected architecture", {"marker": SELECTED_MARKER}),
    ):
        if placed:
            figure.add_scatter(**(_trace(front, placed, anchors) | style | {"name": name}))
    for k, update in ((1, figure.update_xaxes), (0, figure.update_yaxes)):
        values = [each.estimates[k].value for each in front.placed]
        update(log_axis(values) if spans_decades(values) else {}, title_text=_title(front, k))
    return figure


def _trace(front: Front, placed: Sequence[Placed], anchors: Mapping[str, str]) -> Properties:
    return {
        "x": [each.estimates[1].value for each in placed],
        "y": [each.estimates[0].value for each in placed],
        "mode": "markers",
        "customdata": [anchors.get(each.trial.architecture, "") for each in placed],
        "hovertext": [
            "<br>".join([wrapped(each.trial.architecture), *map(literal, values_of(front, each))])
            for each in placed
        ],
        "hoverinfo": "text",
    }


def _title(front: Front, k: int) -> str:
    better = "higher" if front.directions[k] > 0 else "lower"
    return f"{literal(readable(front.scores[k]))} ({better} is better)"


def values_of(front: Front, placed: Placed) -> list[str]:
    """Each score with its name, for people."""
    return [
        f"{readable(score)}: "
        + (counted(found.value, None) if found.is_count else significant(found.value))
        for score, found in zip(front.scores, placed.estimates, strict=True)
    ]
