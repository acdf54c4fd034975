"""An inspection as one self-contained page."""

from pathlib import Path

from untrained.inspection import drawings
from untrained.inspection.curves import curves_of, kernel_shares
from untrained.inspection.inspection import Inspection
from untrained.locations import Location
from untrained.pages.units import percent, significant
from untrained.pages.writing import write_page

DASH = "\u2013"


def write_inspected(inspection: Inspection, path: Location, *, title: str, command: str) -> None:
    """Writes the page; an older one is replaced in one step.

    Args:
        inspection: what was measured and found.
        path: the HTML file; its folder must exist.
        title: of the page: the network.
        command: the command line that makes it again; left out if empty.
    """
    shares = kernel_shares(inspection)
    write_page(
        path,
        "inspected.html.j2",
        folder=Path(__file__).parent,
        inspection=inspection,
        title=title or "A network",
        command=command,
        verdict=verdict(inspection),
        curves=[
            (curve, drawings.draw_curve(curve, inspection)) for curve in curves_of(inspection)
        ],
        kinds=drawings.KINDS,
        shares=drawings.draw_shares(shares) if shares else None,
        most=len(shares),
        layers=inspection.layers.to_dicts(),
        parameters=inspection.parameters.to_dicts(),
        part=lambda share: DASH if share is None else percent(share),
        plainly=lambda value: DASH if value is None else significant(value),
    )


def verdict(inspection: Inspection) -> str:
    """What was found, in a sentence."""
    problems = inspection.problems
    if not problems:
        return "Nothing was found that hinders its training."
    if len(problems) == 1:
        return f"One thing hinders its training: {problems[0].title}."
    return f"{len(problems)} things hinder its training, first of all: {problems[0].title}."
