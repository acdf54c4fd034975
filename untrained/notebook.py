"""How a value shows itself in a notebook: a heading, a few lines, the head of a table."""

from collections.abc import Iterable

import polars as pl
from markupsafe import Markup

from untrained.outside import visible

ROWS = 10


def card(heading: str, lines: Iterable[str], table: pl.DataFrame) -> str:
    """As HTML; text from outside is shown, and not obeyed."""
    said = Markup("").join(Markup("<div>{}</div>").format(visible(line)) for line in lines if line)
    title = Markup("<strong>{}</strong>").format(visible(heading))
    with pl.Config(tbl_rows=ROWS, fmt_str_lengths=80, tbl_hide_column_data_types=True):
        shown = table._repr_html_() if len(table) else ""
    return f"<div>{title}{said}{shown}</div>"
