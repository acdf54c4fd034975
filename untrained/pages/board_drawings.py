"""A leaderboard, drawn by Plotly."""

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from untrained.benching.combined import COMBINATION
from untrained.benching.leaderboard import SHORTENED, Leaderboard
from untrained.pages.canvas import RANDOM, SELECTED, blank_figure, literal, log_axis, wrapped
from untrained.pages.labels import WIDTHS, axis_range, place_labels
from untrained.pages.measured import spans_decades
from untrained.pages.units import percent, share, significant

SCORE = "#3f7fcf"
COLOURS = {"score": SCORE, COMBINATION: "#8260c4", "baseline": RANDOM, SHORTENED: "#2a9d8f"}
"Of the kinds of a leaderboard's rows."
POINTS = 2000
"Architectures that a scatter plot shows at most: the first, which are in a random order."


@dataclass(frozen=True)
class Scatter:
    """A score against accuracies."""

    score: str
    kind: str
    higher_is_better: bool
    tau: float | None
    values: tuple[float, ...]
    "As measured, means over draws."
    accuracies: tuple[float, ...]
    architectures: tuple[str, ...]


def scatters(board: Leaderboard) -> list[Scatter]:
    """Every score of the leaderboard that has a value, in its order."""
    found = []
    for row in board.scores.iter_rows(named=True):
        points = board.points(row["score"]).drop_nulls().head(POINTS)
        if len(points):
            found.append(
                Scatter(
                    score=row["score"],
                    kind=row["kind"],
                    higher_is_better=row["higher_is_better"],
                    tau=row["tau"],
                    values=tuple(points["value"]),
                    accuracies=tuple(points["accuracy"]),
                    architectures=tuple(points["architecture"]),
                )
            )
    return found


def draw_scatter(scatter: Scatter) -> go.Figure:
    """The score from worse to better, left to right, and the accuracy upwards."""
    figure = blank_figure(height=280)
    figure.add_scatter(
        x=scatter.values,
        y=scatter.accuracies,
        mode="markers",
        marker={"size": 5, "opacity": 0.6, "color": COLOURS[scatter.kind]},
        hovertext=[
            f"{significant(x)}, {percent(y, 2)}<br>{wrapped(text)}"
            for x, y, text in zip(
                scatter.values, scatter.accuracies, scatter.architectures, strict=True
            )
        ],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_xaxes(log_axis(scatter.values) if spans_decades(scatter.values) else {})
    if not scatter.higher_is_better:
        figure.update_xaxes(autorange="reversed")
    figure.update_yaxes(tickformat=".0%")
    return figure


def draw_costs(board: Leaderboard) -> go.Figure | None:
    """Seconds per architecture against tau, and the Pareto front; None where no seconds are known.

    A label that would cover another or a point is left out; the point tells its name on hover.
    Which ones fit depends on the width: `meta` of a trace has the labels for each, which the page
    chooses from.
    """
    rows = [
        row
        for row in board.scores.iter_rows(named=True)
        if row["tau"] is not None and row["seconds"]
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: not row["on_front"])  # whose labels come first
    decades, taus = [math.log10(row["seconds"]) for row in rows], [row["tau"] for row in rows]
    names = [row["score"] for row in rows]
    sides = {width: place_labels(decades, taus, names, width) for width in WIDTHS}
    figure = blank_figure(height=420)
    for kind, colour in COLOURS.items():
        of_it = [i for i, row in enumerate(rows) if row["kind"] == kind]
        some = [rows[i] for i in of_it]
        labels = {
            width: {
                "text": [literal(names[i]) if found[i] else "" for i in of_it],
                "textposition": [found[i] or "top center" for i in of_it],
            }
            for width, found in sides.items()
        }
        figure.add_scatter(
            x=[row["seconds"] for row in some],
            y=[row["tau"] for row in some],
            meta=labels,
            **labels[WIDTHS[-1]],
            hovertext=[
                f"{literal(row['score'])}<br>tau {share(row['tau'])}, "
                f"{significant(row['seconds'])} s"
                for row in some
            ],
            hoverinfo="text",
            mode="markers+text",
            marker={"size": 9, "color": colour},
            name=kind,
            visible=bool(some),
        )
    front = sorted((row["seconds"], row["tau"]) for row in rows if row["on_front"])
    figure.add_scatter(
        x=[seconds for seconds, _ in front],
        y=[tau for _, tau in front],
        mode="lines",
        line={"color": SELECTED, "width": 1.5, "shape": "hv"},
        name="Pareto front",
        hoverinfo="skip",
    )
    figure.update_xaxes(log_axis([row["seconds"] for row in rows]))
    figure.update_xaxes(title_text="Seconds per architecture", range=axis_range(decades))
    figure.update_yaxes(title_text="Kendall's tau", range=axis_range(taus))
    return figure
