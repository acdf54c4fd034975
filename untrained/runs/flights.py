"""Tasks under way on a cluster, of which the last may be under way twice."""

import time
from collections import Counter
from typing import Any, NamedTuple

LATE = 60.0
"Seconds that a task is under way at least before it is sent a second time."
LATER = 3
"As a multiple of the longest that any other took."


class Flight(NamedTuple):
    """A task under way."""

    task: int
    "Which of its batch."
    since: float
    "When it was sent."


class Flights:
    """Tasks under way, by the reference of what each will come to."""

    def __init__(self) -> None:
        self.under_way: dict[Any, Flight] = {}
        self.times: Counter[int] = Counter()
        "How often each task is under way."
        self.longest: float | None = None
        "Seconds that any of them took; None before the first has landed."

    def __len__(self) -> int:
        return len(self.under_way)

    def begin(self, reference: Any, task: int) -> None:
        """A task has been sent."""
        self.under_way[reference] = Flight(task, time.monotonic())
        self.times[task] += 1

    def land(self, reference: Any) -> int:
        """Which task it was that has come back."""
        flight = self.forget(reference)
        self.longest = max(self.longest or 0.0, time.monotonic() - flight.since)
        return flight.task

    def forget(self, reference: Any) -> Flight:
        """What will come of this is not wanted."""
        flight = self.under_way.pop(reference)
        self.times[flight.task] -= 1
        return flight

    def others(self, task: int) -> list[Any]:
        """The references of this task that are under way."""
        if not self.times[task]:
            return []
        return [reference for reference, flight in self.under_way.items() if flight.task == task]

    def late(self) -> list[int]:
        """Tasks that are under way once, and far longer than any other was, the longest first."""
        if self.longest is None:
            return []
        before = time.monotonic() - max(LATE, LATER * self.longest)
        flights = sorted(self.under_way.values(), key=lambda flight: flight.since)
        return [f.task for f in flights if f.since < before and self.times[f.task] == 1]
