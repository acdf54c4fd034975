"""Measuring a batch of proposals: what is known is looked up, the rest is done and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from untrained.images import Images
from untrained.runs.code import version_of
from untrained.runs.config import RunConfig, digest
from untrained.runs.engines import Engine
from untrained.runs.failures import memory_of
from untrained.runs.folder import RunFolder
from untrained.runs.instrument import Instrument, Look
from untrained.runs.store import Store
from untrained.runs.tasks import Measure
from untrained.scores import Reading
from untrained.search import Proposal, Trial
from untrained.spaces import Space
from untrained.training import steady

SEEDS_APART = 720_720_000
"""Draws of one run's seed; those of another never meet them. A multiple of whatever numbers of
draws share weights."""


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

    def question(self, architecture: str, instrument: Instrument, draw: int) -> dict[str, Any]:
        """What a measurement answers; its digest is the measurement's key."""
        return {
            "space": self.config.space,
            "architecture": architecture,
            "instrument": instrument.plain(),
            "images": self.images.fingerprint,
            "draw": draw,
            "device": self.config.device,
            "version": self.versions[instrument.name],
        }

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Score name -> the code that its numbers depend on, as it was when the run began."""
        return {instrument.name: self._version(instrument) for instrument in self.instruments}

    def _version(self, instrument: Instrument) -> str:
        return version_of(
            self.config.space,
            self.space,
            instrument.name,
            instrument.score,
            training=instrument.schooling is not None,
        )

    def check_code(self, instruments: Sequence[Instrument]) -> None:
        """Refuse to keep numbers where code was edited since the run began.

        A worker may have begun before or after: whose code it ran is not known.
        """
        for instrument in instruments:
            if self._version(instrument) != self.versions[instrument.name]:
                raise ValueError(
                    f"{instrument.name}: expected the code that the run began with, got files "
                    f"that were edited since; give the same command again: what was measured "
                    f"before is kept"
                )

    def keys(self, proposal: Proposal) -> dict[str, list[str]]:
        """Score name -> the key of each draw's measurement."""
        return {
            instrument.name: [
                digest(self.question(architecture, instrument, self.seeded(draw)))
                for draw in proposal.draws
            ]
            for instrument in self.shown(proposal)
            for architecture in [self.measured(proposal, instrument)]
        }

    def shown(self, proposal: Proposal) -> tuple[Instrument, ...]:
        """The instruments, after as many epochs as the proposal asks for."""
        return tuple(instrument.after(proposal.epochs) for instrument in self.instruments)

    def measured(self, proposal: Proposal, instrument: Instrument) -> str:
        """The architecture that stands for the proposal: one for all that compute the same."""
        architecture = proposal.architecture
        if instrument.score.of_function:
            architecture = self.space.canonical(architecture)
        return str(architecture)

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
        total = len({(self.measured(p, i), i) for p in proposals for i in self.shown(p)})
        done = total - sum(len(task.instruments) for task in tasks)
        watch(done, total)
        for index, outcome in self.engine(tasks):
            task = tasks[index]
            assert isinstance(outcome, list)
            self.check_code(task.instruments)
            self.store.add_measurements(
                [
                    {
                        "key": digest(question),
                        "run": self.run,
                        "question": question,
                        "score": instrument.name,
                        "value": reading.value,
                        "reason": reading.reason,
                        "bound_kind": reading.bound and reading.bound.kind,
                        "bound_amount": reading.bound and reading.bound.amount,
                        "seconds": seconds,
                    }
                    for draw, measured in zip(task.draws, outcome, strict=True)
                    for instrument, reading, seconds in zip(
                        task.instruments, measured.readings, measured.seconds, strict=True
                    )
                    for question in [self.question(task.architecture, instrument, draw)]
                ]
            )
            if schooling := sum(measured.schooling for measured in outcome):
                self.store.add_cost(self.run, "training before scores", schooling)
            done += len(task.instruments)
            watch(done, total)

    def tasks(self, proposals: Sequence[Proposal]) -> list[Measure]:
        """What has to be measured: each pair of architecture and score on the draws unknown.

        Scores of one architecture that want the same network on the same draws go together.
        """
        wanted: dict[tuple[str, Instrument], dict[int, str]] = {}
        rungs = set()
        for proposal in proposals:
            keys = self.keys(proposal)
            for instrument in self.shown(proposal):
                pair = self.measured(proposal, instrument), instrument
                column = wanted.setdefault(pair, {})
                column.update(
                    zip(map(self.seeded, proposal.draws), keys[instrument.name], strict=True)
                )
                if proposal.epochs is not None:
                    rungs.add(pair)
        known = self.store.known([key for column in wanted.values() for key in column.values()])
        together: dict[tuple[str, Look, tuple[int, ...], bool], list[Instrument]] = {}
        for (architecture, instrument), column in wanted.items():
            missing = tuple(
                draw
                for draw, key in column.items()
                if key not in known or self.asks_again(known[key])
            )
            if missing:
                kept = (architecture, instrument) in rungs
                alike = together.setdefault((architecture, instrument.look, missing, kept), [])
                alike.append(instrument)
        return [
            Measure(
                self.config.space,
                architecture,
                tuple(sorted(instruments, key=lambda instrument: instrument.epochs)),
                draws,
                self.config.device,
                self.warm(architecture, look) if kept else None,
            )
            for (architecture, look, draws, kept), instruments in together.items()
        ]

    def asks_again(self, reading: Reading) -> bool:
        """Whether this machine or this time limit offers more than what a reading ran out of."""
        if reading.bound is None:
            return False
        if reading.bound.kind == "memory":
            return memory_of(self.config.device) > reading.bound.amount
        limit = self.config.time_limit
        return limit is None or limit > reading.bound.amount

    def warm(self, architecture: str, look: Look) -> Path | None:
        """Where trainings before scores are kept for rungs to come; None where none can go on."""
        if look.course is None or not steady(look.course.recipe):
            return None
        question = {
            "space": self.config.space,
            "architecture": architecture,
            "look": [asdict(part) if is_dataclass(part) else part for part in look],
            "images": self.images.fingerprint,
            "device": self.config.device,
            "version": version_of(self.config.space, self.space, training=True),
        }
        return RunFolder(self.config.out, self.run).checkpoint(digest(question)).with_suffix("")


def history_of(space: Space[Any], rows: Sequence[dict[str, Any]]) -> list[Trial]:
    """The store's rows of trials as a searcher sees them."""
    return [
        Trial(
            space.parse(row["architecture"]),
            tuple(row["draws"]),
            row["note"],
            {score: tuple(map(_value, column)) for score, column in row["measurements"].items()},
            epochs=row["epochs"],
        )
        for row in rows
    ]


def _value(reading: Reading) -> float | None:
    return reading.value
