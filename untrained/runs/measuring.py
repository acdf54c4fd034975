"""Measuring a batch of proposals: what is known is looked up, the rest is done and kept."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import untrained
from untrained.images import Images
from untrained.runs.config import RunConfig, digest
from untrained.runs.engines import Engine
from untrained.runs.instrument import Instrument
from untrained.runs.store import Store
from untrained.runs.tasks import Measure
from untrained.scores import Reading
from untrained.search import Proposal, Trial
from untrained.spaces import Space

SEEDS_APART = 1_000_000_000  # draws of one run's seed; those of another never meet them


@cache
def code_version(*modules: str) -> str:
    """A digest of the source of everything that a measurement depends on."""
    package = Path(untrained.__file__).parent
    files = [p for room in ("spaces", "images", "kernels", "scores")
             for p in sorted((package / room).glob("*.py"))]  # fmt: skip
    files += [Path(inspect.getsourcefile(import_module(module)) or "") for module in modules]
    return digest([path.read_text(encoding="utf-8") for path in files])


@dataclass(frozen=True)
class Measuring:
    """Everything that a batch of proposals is measured with."""

    run: str
    config: RunConfig
    space: Space[Any]
    instruments: tuple[Instrument, ...]
    images: Images
    store: Store
    engine: Engine

    def question(self, canonical: str, instrument: Instrument, draw: int) -> dict[str, Any]:
        """What a measurement answers; its digest is the measurement's key."""
        return {
            "space": self.config.space,
            "architecture": canonical,
            "instrument": instrument.plain(),
            "images": self.images.fingerprint,
            "draw": draw,
            "device": self.config.device,
            "version": code_version(*(type(p).__module__ for p in (self.space, instrument.score))),
        }

    def keys(self, proposal: Proposal) -> dict[str, list[str]]:
        """Score name -> the key of each draw's measurement."""
        canonical = str(self.space.canonical(proposal.architecture))
        return {
            instrument.name: [
                digest(self.question(canonical, instrument, self.seeded(draw)))
                for draw in proposal.draws
            ]
            for instrument in self.instruments
        }

    def seeded(self, draw: int) -> int:
        """The draw's number under the run's seed."""
        return self.config.seed * SEEDS_APART + draw

    def measure(self, proposals: Sequence[Proposal], watch: Callable[[int, int], None]) -> None:
        """Sees to it that the store holds every measurement of the proposals.

        Args:
            proposals: what to measure; equal ones are measured once.
            watch: called with how many (architecture, score) pairs are done, and of how many.
        """
        tasks = self.tasks(proposals)
        pairs = len({str(self.space.canonical(p.architecture)) for p in proposals})
        total = max(pairs * len(self.instruments), len(tasks))
        done = total - len(tasks)
        watch(done, total)
        for index, outcome in self.engine(tasks):
            task = tasks[index]
            assert isinstance(outcome, list)
            self.store.add_measurements(
                [
                    {
                        "key": digest(question),
                        "run": self.run,
                        "question": question,
                        "score": task.instrument.name,
                        "value": measured.reading.value,
                        "reason": measured.reading.reason,
                        "seconds": measured.seconds,
                    }
                    for draw, measured in zip(task.draws, outcome, strict=True)
                    for question in [self.question(task.architecture, task.instrument, draw)]
                ]
            )
            done += 1
            watch(done, total)

    def tasks(self, proposals: Sequence[Proposal]) -> list[Measure]:
        """What has to be measured: each pair of architecture and score on the draws unknown."""
        wanted: dict[tuple[str, Instrument], dict[int, str]] = {}
        for proposal in proposals:
            canonical = str(self.space.canonical(proposal.architecture))
            for instrument in self.instruments:
                keys = self.keys(proposal)[instrument.name]
                column = wanted.setdefault((canonical, instrument), {})
                column.update(zip(map(self.seeded, proposal.draws), keys, strict=True))
        known = self.store.known([key for column in wanted.values() for key in column.values()])
        return [
            Measure(self.config.space, canonical, instrument, missing, self.config.device)
            for (canonical, instrument), column in wanted.items()
            if (missing := tuple(draw for draw, key in column.items() if key not in known))
        ]


def history_of(space: Space[Any], rows: Sequence[dict[str, Any]]) -> list[Trial]:
    """The store's rows of trials as a searcher sees them."""
    return [
        Trial(
            space.parse(row["architecture"]),
            tuple(row["draws"]),
            row["note"],
            {score: tuple(map(_value, column)) for score, column in row["measurements"].items()},
        )
        for row in rows
    ]


def _value(reading: Reading) -> float | None:
    return reading.value
