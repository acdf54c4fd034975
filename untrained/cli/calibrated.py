"""What a calibration found, for people."""

from untrained.cli.columns import Column, show_table
from untrained.cli.terminal import tell
from untrained.pages.calibrated import READING, calibrated_in_words, rows_of
from untrained.runs.record import Calibrated


def show_calibrated(found: Calibrated) -> None:
    """One row a score, the best first, and by what the search ranked."""
    names, *cells = zip(*rows_of(found), strict=True)
    headings = ("tau", "95 %", "p", "corrected")
    columns = [Column(*each) for each in zip(headings, cells[:4], strict=True)]
    show_table(
        "score",
        names,
        [*columns, Column("", cells[4], justify="left")],
        styles={
            k: "bold" if score.holds else "dim" if score.size else ""
            for k, score in enumerate(found.scores)
        },
    )
    tell(calibrated_in_words(found))
    tell(READING.format(images=found.images), style="dim")
