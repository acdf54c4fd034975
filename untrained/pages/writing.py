"""Pages from templates: self-contained, and written whole or not at all."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from untrained.files import write_whole
from untrained.locations import Location
from untrained.outside import visible
from untrained.pages import units

HERE = Path(__file__).parent


def placed(page: Location | None, folder: Location | None, name: str) -> Location:
    """The page, by default `name` in the folder; ValueError where there is neither."""
    if page is not None:
        return page
    if folder is None:
        raise ValueError(f"expected a page, as there is no folder for {name}, got None")
    return folder / name


def write_page(path: Location, template: str, *, folder: Path = HERE, **parts: Any) -> None:
    """Render a template, with plotly in it; an older page is replaced in one step.

    Args:
        path: the HTML file; its folder must exist.
        template: file name of the template.
        folder: of the template, if not this one; it may include templates of this one.
        parts: names that the template reads.
    """
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
        "percent": units.percent,
        "readable": units.readable,
        "significant": units.significant,
    }
    page = environment.get_template(template).render(plotly=Markup(get_plotlyjs()), **parts)
    write_whole(path, page.encode())


def _shown(value: object) -> object:
    """What a template writes: ours, and text from outside without what a browser would obey."""
    return value if isinstance(value, Markup) else visible(str(value))
