"""Measuring a batch of proposals: what is known is looked up, the rest is done and kept."""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from untrained.images import Images
from untrained.locations import Location
from untrained.memory import memory_of
from untrained.runs.claimed import FIRST_PAUSE, LONGEST_PAUSE, Claimed, Pace, Planned
from untrained.runs.code import made_by, version_of
from untrained.runs.config import RunConfig
from untrained.runs.engines import Engine
from untrained.runs.identity import digest, question
from untrained.runs.setup import NetworkSpec, ScoreSetup
from untrained.runs.tasks import Scored, ScoreTask
from untrained.scores import Reading
from untrained.searchers import Proposal
from untrained.spaces import Space
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store
from untrained.training import steady

SEEDS_APART = 720_720_000
"""Draws of one run's seed; those of another never meet them. A multiple of whatever numbers of
draws share weights."""
HELD, HELD_SECONDS = 200, 0.5
"""Outcomes that wait to be stored together at most, and what they took to measure: a run that is
killed loses no more."""


@dataclass
class Column:
    """What is asked of one score of one architecture."""

    keys: dict[int, str] = field(default_factory=dict)
    "Draw -> the measurement's key."
    warm: bool = False
    "Whether trainings before the score are kept, for more epochs to come."


Wanted = dict[tuple[str, ScoreSetup], Column]
"What is asked, by architecture and score."


@dataclass(frozen=True)
class Measuring:
    """Everything that a batch of proposals is measured with."""

    run: str
    config: RunConfig
    space: Space[Any]
    setups: tuple[ScoreSetup, ...]
    images: Images
    store: Store
    engine: Engine
    _shared: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict, init=False)
    """Name and epochs of a setup -> what its questions share. Put together anew for each trial, it
    would take as long as a trial's other keys and rows."""
    _made_by: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)
    "Architecture -> what it is made by beside the space."
    _pace: Pace = field(default_factory=Pace, init=False)

    def asked(self, architecture: str, setup: ScoreSetup, draw: int) -> dict[str, Any]:
        """The question that a measurement answers; its digest is the measurement's key."""
        which = setup.name, setup.epochs
        if which not in self._shared:
            self._shared[which] = question(
                images=self.images.fingerprint,
                device=self.config.device,
                version=self.versions[setup.name],
                space=self.config.space,
                setup=setup,
            )
        return {
            **self._shared[which],
            **self.made_by(architecture),
            "architecture": architecture,
            "draw": draw,
        }

    def made_by(self, architecture: str) -> dict[str, Any]:
        """What decides numbers of this architecture alone, as it was when first asked for."""
        if type(self.space).sources is Space.sources:
            return {}
        if architecture not in self._made_by:
            self._made_by[architecture] = made_by(self.space, architecture)
        return self._made_by[architecture]

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Score name -> the code that its numbers depend on, as it was when the run began."""
        return {setup.name: self._version(setup) for setup in self.setups}

    def _version(self, setup: ScoreSetup) -> str:
        return version_of(
            self.config.space,
            self.space,
            setup.name,
            setup.score,
            training=setup.short_training is not None,
        )

    def check_code(self, setups: Iterable[ScoreSetup], architectures: Iterable[str]) -> None:
        """Refuse to keep numbers where code was edited since the run began.

        A worker may have begun before or after: whose code it ran is not known.
        """
        edited = [s.name for s in setups if self._version(s) != self.versions[s.name]]
        known = [a for a in architectures if a in self._made_by]
        edited += [a for a in known if made_by(self.space, a) != self._made_by[a]]
        if edited:
            raise ValueError(
                f"{edited[0]}: expected the code that the run began with, got files that were "
                f"edited since; give the same command again: what was measured before is kept"
            )

    def keys(self, proposal: Proposal) -> dict[str, list[str]]:
        """Score name -> the key of each draw's measurement."""
        return {
            setup.name: [
                digest(self.asked(architecture, setup, self.seeded(setup, draw)))
                for draw in proposal.draws
            ]
            for setup in self.shown(proposal)
            for architecture in [self.measured(proposal, setup)]
        }

    def row(self, proposal: Proposal) -> dict[str, object]:
        """A proposal as the store keeps it."""
        return {
            "run": self.run,
            "architecture": str(proposal.architecture),
            "draws": list(proposal.draws),
            "role": proposal.role,
            "note": proposal.note,
            "epochs": proposal.epochs,
            "measurements": self.keys(proposal),
        }

    def shown(self, proposal: Proposal) -> tuple[ScoreSetup, ...]:
        """The setups, after as many epochs as the proposal asks for."""
        return tuple(setup.after(proposal.epochs) for setup in self.setups)

    def measured(self, proposal: Proposal, setup: ScoreSetup) -> str:
        """The architecture that stands for the proposal: one for all that compute the same."""
        architecture = proposal.architecture
        if setup.score.of_function:
            architecture = self.space.canonical(architecture)
        return str(architecture)

    def seeded(self, setup: ScoreSetup, draw: int) -> int:
        """The draw's number under the run's seed; 0 where no draw matters."""
        return 0 if setup.weights is None else self.config.seed * SEEDS_APART + draw

    def measure(
        self, proposals: Sequence[Proposal], on_progress: Callable[[int, int], None]
    ) -> float:
        """Sees to it that the store holds every measurement of the proposals.

        What another driver is at is left to it, for as long as it lives, and waited for at last.

        Args:
            proposals: what to measure; equal ones are measured once.
            on_progress: called with how many (architecture, score) pairs are done, of how many.

        Returns:
            Seconds of the task that took longest; 0 where nothing was to be done.
        """
        wanted, longest = self.wanted(proposals), 0.0
        total, pause = len(wanted), FIRST_PAUSE
        while True:
            planned = self.planned(wanted)
            done = total - sum(len(each.task.setups) for each in planned)
            on_progress(done, total)
            claimed = Claimed(planned, self.claim, self._pace)

            def tell(setups: int) -> None:
                nonlocal done
                done += setups
                on_progress(done, total)

            longest = max(longest, self.measure_claimed(claimed, tell))
            if all(claimed.given):
                return longest
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            pairs = {(task.architecture, setup) for task in claimed.left for setup in task.setups}
            wanted = {pair: column for pair, column in wanted.items() if pair in pairs}

    def claim(self, groups: Sequence[Sequence[str]]) -> list[bool]:
        """As `Store.claim`."""
        return self.store.claim(groups, self.asks_again)

    def measure_claimed(self, claimed: Claimed[ScoreTask], tell: Callable[[int], None]) -> float:
        """Measures those that no other driver has, and stores what they come to.

        Args:
            claimed: the tasks.
            tell: called with how many setups a task had, once it is done.

        Returns:
            As `measure`.
        """
        held: list[tuple[ScoreTask, Scored]] = []
        longest = 0.0
        try:
            for index, outcome in self.engine(claimed):
                if (task := claimed.ended(index)) is None:
                    continue
                assert isinstance(outcome, list)
                held.append((task, outcome))
                longest = max(longest, seconds_of(held[-1:]))
                if seconds_of(held) >= HELD_SECONDS or len(held) == HELD:
                    self.keep(held)
                    held.clear()
                tell(len(task.setups))
        finally:
            try:
                self.keep(held)
            finally:
                if given_up := claimed.under_way():
                    self.store.claims.release(given_up)
        return longest

    def keep(self, held: Sequence[tuple[ScoreTask, Scored]]) -> None:
        """Stores what tasks came to."""
        self.check_code(
            {setup.name: setup for task, _ in held for setup in task.setups}.values(),
            {task.architecture for task, _ in held},
        )
        rows = [
            {
                "key": digest(asked),
                "run": self.run,
                "question": asked,
                "score": setup.name,
                "value": found.reading.value,
                "reason": found.reading.reason,
                "bound_kind": found.reading.bound and found.reading.bound.kind,
                "bound_amount": found.reading.bound and found.reading.bound.amount,
                "seconds": found.seconds,
            }
            for task, outcome in held
            for draw, of_draw in zip(task.draws, outcome, strict=True)
            for setup, found in zip(task.setups, of_draw, strict=True)
            for asked in [self.asked(task.architecture, setup, draw)]
        ]
        if rows:
            self.store.add_measurements(rows)
        for _, outcome in held:
            if short_training := sum(found.short_training for found in chain(*outcome)):
                self.store.add_cost(self.run, "training before scores", short_training)

    def tasks(self, proposals: Sequence[Proposal]) -> list[ScoreTask]:
        """What has to be measured."""
        return [each.task for each in self.planned(self.wanted(proposals))]

    def wanted(self, proposals: Sequence[Proposal]) -> Wanted:
        """All that is asked of proposals, whether or not it was measured before."""
        wanted: Wanted = {}
        for proposal in proposals:
            keys = self.keys(proposal)
            for setup in self.shown(proposal):
                column = wanted.setdefault((self.measured(proposal, setup), setup), Column())
                draws = [self.seeded(setup, draw) for draw in proposal.draws]
                column.keys.update(zip(draws, keys[setup.name], strict=True))
                column.warm |= proposal.epochs is not None
        return wanted

    def planned(self, wanted: Wanted, but: Container[str] = ()) -> list[Planned[ScoreTask]]:
        """Tasks of what is wanted: each pair of architecture and score on the draws unknown.

        Scores of one architecture that want the same network on the same draws go together.

        Args:
            wanted: what is asked.
            but: keys of measurements that are being made already.
        """
        known = self.store.known(
            [key for column in wanted.values() for key in column.keys.values()]
        )
        together: dict[tuple[str, NetworkSpec, tuple[int, ...], bool], list[ScoreSetup]] = {}
        for (architecture, setup), column in wanted.items():
            missing = tuple(
                draw
                for draw, key in column.keys.items()
                if key not in but and (key not in known or self.asks_again(known[key]))
            )
            if missing:
                alike = architecture, setup.network_spec, missing, column.warm
                together.setdefault(alike, []).append(setup)
        return [
            Planned(
                ScoreTask(
                    self.config.space,
                    architecture,
                    tuple(sorted(setups, key=lambda setup: setup.epochs)),
                    draws,
                    self.config.device,
                    self.warm(architecture, spec) if warm else None,
                ),
                tuple(wanted[architecture, setup].keys[d] for setup in setups for d in draws),
            )
            for (architecture, spec, draws, warm), setups in together.items()
        ]

    def asks_again(self, reading: Reading) -> bool:
        """Whether this machine or this time limit offers more than what a reading ran out of."""
        if reading.bound is None:
            return False
        if reading.bound.kind == "memory":
            return memory_of(self.config.device) > reading.bound.amount
        limit = self.config.time_limit
        return limit is None or limit > reading.bound.amount

    def warm(self, architecture: str, spec: NetworkSpec) -> Location | None:
        """Where trainings before scores are kept for rungs to come; None where there are none."""
        if spec.training is None or not steady(spec.training.recipe):
            return None
        asked = question(
            images=self.images.fingerprint,
            device=self.config.device,
            version=version_of(self.config.space, self.space, training=True),
            space=self.config.space,
            architecture=architecture,
            network=spec,
            **self.made_by(architecture),
        )
        return RunFolder(self.config.out, self.run).trainings / digest(asked)


def seconds_of(held: Iterable[tuple[ScoreTask, Scored]]) -> float:
    """What it took to measure these outcomes."""
    measured = (each for _, outcome in held for each in chain(*outcome))
    return sum(each.seconds + each.short_training for each in measured)
