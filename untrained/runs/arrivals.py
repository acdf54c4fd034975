"""Proposals that are measured while others are added: each arrives when all of it is stored."""

import time
from collections import deque
from collections.abc import Iterator

from untrained.runs.claimed import Claiming, Planned, nothing
from untrained.runs.measuring import Measuring
from untrained.runs.tasks import Outcome, ScoreTask, Task
from untrained.searchers import Proposal

PAUSE = 0.5
"Seconds from one look at what other drivers are measuring to the next."


class Arrivals:
    """The numbers of proposals, in the order in which the store comes to hold all of each.

    What several of them need is measured once; what another driver is at is left to it.
    """

    def __init__(self, measuring: Measuring):
        self.measuring = measuring
        self.tasks = Growing(measuring)
        self.awaited: dict[str, list[int]] = {}
        "Key of a measurement that is being made -> the proposals that need it."
        self.missing: dict[int, int] = {}
        "Proposal -> how many of its measurements are being made."
        self.complete = deque[int]()
        self.left: list[Planned[ScoreTask]] = []
        "Tasks that other drivers are at."
        self.looked = time.monotonic()

    def add(self, number: int, proposal: Proposal) -> None:
        """Has a proposal measured too."""
        wanted = self.measuring.wanted([proposal])
        asked = {key for column in wanted.values() for key in column.keys.values()}
        planned = self.measuring.planned(wanted, but=self.awaited)
        needed = [key for key in asked if key in self.awaited]
        for each in planned:
            self.tasks.add(each)
            needed += each.keys
        for key in needed:
            self.awaited.setdefault(key, []).append(number)
        if needed:
            self.missing[number] = len(needed)
        else:
            self.complete.append(number)

    def __iter__(self) -> Iterator[int]:
        """Each of them; between two, others may be added."""
        yield from self._completed()
        while self.awaited:
            for position, outcome in self.measuring.engine(self.tasks):
                self._ended(position, outcome)
                self._look_again()
                yield from self._completed()
            self.tasks = Growing(self.measuring)
            if self.left:
                time.sleep(PAUSE)
                self._look_again()
                yield from self._completed()

    def _completed(self) -> Iterator[int]:
        while self.complete:
            yield self.complete.popleft()

    def _ended(self, position: int, outcome: Outcome) -> None:
        """Stores what a task came to, unless it was left to another driver."""
        planned, mine = self.tasks.ended(position)
        if not mine:
            self.left.append(planned)
            return
        assert isinstance(outcome, list)
        self.measuring.keep([(planned.task, outcome)])
        self._made(planned)

    def _made(self, planned: Planned[ScoreTask]) -> None:
        for key in planned.keys:
            for number in self.awaited.pop(key):
                self.missing[number] -= 1
                if not self.missing[number]:
                    del self.missing[number]
                    self.complete.append(number)

    def _look_again(self) -> None:
        """Now and then, whether what other drivers were at is there, or is left by them."""
        if not self.left or time.monotonic() < self.looked + PAUSE:
            return
        left, self.left = self.left, []
        known = self.measuring.store.known([key for planned in left for key in planned.keys])
        done = {key for key, reading in known.items() if not self.measuring.asks_again(reading)}
        for planned in left:
            if done.issuperset(planned.keys):
                self._made(planned)
            else:
                self.tasks.add(planned)
        self.looked = time.monotonic()


class Growing(Claiming):
    """Planned tasks, to which others are added; each is claimed when an engine takes it.

    One that another driver has claimed is replaced by a task that takes no time.
    """

    def __init__(self, measuring: Measuring):
        self.measuring = measuring
        self.planned: dict[int, Planned[ScoreTask]] = {}
        "By position; what has ended is dropped."
        self.given: dict[int, bool] = {}
        "Of those that were taken and have not ended, whether this driver has claimed them."
        self.length = 0

    def add(self, planned: Planned[ScoreTask]) -> None:
        """Puts a task at the end."""
        self.planned[self.length] = planned
        self.length += 1

    def __len__(self) -> int:
        return self.length

    def taken(self, position: int) -> Task:
        if position not in self.given:
            [self.given[position]] = self.measuring.claim([self.planned[position].keys])
        return self.planned[position].task if self.given[position] else nothing()

    def ended(self, position: int) -> tuple[Planned[ScoreTask], bool]:
        """The task that is done, and whether it was this driver's to do."""
        return self.planned.pop(position), self.given.pop(position)
