"""Tasks that are claimed as an engine comes to them, so that several drivers share a batch."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask, Task
from untrained.spaces import get_space

SOON = 1.0
"Seconds of work that are claimed at a time, about: what is claimed, others do not do."
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"Seconds from one look at what another driver is at to the next, twice as long each time."
MOST_KEYS = 500
"Keys that are claimed at a time, unless one task has more."

T = TypeVar("T", bound=Task)


@dataclass(frozen=True)
class Planned(Generic[T]):
    """What is to be done."""

    task: T
    keys: tuple[str, ...]
    "Of its measurements, or of its training."


Claim = Callable[[Sequence[Sequence[str]]], list[bool]]
"As `Store.claim_trainings`."


@dataclass
class Pace:
    """How many tasks are claimed at a time, from one batch to the next."""

    count: int = 1
    asked: float = field(default_factory=time.monotonic)

    def next(self) -> int:
        """More, if those before were soon used up; fewer, if it took long."""
        now = time.monotonic()
        if now - self.asked < SOON / 2:
            self.count *= 2
        elif now - self.asked > 2 * SOON:
            self.count = max(self.count // 2, 1)
        self.asked = now
        return self.count


# To check types at run time, an item of a Sequence[Task] is looked at: any would be claimed.
if TYPE_CHECKING:
    _Tasks = Sequence[Task]
else:
    _Tasks = Sequence


class Claiming(_Tasks, ABC):
    """Tasks of which each is claimed when an engine takes it, or shortly before."""

    @overload
    def __getitem__(self, index: int) -> Task: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...

    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return self.taken(range(len(self))[index])

    @abstractmethod
    def taken(self, position: int) -> Task:
        """The task there or, where another driver has claimed it, one that takes no time."""


class Claimed(Claiming, Generic[T]):
    """Planned tasks, each claimed shortly before an engine takes it.

    One that is left to another driver is replaced by a task that takes no time.
    """

    def __init__(self, planned: Sequence[Planned[T]], claim: Claim, pace: Pace):
        self.planned = planned
        self.claim = claim
        self.pace = pace
        self.given: list[bool] = []
        "Of the first tasks, whether this driver has claimed them."
        self.ends: set[int] = set()
        "Positions of those that are done."

    def __len__(self) -> int:
        return len(self.planned)

    def taken(self, position: int) -> Task:
        while position >= len(self.given):
            self.given += self.claim([planned.keys for planned in self._portion()])
        return self.planned[position].task if self.given[position] else nothing()

    def ended(self, position: int) -> T | None:
        """The task that is done; None where it was left to another driver."""
        self.ends.add(position)
        return self.planned[position].task if self.given[position] else None

    @property
    def left(self) -> list[T]:
        """The tasks that are left to other drivers."""
        return [p.task for p, mine in zip(self.planned, self.given, strict=True) if not mine]

    def under_way(self) -> list[str]:
        """Keys of what is claimed and not done."""
        mine = {i for i, given in enumerate(self.given) if given} - self.ends
        return [key for i in sorted(mine) for key in self.planned[i].keys]

    def _portion(self) -> Sequence[Planned[T]]:
        """Those to be claimed next, one at least."""
        first, count, keys = len(self.given), self.pace.next(), 0
        for end in range(first, min(first + count, len(self.planned))):
            keys += len(self.planned[end].keys)
            if keys > MOST_KEYS and end > first:
                return self.planned[first:end]
        return self.planned[first : first + count]


@cache
def nothing() -> Task:
    """A task that stands for none: the parameters of a cell without operations."""
    space = get_space("nasbench201")
    setup = make_setup("parameters", space, {"scale": "thin"})
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    return ScoreTask(space.name, cell, (setup,), (0,), "cpu")
