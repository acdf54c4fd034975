"""Measuring a population range by range: by any number of drivers, killed and resumed anywhere.

What is stored is the whole state: the trials of a range are stored once all of it is measured,
each measurement as soon as it is made. A driver claims ranges, so that others go to other ones;
when none is left that nobody is at, it helps where others are.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, takewhile
from typing import Any

from untrained.runs.session import Progress, Session, trial_rows
from untrained.runs.sweep_config import Shard
from untrained.searchers.given import Given
from untrained.storage.ranges import RANGE, WALL, Ranges

MOST = 256
"Ranges that a driver is at, which decides its memory: 16,384 architectures."
SHORT = 10.0
"Seconds that a driver is to be at the same ranges at least, for whoever looks at its progress."
WAVES = 32
"Times the longest task that it is to be at them: at their end, workers wait for the last task."
OFTEN = 2.0
"Seconds after which a driver looks which ranges are measured by now."

WHOLE = Shard()


def sweep(session: Session, shard: Shard = WHOLE) -> None:
    """Sees to it that the store holds every measurement of what is given, or of a shard of it.

    Where all of it was there before, what the store has lost of it is measured again, and what
    ran out of memory or time where there is more now.
    """
    assert isinstance(session.searcher, Given)
    ranges = Ranges(session.store, session.id)
    todo = Todo(ranges, shard, session.searcher.asked.count)
    size, done = 1, todo.kept
    while numbers := todo.next(size):
        progress = Progress(todo.phase, done, todo.count)
        window = Window(session, ranges, numbers, progress, stored=todo.again)
        begun = time.monotonic()
        longest = window.measure()
        size = next_size(size, time.monotonic() - begun, longest)
        done += window.count


def next_size(size: int, took: float, longest: float) -> int:
    """How many ranges a driver is at next, after it was at so many.

    Args:
        size: ranges.
        took: seconds that it was at them.
        longest: of their tasks, in seconds.

    Example:
        >>> next_size(4, 1.0, 0.1), next_size(4, 100.0, 10.0), next_size(4, 100.0, 0.1)
        (8, 8, 2)
    """
    wanted = max(SHORT, WAVES * longest)
    if took < wanted:
        return min(2 * size, MOST)
    return max(size // 2, 1) if took > 4 * wanted else size


class Todo:
    """The ranges of a shard that are not yet stored, in the order in which they are measured."""

    def __init__(self, ranges: Ranges, shard: Shard, count: int):
        self.ranges, numbers = ranges, shard.numbers(-(-count // RANGE))
        there = ranges.kept().intersection(numbers)
        self.again = len(there) == len(numbers)
        "Whether all of it is there, and is gone through once more."
        if self.again:
            there = set()
        self.count, self.kept = (
            sum(min(RANGE, count - n * RANGE) for n in of_it) for of_it in (numbers, there)
        )
        self.phase = f"sweep, {self.count:,} architecture{'s' if self.count != 1 else ''}"
        self.ahead = (n for n in numbers if n not in there)
        self.others: list[int] = []
        "Ranges that other drivers were at."

    def next(self, most: int) -> list[int]:
        """At most so many ranges that nobody is at; else of those that others are at."""
        if self.again:
            return [*islice(self.ahead, most)]
        while some := [*islice(self.ahead, most)]:
            claimed = {n for n, given in zip(some, self.ranges.claim(some), strict=True) if given}
            kept = self.ranges.kept(some)  # by drivers that have let go of it meanwhile
            self.ranges.release(sorted(claimed & kept))
            self.others += [n for n in some if n not in claimed | kept]
            if mine := [n for n in some if n in claimed - kept]:
                return mine
        while some := self.others[:most]:
            self.others = self.others[most:]
            kept = self.ranges.kept(some)
            if left := [n for n in some if n not in kept]:
                return left
        return []


class Window:
    """Ranges that a driver is at."""

    def __init__(
        self,
        session: Session,
        ranges: Ranges,
        numbers: Sequence[int],
        progress: Progress,
        *,
        stored: bool,
    ):
        """Reads the architectures.

        Args:
            session: of the driver.
            ranges: all that there are.
            numbers: of these.
            progress: before them.
            stored: whether their trials are stored, and only measurements may be lost.
        """
        searcher = session.searcher
        assert isinstance(searcher, Given)
        self.session, self.ranges, self.progress = session, ranges, progress
        self.left = deque((n, searcher.part(n * RANGE, (n + 1) * RANGE)) for n in numbers)
        self.count = sum(len(part) for _, part in self.left)
        self.stored = stored
        self.looked = self.noted = time.monotonic()

    def measure(self) -> float:
        """Measures and stores them; seconds of the longest task."""
        proposals = [proposal for _, part in self.left for proposal in part]
        longest = self.session.measuring.measure(proposals, self.tell)
        if not self.stored:
            self.keep([*self.rows()])
        return longest

    def tell(self, done: int, of: int) -> None:
        """Says how far all is, and stores the ranges that are measured by now."""
        if time.monotonic() > self.looked + OFTEN and not self.stored:
            self.keep([*takewhile(self.is_measured, self.rows())])
            self.looked = time.monotonic()
        known = self.progress.done + self.count * done // of
        self.session.on_progress(self.progress._replace(done=known))

    def rows(self) -> Iterator[list[dict[str, Any]]]:
        """The trials of each range that is left, as the store keeps them."""
        for number, part in self.left:
            yield trial_rows(self.session, part, number, number * RANGE)

    def is_measured(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the store holds all measurements of these trials."""
        columns = chain(*(row["measurements"].values() for row in rows))
        keys = {*chain(*columns)}
        known = self.session.store.known([*keys])
        return keys == {
            key for key, reading in known.items() if not self.session.measuring.asks_again(reading)
        }

    def keep(self, whole: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Stores the first of the ranges that are left, and lets go of them."""
        if not whole:
            return
        now = time.monotonic()
        for rows in whole:
            self.session.store.add_trials(rows)
            self.session.store.add_cost(
                self.session.id, WALL, (now - self.noted) / len(whole), wall=True
            )
        self.noted = now
        self.ranges.release([self.left.popleft()[0] for _ in whole])
