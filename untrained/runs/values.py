"""A score of architectures that a searcher may yet propose, measured or looked up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from untrained.runs.measuring import Measuring
from untrained.runs.setup import ScoreSetup
from untrained.scores import Reading
from untrained.searchers import Proposal
from untrained.spaces import Architecture


@dataclass(frozen=True)
class Values:
    """A score of architectures, which the store keeps as any other."""

    measuring: Measuring
    "Whose setups, `setup` among them, are measured together."
    setup: ScoreSetup
    draws: int
    note: str

    def readings(
        self,
        architectures: Sequence[Architecture],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[list[Reading]]:
        """On each draw, of each architecture."""
        proposals = [Proposal(a, tuple(range(self.draws)), self.note) for a in architectures]
        self.measuring.measure(proposals, on_progress)
        columns = [self.measuring.keys(proposal)[self.setup.name] for proposal in proposals]
        known = self.measuring.store.known([key for column in columns for key in column])
        return [[known[key] for key in column] for column in columns]

    def means(
        self,
        architectures: Sequence[Architecture],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[float | None]:
        """Over draws; None where one of them failed."""
        values = [
            [reading.value for reading in column]
            for column in self.readings(architectures, on_progress)
        ]
        return [
            None if None in column else fmean(v for v in column if v is not None)
            for column in values
        ]
