"""What a tracking shows: the last look while it goes on, then a few of all."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import Progress as Bars
from rich.table import Table

from untrained.cli.terminal import PRINTED, WORKING, say
from untrained.cli.watching import columns_of_a_bar
from untrained.report.tracked import spread
from untrained.runs import RunFolder
from untrained.runs.moments import MEASURED, Moment
from untrained.runs.tracking import Track

SHOWN = {
    "alignment": "LGA",
    "correlation_initial": "correlation with the start",
    "change_initial": "change from the start",
    "effective_rank": "effective rank",
    "validation_accuracy": "validation accuracy",
    "network_accuracy": "network, held-out",
    "regression_accuracy": "NTK regression, held-out",
    "advantage_initial": "non-linear advantage",
}
"""What of a moment is printed, and what it is called; all of it is in the report."""


@contextmanager
def watching_moments(epochs: int) -> Iterator[Callable[[Moment], None]]:
    """A bar of epochs with time left, and under it what the last look gave."""
    bars = Bars(*columns_of_a_bar())
    bar = bars.add_task("initialisation", total=epochs)
    with Live(bars, console=WORKING, transient=True) as live:

        def watch(moment: Moment) -> None:
            bars.update(bar, completed=moment.epoch, description=f"epoch {moment.epoch}")
            live.update(Group(bars, table_of((moment,))))

        yield watch


def table_of(moments: Sequence[Moment]) -> Table:
    """One row a quantity, one column a moment."""
    table = Table("", *(f"epoch {moment.epoch}" for moment in moments))
    for name, label in SHOWN.items():
        table.add_row(label, *(number(getattr(moment, name).value) for moment in moments))
    return table


def number(value: float | None) -> str:
    """Three digits, or a dash where there is no value."""
    return "-" if value is None else f"{value:.3g}"


def show_track(track: Track, folder: RunFolder, as_json: bool) -> None:
    """What a tracking gave, and where its report is."""
    if as_json:
        print(json.dumps(track_as_plain(track, folder)))
        return
    PRINTED.print(table_of([track.moments[k] for k in spread(len(track.moments))]))
    if track.failure:
        say(track.failure, label="The training ended early:", label_style="yellow")
    say(folder.report, label="Report: ", style="bold")


def track_as_plain(track: Track, folder: RunFolder) -> dict[str, Any]:
    """A tracking for machines: a quantity without a value is null, with its reason beside it."""
    return {
        "moments": [
            {
                "epoch": moment.epoch,
                "seconds": moment.seconds,
                **{name: getattr(moment, name).value for name in MEASURED},
                "unresolved": {
                    name: getattr(moment, name).unresolved
                    for name in MEASURED
                    if getattr(moment, name).value is None
                },
            }
            for moment in track.moments
        ],
        "failure": track.failure,
        "folder": str(folder.path),
        "report": str(folder.report),
    }
