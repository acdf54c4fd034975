"""What a calibration found, for people."""

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from untrained.cli.terminal import PRINTED, say
from untrained.outside import visible
from untrained.pages.calibrated import READING, calibrated_in_words, rows_of
from untrained.runs.record import Calibrated


def show_calibrated(found: Calibrated) -> None:
    """One row a score, the best first, and by what the search ranked."""
    table = Table(Column("score", overflow="fold", min_width=18), box=SIMPLE_HEAD, padding=0)
    for name in ("tau", "95 %", "p", "corrected"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for score, (name, *cells) in zip(found.scores, rows_of(found), strict=True):
        style = "bold" if score.holds else "dim" if score.size else ""
        table.add_row(visible(name), *cells, style=style)
    PRINTED.print(table)
    say(calibrated_in_words(found))
    say(READING.format(images=found.images), style="dim")
