"""A ranking of models, drawn by Plotly."""

from dataclasses import dataclass

import plotly.graph_objects as go

from untrained.pages.canvas import SELECTED, blank_figure, error_bar, literal, log_axis
from untrained.pages.units import compact, milliseconds, percent, significant
from untrained.ranking import Ranking

PLAIN = "#3f7fcf"


@dataclass(frozen=True)
class Ranked:
    """A model that has a place, as figures show it."""

    model: str
    group: int | None
    score: float
    low: float | None
    high: float | None
    parameters: int
    latency: float | None
    accuracy: float | None
    "After training; None where it was not trained."


def ranked_models(ranking: Ranking) -> list[Ranked]:
    """Those that have a place, the best first."""
    by = ranking.ordered_by
    return [
        Ranked(
            model=row["model"],
            group=row["group"],
            score=float(row[by]),
            low=row.get(f"{by}_low"),  # a count has none
            high=row.get(f"{by}_high"),
            parameters=row["parameters"],
            latency=row["latency"],
            accuracy=row.get("accuracy"),
        )
        for row in ranking.ranked.iter_rows(named=True)
    ]


def draw_scores(models: list[Ranked], by: str) -> go.Figure:
    """Each model's score with its interval, the best on top."""
    figure = blank_figure(height=90 + 26 * len(models))
    middle = [each.score for each in models]
    up = [0.0 if m.high is None else m.high - m.score for m in models]
    figure.add_scatter(
        x=middle,
        y=list(range(len(models))),
        error_x=error_bar(up, PLAIN),
        mode="markers",
        marker={"size": 9, "color": [_colour(each) for each in models]},
        hovertext=[f"{literal(m.model)}<br>{significant(m.score)}" for m in models],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_xaxes(title_text=by)
    figure.update_yaxes(
        tickvals=list(range(len(models))),
        ticktext=[literal(each.model) for each in models],
        range=[len(models) - 0.5, -0.5],
    )
    return figure


def draw_sizes(models: list[Ranked], by: str, cost: str) -> go.Figure | None:
    """`parameters` or `latency` against the score; None where there is no such number."""
    some = [(each, getattr(each, cost)) for each in models]
    points = [(each, float(value)) for each, value in some if value]
    if not points:
        return None
    shown = {"parameters": compact, "latency": milliseconds}[cost]
    figure = blank_figure(height=320)
    figure.add_scatter(
        x=[value for _, value in points],
        y=[each.score for each, _ in points],
        mode="markers",
        marker={"size": 9, "color": [_colour(each) for each, _ in points]},
        hovertext=[f"{literal(m.model)}<br>{significant(m.score)}, {shown(v)}" for m, v in points],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_xaxes(log_axis([value for _, value in points]))
    figure.update_xaxes(title_text={"parameters": "Parameters", "latency": "Seconds"}[cost])
    figure.update_yaxes(title_text=by)
    return figure


def draw_accuracies(models: list[Ranked], by: str) -> go.Figure | None:
    """Accuracy after training against the score; None where no model was trained."""
    points = [(each, each.accuracy) for each in models if each.accuracy is not None]
    if not points:
        return None
    figure = blank_figure(height=320)
    figure.add_scatter(
        x=[model.score for model, _ in points],
        y=[accuracy for _, accuracy in points],
        mode="markers",
        marker={"size": 9, "color": [_colour(model) for model, _ in points]},
        hovertext=[
            f"{literal(m.model)}<br>{significant(m.score)}, {percent(a)}" for m, a in points
        ],
        hoverinfo="text",
        showlegend=False,
    )
    figure.update_xaxes(title_text=by)
    figure.update_yaxes(title_text="Accuracy", tickformat=".0%")
    return figure


def _colour(model: Ranked) -> str:
    return SELECTED if model.group == 1 else PLAIN
