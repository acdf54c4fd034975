"""Progress, on the error stream, so that the other can be piped: bars, or lines of a log."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
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

from untrained.cli.terminal import PROGRESS, WORKING, say, shows_bars
from untrained.outside import visible
from untrained.pages.units import duration
from untrained.runs import Progress
from untrained.runs.outlook import Outlook
from untrained.runs.session import OnProgress

logger = logging.getLogger(PROGRESS)


class Rate(ProgressColumn):
    """How many a second, over the last while."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(
            "" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s",
            style="progress.data.speed",
        )


class Done(ProgressColumn):
    """`12/300`; a share where the total is an estimate."""

    def render(self, task: Task) -> Text:
        if task.fields.get("estimated") and task.total:
            return Text(f"{task.completed / task.total:.0%}", style="progress.download")
        return Text(f"{task.completed:g}/{task.total or 0:g}", style="progress.download")


def columns_of_a_bar() -> tuple[ProgressColumn, ...]:
    """What stands in a line of progress; a column serves one display only.

    A narrow terminal breaks the words, and cuts neither counts nor times.
    """
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=20),
        Done(table_column=_whole()),
        Rate(_whole()),
        TimeElapsedColumn(_whole()),
        TimeRemainingColumn(table_column=_whole()),
    )


def _whole() -> Column:
    return Column(no_wrap=True)


@contextmanager
def watching() -> Iterator[OnProgress]:
    """What shows progress: on a terminal in bars, elsewhere, and in a log file, in lines."""
    lines = Lines()
    if not shows_bars():
        yield lines.tell
        return
    with shown_in_bars() as bars:

        def watch(progress: Progress) -> None:
            bars.tell(progress)
            lines.tell(progress)

        yield watch


@contextmanager
def shown_in_bars() -> Iterator["Steps"]:
    """Bars on the terminal, as long as they are told of progress."""
    steps = Steps()
    with Live(steps, console=WORKING):
        yield steps
        steps.left = ""


SOON = 10.0
"Seconds; what takes less is not foretold in a line of its own."


class Steps:
    """A bar for each step, or phase that stands alone; and the time left of the whole."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.bars = Bars(*columns_of_a_bar(), console=WORKING)
        self.shown: dict[str, Any] = {}
        self.before: dict[str, int] = {}
        "Step -> what its earlier phases came to."
        self.last: Progress | None = None
        self.outlook, self.left = Outlook(), ""
        self.foretold = False

    def __rich__(self) -> Group:
        """The bars, and a line for the whole."""
        return Group(self.bars, *([Text(f"  {self.left}", style="dim")] if self.left else []))

    def tell(self, progress: Progress) -> None:
        """Shows how far a phase has come."""
        name, last = progress.step or progress.phase, self.last
        if last is not None and last.step == progress.step and last.phase != progress.phase:
            self.before[name] = self.before.get(name, 0) + last.total
        if name not in self.shown:
            self.shown[name] = self.bars.add_task("")
        before = self.before.get(name, 0)
        self.bars.update(
            self.shown[name],
            description=visible(progress.phase),
            completed=before + progress.done,
            total=before + progress.total + progress.later,
            estimated=progress.step == "search",
        )
        self.last = progress
        seconds = self.outlook.seconds_left(progress)
        self.left = in_words(progress, seconds)
        if seconds is not None and not self.foretold:
            self.foretold = True
            if seconds < SOON:
                return
            say(foretold(progress, seconds), style="dim", to=WORKING)


def in_words(progress: Progress, seconds: float | None) -> str:
    """`about 6 min left in all`; empty where nothing was measured.

    Example:
        >>> from untrained.runs.session import After
        >>> in_words(Progress("search", 1, 2, "search", after=After(0.0, ("export",))), 400.0)
        'about 7 min left in all, without export'
    """
    if seconds is None or progress.after is None:
        return ""
    unknown = " and ".join(progress.after.unknown)
    return f"about {roughly(seconds)} left in all{f', without {unknown}' if unknown else ''}"


def foretold(progress: Progress, seconds: float) -> str:
    """The first estimate of the whole: `about 6 min on 2 workers`."""
    assert progress.after is not None
    lanes = progress.after.lanes
    at_a_time = "one network at a time" if lanes == 1 else f"{lanes} networks at a time"
    unknown = " and ".join(progress.after.unknown)
    without = f"; {unknown} not measured yet" if unknown else ""
    return f"about {roughly(seconds)} from here, {at_a_time}{without}"


def roughly(seconds: float) -> str:
    """A duration as well as an estimate is known.

    Example:
        >>> [roughly(seconds) for seconds in (0.4, 34.4, 130.0, 4000.0)]
        ['1 s', '34 s', '2 min', '1 h 07 min']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 3570 else duration(seconds)


FIRST, LONGEST = 5.0, 60.0
"Seconds from one line of a log to the next: at first, and after many."


class Lines:
    """Lines of a log: when a step begins, and then ever less often, up to once a minute."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        """Has told nothing yet."""
        self.clock, self.begun = clock, clock()
        self.outlook = Outlook(clock)
        self.step, self.next, self.pause = "", 0.0, FIRST

    def tell(self, progress: Progress) -> None:
        """Says how far a phase has come, if it is time to."""
        now, left = self.clock(), self.outlook.seconds_left(progress)
        step = progress.step or progress.phase
        if step == self.step and now < self.next:
            return
        self.step, self.next = step, now + self.pause
        self.pause = min(2 * self.pause, LONGEST)
        words = in_words(progress, left)
        logger.info(
            "%s: %d of %d after %s%s",
            *(progress.phase, progress.done, progress.total, duration(now - self.begun)),
            f", {words}" if words else "",
        )


@contextmanager
def reading() -> Iterator[Callable[[Iterable[Any]], Iterable[Any]]]:
    """What passes on whatever it is given, on a terminal with a bar of count and time left."""
    if not shows_bars():
        yield iter
        return
    with Bars(*columns_of_a_bar(), console=WORKING, transient=True) as bars:
        yield partial(bars.track, description="reading")
