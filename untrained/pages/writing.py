"""Pages from templates: self-contained, and written whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from untrained.files import write_whole
from untrained.locations import Location
from untrained.outside import visible
from untrained.pages import units
from untrained.pages.packed import packed, plotly_js

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Live:
    """What a page needs to be renewed by a server."""

    plotly: str
    "Path of plotly.js, which the page does not hold."
    home: str
    "Path of the list of all runs; empty on that page."


def placed(page: Location | None, folder: Location | None, name: str) -> Location:
    """The page, by default `name` in the folder; ValueError where there is neither."""
    if page is not None:
        return page
    if folder is None:
        raise ValueError(f"expected a page, as there is no folder for {name}, got None")
    return folder / name


def write_page(path: Location, template: str, *, folder: Path = HERE, **parts: Any) -> None:
    """Write a page that needs nothing else; an older one is replaced in one step.

    Args:
        path: the HTML file; its folder must exist.
        template: file name of the template.
        folder: of the template, if not this one; it may include templates of this one.
        parts: names that the template reads.
    """
    write_whole(path, render(template, folder=folder, **parts).encode())


def render(template: str, *, folder: Path = HERE, live: Live | None = None, **parts: Any) -> str:
    """A page, with plotly in it unless it is live."""
    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": units.duration,
        "compact": units.compact,
        "packed": packed,
        "percent": units.percent,
        "readable": units.readable,
        "significant": units.significant,
    }
    plotly = "" if live else plotly_js()
    return environment.get_template(template).render(plotly=plotly, live=live, **parts)


def _shown(value: object) -> object:
    """What a template writes: ours, and text from outside without what a browser would obey."""
    return value if isinstance(value, Markup) else visible(str(value))
