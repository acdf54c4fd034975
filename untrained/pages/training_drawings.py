"""What training gave, drawn by Plotly."""

from collections.abc import Sequence

import plotly.graph_objects as go

from untrained.pages.canvas import (
    RANDOM,
    REFERENCE,
    SELECTED,
    SELECTED_MARKER,
    Properties,
    blank_figure,
    error_bar,
    log_axis,
    wrapped,
)
from untrained.pages.trained import Curve, Curves, TrainedPoint
from untrained.pages.units import percent

COLOURS = {"random": RANDOM, "reference": REFERENCE, "selected": SELECTED}
"Role of a trained network -> its colour, in the order in which they are drawn."
NAMES = {
    "random": "random architecture",
    "reference": "network by name",
    "selected": "the selected architecture",
}


def draw_sizes(points: Sequence[TrainedPoint]) -> go.Figure:
    """Test accuracy against parameters."""
    figure = blank_figure(height=380)
    for role, colour in COLOURS.items():
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
    return log_axis([float(count) for count in parameters])


def _size_trace(points: Sequence[TrainedPoint], role: str, colour: str) -> Properties:
    selected = role == "selected"
    errors = [point.standard_error or 0.0 for point in points]
    return {
        "x": [point.parameters for point in points],
        "y": [point.accuracy for point in points],
        "error_y": error_bar(errors, colour),
        "mode": "markers",
        "marker": {"color": colour, "size": 10} | (SELECTED_MARKER if selected else {}),
        "name": NAMES[role],
        "hovertext": [_size_hover(point) for point in points],
        "hoverinfo": "text",
    }


def _size_hover(point: TrainedPoint) -> str:
    error = f" ± {percent(point.standard_error)}" if point.standard_error else ""
    return (
        f"{wrapped(point.architecture)}<br>test accuracy {percent(point.accuracy)}{error}<br>"
        f"{point.parameters:,} parameters, {point.macs:,} multiply-adds"
    )


def draw_curves(curves: Curves) -> go.Figure:
    """Loss or accuracy by epoch, the selected one strong, others faint; the page has a legend."""
    figure = blank_figure(height=300)
    for curve in curves.curves:
        figure.add_scatter(**_curve_trace(curve))
        if curve.role == "selected" and curve.split == "validation":
            figure.add_scatter(**_kept(curve))
    last = max(curve.epochs[-1] for curve in curves.curves)
    figure.update_xaxes(title_text="Epoch", dtick=1 if last <= 10 else None)
    figure.update_yaxes(title_text="Cross-entropy" if curves.quantity == "loss" else "Accuracy")
    if curves.quantity == "accuracy":
        figure.update_yaxes(tickformat=".0%")
    return figure.update_layout(showlegend=False)


def _curve_trace(curve: Curve) -> Properties:
    selected = curve.role == "selected"
    heading = f"<b>{NAMES[curve.role]}, {curve.split}</b>"
    return {
        "x": curve.epochs,
        "y": curve.values,
        "mode": "lines" if len(curve.epochs) > 1 else "markers",
        "line": {
            "color": COLOURS[curve.role],
            "width": 2.5 if selected else 1.2,
            "dash": "dot" if curve.split == "train" else "solid",
        },
        "opacity": 1 if selected else 0.6,
        "hovertext": [
            f"{heading}<br>{wrapped(curve.architecture)}<br>epoch {epoch}: {value:.4g}"
            for epoch, value in zip(curve.epochs, curve.values, strict=True)
        ],
        "hoverinfo": "text",
    }


def _kept(curve: Curve) -> Properties:
    """The epoch whose weights were kept."""
    points = zip(curve.epochs, curve.values, strict=True)
    kept = [(epoch, value) for epoch, value in points if epoch == curve.best_epoch]
    return {
        "x": [epoch for epoch, _ in kept],
        "y": [value for _, value in kept],
        "mode": "markers",
        "marker": {"color": SELECTED, "size": 10, "line": {"color": "white", "width": 2}},
        "hovertext": [f"weights kept: epoch {epoch}" for epoch, _ in kept],
        "hoverinfo": "text",
    }
