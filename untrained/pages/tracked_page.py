"""A tracking as one self-contained page."""

from collections.abc import Mapping, Sequence
from typing import Any

from untrained.locations import Location
from untrained.pages import tracked_drawings as drawings
from untrained.pages.eigenvectors import eigenvectors
from untrained.pages.tracked import (
    ADVANTAGE,
    COMPARED,
    IMAGES_SHOWN,
    QUESTIONS,
    Panel,
    limits,
    pictures,
    result,
    series,
    spread,
    verdict,
)
from untrained.pages.tracked_parts import BREAKDOWNS, ON_THE_PAGE, ROWS_SHOWN, Part, grid
from untrained.pages.writing import write_page
from untrained.tracking.snapshots import Snapshot
from untrained.tracking.track import Track

PAGE = "tracked.html.j2"
Parts = dict[str, Any]
"Names that the template reads, and what they stand for."


def write_tracked(track: Track, path: Location, *, title: str, network: str, **shown: Any) -> None:
    """Write the page of a tracking; an older one is replaced in one step.

    Args:
        track: one snapshot or more.
        path: the HTML file; its folder must exist.
        title: as `tracked_parts` takes it.
        network: the same.
        shown: what it takes beside these.
    """
    write_page(path, PAGE, **tracked_parts(track, title=title, network=network, **shown))


def tracked_parts(
    track: Track,
    *,
    title: str,
    network: str,
    facts: Mapping[str, object] = {},
    toml: str = "",
    command: str = "",
) -> Parts:
    """What the page of a tracking shows.

    Args:
        track: one snapshot or more.
        title: of the page.
        network: what was trained: an architecture, or the name of a function.
        facts: what was asked, name by name.
        toml: the same as a file; left out if empty.
        command: the command line that makes it again; left out if empty.
    """
    found = result(track)
    shown = pictures(track)
    scale = limits(shown) if shown else None
    few = [track.snapshots[k] for k in spread(len(track.snapshots))]
    return {
        "title": title,
        "network": network,
        "track": track,
        "result": found,
        "verdict": verdict(found),
        "facts": facts,
        "toml": toml,
        "command": command,
        **_compared(track),
        "questions": {
            question: [_panel(panel, track.snapshots) for panel in panels]
            for question, panels in QUESTIONS.items()
        },
        "pictures": [
            (picture, drawings.draw_kernel(picture, track.classes, scale))
            for picture in shown
            if scale is not None
        ],
        "scale": scale,
        "gradient": "" if scale is None else drawings.colour_bar(scale),
        "thinned": len(track.labels) > IMAGES_SHOWN,
        "images_shown": min(len(track.labels), IMAGES_SHOWN),
        "by_class": _grids(track, "class"),
        "by_layer": _grids(track, "layer"),
        "rows_shown": ROWS_SHOWN,
        "eigenvectors": {
            track.snapshots[k].epoch: eigenvectors(track, k)
            for k in dict.fromkeys((0, len(track.snapshots) - 1))
        },
        "spectra": drawings.draw_spectra(few),
        "spectra_legend": drawings.spectra_legend(few),
    }


def _compared(track: Track) -> Parts:
    """Network against regression, with the level of the latter at initialisation."""
    compared = _panel(COMPARED, track.snapshots)
    level = track.snapshots[0].regression_accuracy.value
    if level is not None:
        label = "regression with Θ₀"
        last = max(1, track.snapshots[-1].epoch)
        compared["figure"] = drawings.add_level(compared["figure"], label, level, last)
        compared["legend"].append((label, drawings.LEVEL, True))
    return {"compared": compared, "advantage": _panel(ADVANTAGE, track.snapshots)}


def _grids(track: Track, part: Part) -> list[Parts]:
    """A figure for each breakdown; none of a tracking that has no such parts."""
    found = [
        (breakdown, grid(track, part, breakdown.quantity))
        for breakdown in BREAKDOWNS[part][: ON_THE_PAGE[part]]
    ]
    return [
        {
            "title": breakdown.title,
            "meaning": breakdown.meaning,
            "legend": [],
            "figure": drawings.draw_grid(breakdown, shown),
            "reasons": shown.reasons,
        }
        for breakdown, shown in found
        if shown.rows
    ]


def _panel(panel: Panel, snapshots: Sequence[Snapshot]) -> Parts:
    shown = [series(snapshots, line) for line in panel.lines]
    return {
        "title": panel.title,
        "meaning": panel.meaning,
        "legend": [
            (line.label, colour, False)
            for line, colour in zip(shown, drawings.COLOURS, strict=False)
        ],
        "figure": drawings.draw_panel(panel, shown) if any(s.values for s in shown) else None,
        "reasons": [reason for line in shown for reason in line.reasons],
    }
