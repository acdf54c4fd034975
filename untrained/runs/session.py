"""A run that is open, and how its progress is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from untrained.images import Images
from untrained.runs.budget import Budget
from untrained.runs.engines import Engine
from untrained.runs.measuring import Measuring
from untrained.runs.resolved import ResolvedConfig
from untrained.searchers import Proposal, Searcher
from untrained.spaces import Space
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store


class Progress(NamedTuple):
    """How far a phase has come."""

    phase: str
    "For people: `search, batch 2`, `training 6 networks`."
    done: int
    total: int


OnProgress = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Watches nothing."""


@dataclass(frozen=True)
class Session:
    """A run that is open: what is asked, what answers it, and where answers are kept."""

    config: ResolvedConfig
    images: Images
    space: Space[Any]
    eligible: Space[Any]
    "What may be proposed or compared: the space, or what is within limits of it."
    searcher: Searcher
    measuring: Measuring
    folder: RunFolder
    store: Store
    engine: Engine
    on_progress: OnProgress
    run: str
    "The run's key in the store."
    asked: ResolvedConfig
    "Before images decided on its recipes, and time on their epochs."
    budget: Budget | None = None
    "The clock; None where time is not limited."

    @property
    def id(self) -> str:
        """The search's key in the store: runs that differ in their training alone share it."""
        return self.measuring.run


def trial_rows(
    session: Session, proposals: Sequence[Proposal], batch: int, first: int
) -> list[dict[str, object]]:
    """A batch of trials as the store keeps them."""
    return [
        {**session.measuring.row(proposal), "batch": batch, "number": number}
        for number, proposal in enumerate(proposals, first)
    ]
