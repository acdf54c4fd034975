"""A run as one self-contained page, which opens from a file with the network off."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from untrained.locations import Location
from untrained.pages import front_drawings, score_drawings, training_drawings
from untrained.pages.budgeted import budgeted_in_words
from untrained.pages.calibrated import calibrated_parts
from untrained.pages.canvas import MOST_POINTS
from untrained.pages.cell import draw_cell, graphs_of, operations
from untrained.pages.headline import ImageFacts, headline, image_facts
from untrained.pages.ledger import ledger
from untrained.pages.limited import limited_in_words
from untrained.pages.measured import failures, score_cloud, trajectory
from untrained.pages.pruned import parents, prunings
from untrained.pages.shrunk import discarded_in_words
from untrained.pages.trained import accuracy_by_size, confusion, training_curves
from untrained.pages.writing import write_page
from untrained.runs.config_file import stored_as_toml
from untrained.runs.fronts import front_of
from untrained.runs.mistakes import Mistake
from untrained.runs.reached import reached_by
from untrained.runs.record import RunRecord
from untrained.spaces import SPACES, CellGraph, Space
from untrained.tables.table import Standing

CLASSES_IN_MATRIX = 20
"More classes than this are not readable as a matrix."
MEMBERS = 100
"Networks of a front, the best by the first score, that the page shows."

PAGE = "page.html.j2"
Parts = dict[str, Any]
"Names that the template reads, and what they stand for."


def write_report(run: RunRecord, path: Location, **shown: Any) -> None:
    """Write the report of a run, finished or not; an older one is replaced in one step.

    Args:
        run: the run as it stands.
        path: the HTML file; its folder must exist.
        shown: what `report_parts` takes beside the run.
    """
    write_page(path, PAGE, **report_parts(run, **shown))


def report_parts(
    run: RunRecord,
    *,
    space: Space[Any] | None = None,
    graphs: Sequence[CellGraph] = (),
    standings: Sequence[Standing] = (),
    exported: Mapping[str, str] = {},
    beside: Mapping[str, str] = {},
    mistakes: Sequence[Mistake] = (),
    command: str = "",
) -> Parts:
    """What the page of a run shows.

    Args:
        run: the run as it stands.
        space: the run's, to tell rounds and removals of a pruning search; by default ours of
            that name. What a store names is never imported.
        graphs: the selected architecture's cells, to be drawn.
        standings: where the selected architecture stands in benchmark tables.
        exported: label -> path of a file, relative to the page's folder, with `/`; or its URL.
        beside: name -> report of each other run of the same search, in the same way.
        mistakes: test images that the selected architecture is most confidently wrong about.
        command: the command line that made the page; left out if empty.
    """
    space = space or SPACES.get(run.space)
    reached = reached_by(run)
    return {
        "run": run,
        "reached": None if reached.state == "ended" else reached,
        **_selected_parts(graphs, standings, exported),
        **_score_parts(run, space),
        "unknown_space": space is None,
        **_front_parts(run, space),
        **_training_parts(run, image_facts(run.images)),
        "limits": run.limited and limited_in_words(run.limited),
        "budgeted": run.budgeted
        and budgeted_in_words(run.budgeted, run.wall_seconds, run.trainings),
        "calibrated": run.calibrated and calibrated_parts(run.calibrated),
        "discarded": run.shrunk and discarded_in_words(run.shrunk),
        "ledger": ledger(run),
        "beside": {name: _href(file) for name, file in beside.items()},
        "mistakes": mistakes,
        "settings": _said(run.config),
        "toml": run.config and stored_as_toml(run.config),
        "command": command,
    }


def _said(settings: Mapping[str, Any]) -> Parts:
    """The settings without those that say nothing."""
    inner = {k: _said(v) if isinstance(v, Mapping) else v for k, v in settings.items()}
    return {key: value for key, value in inner.items() if value is not None and value != {}}


def _selected_parts(
    graphs: Sequence[CellGraph], standings: Sequence[Standing], exported: Mapping[str, str]
) -> Parts:
    colours = operations(graphs)
    return {
        "cells": [draw_cell(graph, colours) for graph in graphs],
        "operations": colours,
        "standings": standings,
        "links": {label: _href(file) for label, file in exported.items()},
    }


def _href(file: str) -> str:
    """What a link says; a URL is said as it is."""
    return file if "://" in file else quote(file, errors="surrogateescape")


def _score_parts(run: RunRecord, space: Space[Any] | None) -> Parts:
    cloud = score_cloud(run)
    kind: Literal["round", "batch"] = "round" if parents(run, space) else "batch"
    return {
        "kind": kind,
        "curves": [(curve, score_drawings.draw_curve(curve)) for curve in trajectory(run, space)],
        "prunings": prunings(run, space),
        "failures": failures(run),
        "cloud": cloud,
        "cloud_plot": score_drawings.draw_cloud(cloud, kind) if cloud.points else None,
        "points_with_errors": score_drawings.POINTS_WITH_ERRORS,
        "thinned_out": len(run.trials) > MOST_POINTS,
    }


def _front_parts(run: RunRecord, space: Space[Any] | None) -> Parts:
    front = front_of(run)
    if front is None:
        return {"front": None}
    members = front.members[:MEMBERS]
    anchors = {each.trial.architecture: f"front-{k}" for k, each in enumerate(members)}
    graphs = {text: (graphs_of(space, text) if space else None) or () for text in anchors}
    colours = operations([graph for found in graphs.values() for graph in found])
    return {
        "front": front,
        "front_plot": front_drawings.draw_front(front, run.selected, anchors),
        "front_colours": colours,
        "front_members": [
            (
                anchors[each.trial.architecture],
                each.trial.architecture,
                front_drawings.values_of(front, each),
                [draw_cell(graph, colours) for graph in graphs[each.trial.architecture]],
            )
            for each in members
        ],
    }


def _training_parts(run: RunRecord, images: ImageFacts) -> Parts:
    sizes, curves = accuracy_by_size(run, images.test), training_curves(run)
    return {
        "images": images,
        "headline": headline(run, images.test),
        "sizes_plot": training_drawings.draw_sizes(sizes) if sizes else None,
        "curve_plots": {each.quantity: training_drawings.draw_curves(each) for each in curves},
        "confusion": confusion(run, images.classes),
        "classes_in_matrix": CLASSES_IN_MATRIX,
        "failed_trainings": [training for training in run.trainings if training.reason],
    }
