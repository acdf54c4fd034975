"""Progress, on the error stream, so that the other can be piped."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from untrained.cli.terminal import WORKING
from untrained.outside import visible
from untrained.runs import Progress


class Rate(ProgressColumn):
    """How many a second, over the last while."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(
            "" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s",
            style="progress.data.speed",
        )


def columns_of_a_bar() -> tuple[ProgressColumn, ...]:
    """What stands in a line of progress; a column serves one display only.

    A narrow terminal breaks the words, and cuts neither counts nor times.
    """
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=_whole()),
        Rate(_whole()),
        TimeElapsedColumn(_whole()),
        TimeRemainingColumn(table_column=_whole()),
    )


def _whole() -> Column:
    return Column(no_wrap=True)


@contextmanager
def watching() -> Iterator[Callable[[Progress], None]]:
    """A bar for each phase, with count, rate, time and time left."""
    with Bars(*columns_of_a_bar(), console=WORKING) as bars:
        shown: dict[str, Any] = {}

        def watch(progress: Progress) -> None:
            if progress.phase not in shown:
                shown[progress.phase] = bars.add_task(visible(progress.phase))
            bars.update(shown[progress.phase], completed=progress.done, total=progress.total)

        yield watch


@contextmanager
def reading() -> Iterator[Callable[[Iterable[Any]], Iterable[Any]]]:
    """What passes on whatever it is given, on a terminal with a bar of count and time left."""
    if not WORKING.is_terminal:
        yield iter
        return
    with Bars(*columns_of_a_bar(), console=WORKING, transient=True) as bars:
        yield partial(bars.track, description="reading")
