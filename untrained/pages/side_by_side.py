"""Several runs side by side: what each found, at what cost, and where their settings differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from untrained.pages.canvas import blank_figure, literal, thinned, wrapped
from untrained.pages.headline import Headline, headline, image_facts
from untrained.pages.ledger import ledger
from untrained.pages.measured import ScoreCurve, spans_decades, trajectory
from untrained.pages.units import significant
from untrained.runs.reached import Reached, reached_by
from untrained.runs.record import RunRecord
from untrained.spaces import SPACES

COLOURS = (
    "#e8590c", "#1c7ed6", "#2a8f82", "#8260c4", "#a87512", "#b0446a", "#56793a", "#5d6b80",
)  # fmt: skip
"Of the runs, in order; so many are compared at most."
NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """One run."""

    name: str
    colour: str
    run: RunRecord
    headline: Headline
    reached: Reached
    seconds: float
    "Of all steps, summed over workers."


def columns(runs: Sequence[RunRecord]) -> list[Column]:
    """The runs as columns of a table.

    Raises:
        ValueError: fewer than two, or more than there are colours.
    """
    if not 2 <= len(runs) <= len(COLOURS):
        raise ValueError(f"expected 2 to {len(COLOURS)} runs to compare, got {len(runs)}")
    return [
        Column(
            name=run.name,
            colour=colour,
            run=run,
            headline=headline(run, image_facts(run.images).test),
            reached=reached_by(run),
            seconds=ledger(run).seconds,
        )
        for run, colour in zip(runs, COLOURS, strict=False)
    ]


def differences(runs: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Setting -> what each run has, for those in which runs differ; names with dots."""
    flat = [dict(_leaves(run.config)) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    found = {name: tuple(settings.get(name, NONE) for settings in flat) for name in names}
    return {name: values for name, values in found.items() if len({*values}) > 1}


def _leaves(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    return [
        leaf
        for key, value in settings.items()
        for leaf in (
            _leaves(value, f"{before}{key}.")
            if isinstance(value, Mapping)
            else [(f"{before}{key}", NONE if value is None else str(value))]
        )
    ]


def draw_best(compared: Sequence[Column]) -> list[tuple[str, go.Figure]]:
    """Of each score that two runs or more have ranked by, the best so far along each."""
    curves: dict[str, list[tuple[Column, ScoreCurve]]] = {}
    for column in compared:
        for curve in trajectory(column.run, SPACES.get(column.run.space)):
            if curve.best:
                curves.setdefault(curve.score, []).append((column, curve))
    return [(score, _draw(shown)) for score, shown in curves.items() if len(shown) > 1]


def _draw(shown: Sequence[tuple[Column, ScoreCurve]]) -> go.Figure:
    figure = blank_figure(height=320)
    for column, curve in shown:
        places = thinned(len(curve.best), [len(curve.best) - 1])
        figure.add_scatter(
            x=[place + 1 for place in places],
            y=[curve.best[place] for place in places],
            mode="lines",
            line={"color": column.colour, "width": 2, "shape": "hv"},
            name=literal(column.name),
            hovertext=[
                f"{wrapped(column.name)}<br>after {place + 1:,}: {significant(curve.best[place])}"
                for place in places
            ],
            hoverinfo="text",
            showlegend=False,
        )
    if spans_decades([value for _, curve in shown for value in curve.best]):
        figure.update_yaxes(type="log")
    return figure.update_xaxes(title_text="Architectures tried")


def side_by_side_parts(runs: Sequence[RunRecord], links: Mapping[str, str] = {}) -> dict[str, Any]:
    """What the page of several runs shows.

    Args:
        runs: the runs.
        links: name -> page of each; none without.

    Raises:
        ValueError: too few runs, or too many.
    """
    shown = columns(runs)
    return {
        "columns": shown,
        "best": draw_best(shown),
        "differences": differences(runs),
        "links": links,
    }
