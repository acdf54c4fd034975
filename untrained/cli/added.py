"""Image sets and tables that are brought into the data folder, with bars of what is fetched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from untrained.cli.progress import reading
from untrained.cli.terminal import WORKING, say, show_file, shows_bars
from untrained.images import add_images
from untrained.importers import FORMATS, add_table


def add(name: str, path: Path | None, replace: bool, as_json: bool) -> None:
    """Brings what has this name, a table's format or images, and says how it is used."""
    if name in FORMATS:
        with reading() as watched:
            table = add_table(name, path, replace=replace, bars=shown, watched=watched)
        show_file("table", table, as_json)
        return
    show_file("images", add_images(name, path, replace=replace, bars=shown), as_json)
    if not as_json:
        say(f"untrained search --images {name}", label="Use:   ", style="dim")


class Bar:
    """One file's, as `untrained.downloads` asks for it."""

    def __init__(self, bars: Progress, task: TaskID):
        self.bars, self.task = bars, task

    @property
    def total(self) -> int:
        """Bytes of the whole file."""
        return int(self.bars.tasks[self.task].total or 0)

    @total.setter
    def total(self, count: int) -> None:
        self.bars.update(self.task, total=count or None)  # some servers do not say

    def update(self, count: int) -> None:
        """So many bytes more."""
        self.bars.advance(self.task, count)

    def reset(self) -> None:
        """From the beginning."""
        self.bars.reset(self.task, total=self.total or None)

    def close(self) -> None:
        """All is here."""


@contextmanager
def shown(name: str) -> Iterator[Bar | None]:
    """A bar on a terminal; elsewhere a line."""
    if not shows_bars():
        say(f"fetching {name}", to=WORKING)
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False),
               BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=WORKING) as bars:
        yield Bar(bars, bars.add_task(name, total=None))
