"""A score with the networks and images that it is asked about, and how its numbers compare."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import nn

from untrained.conformance.asking import Answer, ask
from untrained.conformance.finding import Verdict, by_kind
from untrained.conformance.networks import Build, cell_network, kinds
from untrained.images import Images, Probe, draw_probe
from untrained.networks import draw_weights
from untrained.runs.setup import ScoreSetup
from untrained.runs.streams import SHORT_TRAINING, stream
from untrained.runs.surroundings import surroundings
from untrained.scores import Reading, Score
from untrained.training import train_short

WIDTH = 8
"Channels of the networks, unless width is the question."

SAME, ROUNDING = 1e-4, 1e-2
"""Relative changes up to which two numbers are the same, and up to which rounding may be why they
are not: that of float32 is small, but scores such as condition numbers magnify it."""

Change = Callable[[nn.Module, Probe], Probe]
"Alters a copy of a network in place, and says which probe it is shown."


@dataclass(frozen=True)
class Examined:
    """A score, as a run would set it up, and the bundled digits."""

    setup: ScoreSetup
    images: Images

    @property
    def score(self) -> Score:
        return self.setup.score

    @cached_property
    def probe(self) -> Probe:
        """Shown to every network."""
        return draw_probe(self.images, self.setup.probe, stream(0, "probe"))

    @property
    def stages(self) -> int:
        """Of the networks of cells: one where the score asks for thin ones."""
        return 1 if type(self.score).network == "thin" else 3

    @property
    def kinds(self) -> dict[str, Build]:
        """The kinds of networks."""
        return kinds(self.stages)

    def cell(self, text: str) -> nn.Module:
        """The network of a cell of NAS-Bench-201."""
        return self.network(cell_network(text, self.stages))

    def network(self, build: Build, width: int = WIDTH) -> nn.Module:
        """A network as a run shows it: with weights drawn, and trained if the score asks for it.

        Layers of one name and shape have equal weights in all networks.
        """
        law, training = self.setup.weights or Score.weights, self.setup.short_training
        assert law is not None
        with surroundings(0):
            network = build(width, self.probe.inputs.shape[1:], len(self.images.classes)).train()
            draw_weights(network, law, stream(0, "weights"))
            if training is not None:
                images = self.images.training_on(training.images, stream(0, SHORT_TRAINING))
                train_short(network, images, training.recipe)
        return network

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        """One of each kind."""
        return {kind: self.network(build) for kind, build in self.kinds.items()}

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """The score of each network, asked as a run asks."""
        return {kind: ask(self.score, net, self.probe) for kind, net in self.networks.items()}

    @property
    def numbers(self) -> dict[str, float]:
        """Of the kinds that it has a number for."""
        readings = {kind: answer.reading.value for kind, answer in self.answers.items()}
        return {kind: value for kind, value in readings.items() if value is not None}

    @cached_property
    def noise(self) -> dict[str, float]:
        """Of each kind, the largest relative change by another generator."""
        return {
            kind: max(
                difference(value, ask(self.score, net, self.probe, seed=seed).reading)
                for seed in (1, 2)
            )
            for kind, value in self.numbers.items()
            for net in [self.networks[kind]]
        }

    def after(self, change: Change) -> dict[str, "Pair"]:
        """Its number before and its answer after a change, of every kind that it has one for."""
        return {kind: self.pair(kind, change) for kind in self.numbers}

    def pair(self, kind: str, change: Change) -> "Pair":
        """Its number before and its answer after a change."""
        network = deepcopy(self.networks[kind])
        probe = change(network, self.probe)
        return Pair(self.numbers[kind], ask(self.score, network, probe).reading)


class Pair(NamedTuple):
    """A number, and what became of it."""

    before: float
    after: Reading


def difference(before: float, after: Reading) -> float:
    """|a - b| / max(|a|, |b|); infinite where there is no number any more."""
    if after.value is None:
        return float("inf")
    largest = max(abs(before), abs(after.value))
    return abs(before - after.value) / largest if largest else 0.0


def unchanged(pairs: dict[str, Pair], noise: dict[str, float]) -> Verdict:
    """Whether a change leaves every number as it was, up to rounding.

    Args:
        pairs: of each kind of network.
        noise: of each kind, by how much another generator alone changes the number.
    """
    if not pairs:
        return Verdict(None, NO_NUMBER)
    lost = {kind: pair.after.reason for kind, pair in pairs.items() if pair.after.value is None}
    if lost:
        return Verdict(False, f"no number any more: {by_kind(lost)}")
    changes = {kind: difference(*pair) for kind, pair in pairs.items()}
    largest = max(changes.values())
    if largest <= SAME:
        up_to = f"the same up to {percent(largest)}"
        return Verdict(True, up_to if largest else "the same number")
    said = f"changes by {by_kind({kind: percent(by) for kind, by in changes.items()})}"
    if largest <= ROUNDING:
        return Verdict(None, f"{said}: rounding may be why")
    if all(by <= max(SAME, noise.get(kind, 0.0)) for kind, by in changes.items()):
        own = percent(max(noise.values()))
        return Verdict(None, f"{said}; its own random numbers by up to {own}")
    return Verdict(False, said)


NO_NUMBER = "it has no number of these networks"
OF_MACHINE = "it measures the machine"


def percent(share: float) -> str:
    """A relative change, to two digits.

    Example:
        >>> percent(0.0), percent(0.1234), percent(2e-7), percent(1.7)
        ('0 %', '12 %', '2e-05 %', '170 %')
    """
    return f"{float(f'{100 * share:.2g}'):g} %"


def short(value: float) -> str:
    """A number to four digits."""
    return f"{value:.4g}"


def shown(reading: Reading) -> str:
    """The number to four digits, or the reason."""
    return reading.reason if reading.value is None else short(reading.value)
