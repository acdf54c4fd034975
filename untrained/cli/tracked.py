"""What a tracking shows: the last snapshot while it runs, then a few of all."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import Progress as Bars
from rich.table import Table

from untrained.cli.columns import Column, show_table
from untrained.cli.progress import Lines, columns_of_a_bar
from untrained.cli.terminal import WORKING, say, shows_bars
from untrained.estimate import Quantity
from untrained.pages.tracked import spread
from untrained.pages.units import significant
from untrained.runs import Progress
from untrained.storage import RunFolder
from untrained.tracking.by_class import ClassAlignment
from untrained.tracking.by_layer import LayerShare
from untrained.tracking.snapshots import Snapshot
from untrained.tracking.track import Track

SHOWN = {
    "alignment": "LGA",
    "correlation_initial": "correlation with initialisation",
    "change_initial": "change from initialisation",
    "effective_rank": "effective rank",
    "validation_accuracy": "validation accuracy",
    "network_accuracy": "network, held-out accuracy",
    "regression_accuracy": "NTK regression, held-out accuracy",
    "advantage_initial": "non-linear advantage",
}
"""What of a snapshot is printed, and what it is called; all of it is in the report."""


@contextmanager
def watching_snapshots(epochs: int) -> Iterator[Callable[[Snapshot], None]]:
    """A bar of epochs with time left, and under it the last snapshot."""
    if not shows_bars():
        lines = Lines()
        yield lambda each: lines.tell(Progress("tracking, epoch", each.epoch, epochs))
        return
    bars = Bars(*columns_of_a_bar())
    bar = bars.add_task("initialisation", total=epochs)
    with Live(bars, console=WORKING, transient=True) as live:

        def watch(snapshot: Snapshot) -> None:
            bars.update(bar, completed=snapshot.epoch, description=f"epoch {snapshot.epoch}")
            live.update(Group(bars, table_of((snapshot,))))

        yield watch


def table_of(snapshots: Sequence[Snapshot]) -> Table:
    """One row a quantity, one column a snapshot."""
    table = Table("", *(f"epoch {snapshot.epoch}" for snapshot in snapshots))
    for name, label in SHOWN.items():
        table.add_row(label, *(number(getattr(snapshot, name).value) for snapshot in snapshots))
    return table


def number(value: float | None) -> str:
    """Three digits, or a dash where there is no value."""
    return "-" if value is None else significant(value)


def show_track(track: Track, folder: RunFolder, as_json: bool) -> None:
    """What a tracking gave, and where its report is."""
    if as_json:
        print(json.dumps(track_as_plain(track, folder)))
        return
    shown = [track.snapshots[k] for k in spread(len(track.snapshots))]
    quantities = [[number(getattr(each, name).value) for name in SHOWN] for each in shown]
    heads = [f"epoch {each.epoch}" for each in shown]
    show_table("", [*SHOWN.values()], [*map(Column, heads, quantities)])
    if track.reason:
        say(track.reason, label="The training ended early:", label_style="yellow")
    say(folder.report, label="Report: ", style="bold")


def track_as_plain(track: Track, folder: RunFolder) -> dict[str, Any]:
    """A tracking for machines: a quantity without a value is null, with its reason beside it."""
    return {
        "snapshots": [
            {
                "epoch": snapshot.epoch,
                "seconds": snapshot.seconds,
                **_quantities(snapshot),
                "by_class": [
                    {
                        "class": track.classes[each.label],
                        "images": each.images,
                        **_quantities(each),
                    }
                    for each in snapshot.by_class
                ],
                "by_layer": [
                    {"layer": each.layer, **_quantities(each)} for each in snapshot.by_layer
                ],
            }
            for snapshot in track.snapshots
        ],
        "reason": track.reason,
        "folder": str(folder.path),
        "report": str(folder.report),
    }


def _quantities(holder: Snapshot | ClassAlignment | LayerShare) -> dict[str, Any]:
    """Its values, and the reasons of those that are null."""
    found = {name: each for name, each in vars(holder).items() if isinstance(each, Quantity)}
    return {
        **{name: each.value for name, each in found.items()},
        "reason": {name: each.reason for name, each in found.items() if each.value is None},
    }
