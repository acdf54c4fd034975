"""For each statement of the conformance suite, a score, space or searcher of which it fails."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from untrained.images import Probe, ProbeSpec
from untrained.scores import Reading, Score
from untrained.searchers import Proposal, Searcher, Trial
from untrained.searchers.random_search import RandomSearch
from untrained.spaces import Architecture, Choice, Scale, Shape
from untrained.spaces.nasbench201 import NASBench201, NB201Architecture

# Scores


@dataclass(frozen=True)
class OfImages(Score):
    """Nothing is wrong with it."""

    higher_is_better: ClassVar[Any] = True
    network: ClassVar[Any] = "thin"
    probe: ClassVar = ProbeSpec(count=6)
    meaning: ClassVar = "Mean square of the pixels."

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(probe.inputs.double().square().mean()))


def first(network: nn.Module) -> Tensor:
    """The first weight."""
    return next(p for p in network.parameters() if p.ndim > 1).detach()


def size(network: nn.Module, probe: Probe, generator: torch.Generator) -> float:
    return float(sum(p.numel() for p in network.parameters()))


def of_distinct(network: nn.Module, probe: Probe, generator: torch.Generator) -> float:
    if len(probe.inputs.unique(dim=0)) < len(probe.inputs):
        raise RuntimeError("an image is there twice")
    return 1.0


_calls = itertools.count()

NUMBERS: dict[str, Callable[[nn.Module, Probe, torch.Generator], float]] = {
    "gives a Reading": lambda network, probe, generator: float("nan"),
    "gives the same bits for the same generator": lambda *_: float(next(_calls)),
    "draws from its generator alone": lambda *_: torch.rand(()).item(),
    "scores cells of one function equal, or says not": size,
    "has a number of any network": lambda network, *_: float(first(network).shape[3]),
    "needs no random numbers": lambda network, probe, generator: torch.rand(
        (), generator=generator
    ).item(),
    "needs no labels": lambda network, probe, _: (
        (probe.labels * 1.5 ** torch.arange(6)).sum().item()
    ),
    "does not depend on the order of images": lambda network, probe, _: (
        probe.inputs[0].square().mean().item()
    ),
    "does not depend on the order of classes": lambda network, probe, _: (
        (1 + probe.labels).sum().item()
    ),
    "is monotone in width": lambda network, *_: 1.0 + (len(first(network)) in (8, 32)),
    "does not depend on the scale of weights": lambda network, *_: first(network).norm().item(),
    "does not depend on rescaling that keeps the function": lambda network, *_: (
        first(network).norm().item()
    ),
    "shows the network each image once": lambda network, probe, _: (
        network(probe.inputs).norm().item() + network(probe.inputs).norm().item()
    ),
    "leaves out operations without effect": size,
    "gives no number of weights that are NaN": lambda network, *_: (
        (first(network) < 10).sum().item()
    ),
    "gives no number of infinite weights": lambda network, *_: (first(network) < 10).sum().item(),
    "answers where images repeat": of_distinct,
    "answers where all images are constant": lambda network, probe, _: (
        1.0 / probe.inputs.std().item()
    ),
}
"The statement that fails -> the number of such a score."


@dataclass(frozen=True)
class Failing(OfImages):
    statement: str = "needs no labels"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(NUMBERS[self.statement](network, probe, generator))


@dataclass(frozen=True)
class NoDirection(OfImages):
    higher_is_better: ClassVar[Any] = "yes"


@dataclass(frozen=True)
class NoScale(OfImages):
    network: ClassVar[Any] = "huge"


@dataclass(frozen=True)
class NoWeights(OfImages):
    weights: ClassVar = "none of ours"


@dataclass(frozen=True)
class NoMeaning(OfImages):
    meaning: ClassVar = ""


class NoEquality(OfImages):
    __eq__, __hash__ = object.__eq__, object.__hash__


@dataclass(frozen=True)
class NoDefault(OfImages):
    power: int

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(self.power))


class NoHash(OfImages):
    def __eq__(self, other: object) -> bool:
        return True


DECLARATIONS: dict[str, tuple[type[Score], ...]] = {
    "is a frozen value": (NoEquality, NoDefault, NoHash),
    "declares its direction": (NoDirection,),
    "declares what it is shown": (NoScale, NoWeights),
    "says what it measures": (NoMeaning,),
}

# Spaces: NAS-Bench-201 with one fault each


@dataclass(frozen=True, order=True)
class Spaced(NB201Architecture):
    def __str__(self) -> str:
        return super().__str__().replace("+", " + ")


class SamplesPartial(NASBench201):
    def sample(self, rng: random.Random) -> NB201Architecture:
        return self.supernet()


class SamplesAnew(NASBench201):
    def sample(self, rng: random.Random) -> NB201Architecture:
        return super().sample(random.Random())


class ReadsOther(NASBench201):
    def parse(self, text: str) -> NB201Architecture:
        return self.neighbours(super().parse(text))[0]


class WritesSpaces(NASBench201):
    def sample(self, rng: random.Random) -> NB201Architecture:
        return Spaced(super().sample(rng).edges)


class RaisesKeyError(NASBench201):
    def parse(self, text: str) -> NB201Architecture:
        try:
            return super().parse(text)
        except ValueError as error:
            raise KeyError(text) from error


class ReadsAnything(NASBench201):
    def parse(self, text: str) -> NB201Architecture:
        try:
            return super().parse(text)
        except ValueError:
            return self.supernet()


class TwoLines(NASBench201):
    def parse(self, text: str) -> NB201Architecture:
        try:
            return super().parse(text)
        except ValueError as error:
            raise ValueError(f"no cell:\n{error}") from error


class NotIdempotent(NASBench201):
    def canonical(self, architecture: NB201Architecture) -> NB201Architecture:
        return self.neighbours(architecture)[0]


class OwnNeighbour(NASBench201):
    def neighbours(self, architecture: NB201Architecture) -> tuple[NB201Architecture, ...]:
        return (*super().neighbours(architecture), architecture)


class NeighbourTwice(NASBench201):
    def neighbours(self, architecture: NB201Architecture) -> tuple[NB201Architecture, ...]:
        return super().neighbours(architecture) * 2


class MutatesAnywhere(NASBench201):
    def mutate(self, architecture: NB201Architecture, rng: random.Random) -> NB201Architecture:
        return self.sample(rng)


class EnumeratesTwice(NASBench201):
    """The hundredth after itself: however few there is time for, these are among them."""

    def enumerate(self) -> Iterator[NB201Architecture]:
        for number, architecture in enumerate(super().enumerate(), 1):
            yield from [architecture] * (1 + (number == 100))


class EnumeratesFew(NASBench201):
    def enumerate(self) -> Iterator[NB201Architecture]:
        return itertools.islice(super().enumerate(), 100)


class DrawsBackwards(NASBench201):
    def graphs(self, architecture: NB201Architecture) -> Any:
        (graph,) = super().graphs(architecture)
        return (graph._replace(edges=tuple(e._replace(source=3, target=0) for e in graph.edges)),)


class FewScales(NASBench201):
    scales: ClassVar = {"full": NASBench201.scales["full"], "small": NASBench201.scales["small"]}


class OneLogit(NASBench201):
    def build(self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int) -> nn.Module:
        return super().build(architecture, scale, inputs=inputs, classes=1)


class BuildsAnew(NASBench201):
    def build(self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int) -> nn.Module:
        network = super().build(architecture, scale, inputs=inputs, classes=classes)
        network.register_buffer(f"number_{next(_calls)}", torch.zeros(1))
        return network


class OneFormForAll(NASBench201):
    def canonical(self, architecture: NB201Architecture) -> NB201Architecture:
        return next(self.enumerate())


class NoTerms(NASBench201):
    def terms(self, architecture: NB201Architecture) -> dict[NB201Architecture, int]:
        return {architecture: 2}


class ExportsOther(NASBench201):
    def export(
        self, architecture: NB201Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        other = self.neighbours(architecture)[0]
        return super().export(other, scale, inputs=inputs, classes=classes)


class ExportsUs(NASBench201):
    def export(
        self, architecture: NB201Architecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        found = super().export(architecture, scale, inputs=inputs, classes=classes)
        return f"import untrained\n{found[0]}", found[1]


class DiscreteSupernet(NASBench201):
    def supernet(self) -> NB201Architecture:
        return next(self.enumerate())


class RemovesMore(NASBench201):
    def without(self, architecture: NB201Architecture, *removed: Choice) -> NB201Architecture:
        kept = {c.edge: c for c in self.kept(architecture) if c not in removed}
        return super().without(architecture, *removed, kept[0])


class NeverDiscrete(NASBench201):
    def choices(self, architecture: NB201Architecture) -> tuple[Choice, ...]:
        return ()


class FarNeighbours(NASBench201):
    def neighbours(self, architecture: NB201Architecture) -> tuple[NB201Architecture, ...]:
        rng = random.Random(str(architecture))
        return tuple({self.sample(rng): None for _ in range(30)})


class SilentChoices(NASBench201):
    def describe(self, choice: Choice) -> str:
        return ""


class UsesGlobalRandomness(NASBench201):
    def sample(self, rng: random.Random) -> NB201Architecture:
        np.random.rand()  # noqa: NPY002
        return super().sample(rng)


SPACES_THAT_FAIL: dict[str, tuple[type[NASBench201], ...]] = {
    "samples discrete architectures": (SamplesPartial,),
    "samples the same by the same seed": (SamplesAnew,),
    "reads its own texts": (ReadsOther, WritesSpaces),
    "refuses wrong texts": (RaisesKeyError, ReadsAnything, TwoLines),
    "has canonical forms": (NotIdempotent,),
    "has other architectures as neighbours": (OwnNeighbour, NeighbourTwice),
    "mutates to neighbours": (MutatesAnywhere,),
    "enumerates each architecture once": (EnumeratesTwice, EnumeratesFew),
    "can be drawn": (DrawsBackwards,),
    "offers the named scales": (FewScales,),
    "gives logits at every scale": (OneLogit,),
    "builds the same network again": (BuildsAnew,),
    "builds the same function of canonical forms": (OneFormForAll,),
    "has terms that add up": (NoTerms,),
    "exports the same network": (ExportsOther, ExportsUs),
    "has a supernet": (DiscreteSupernet,),
    "keeps what is not removed": (RemovesMore,),
    "prunes to discrete architectures": (NeverDiscrete,),
    "has neighbours that differ in one choice": (FarNeighbours,),
    "describes its choices": (SilentChoices,),
    "leaves the process alone": (UsesGlobalRandomness,),
    "has mutual neighbours": (FarNeighbours,),
}

# Searchers: random search with one fault each


@dataclass(frozen=True)
class Endless(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return super().propose(history[:0], count, rng)


@dataclass(frozen=True)
class Idle(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return []


@dataclass(frozen=True)
class ProposesSupernets(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        found = super().propose(history, count, rng)
        return [Proposal(self.space.supernet(), p.draws, p.note) for p in found]  # type: ignore[attr-defined]


@dataclass(frozen=True)
class WithoutDraws(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return [Proposal(p.architecture, (), "") for p in super().propose(history, count, rng)]


@dataclass(frozen=True)
class Remembers(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        vars(self)["asked"] = vars(self).get("asked", 0) + 1
        return super().propose(history, count, random.Random(vars(self)["asked"]))


@dataclass(frozen=True)
class ReadsLists(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return super().propose(history, count, rng if type(history) is list else random.Random(9))


@dataclass(frozen=True)
class ChangesHistory(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        found = super().propose(history, count, rng)
        if isinstance(history, list) and type(history) is not list:
            history.reverse()
        return found


@dataclass(frozen=True)
class SelectsAnything(RandomSearch):
    def select(self, history: Sequence[Trial]) -> Architecture | None:
        return self.space.sample(random.Random(12345))


@dataclass(frozen=True)
class SelectsNothing(RandomSearch):
    def select(self, history: Sequence[Trial]) -> Architecture | None:
        return None


@dataclass(frozen=True)
class DrawsGlobally(RandomSearch):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        np.random.rand()  # noqa: NPY002
        return super().propose(history, count, rng)


@dataclass(frozen=True)
class Unfinished(Searcher):
    def propose(self, history: Sequence[Trial], count: int, rng: random.Random) -> list[Proposal]:
        return []


SEARCHERS_THAT_FAIL: dict[str, tuple[type[Searcher], ...]] = {
    "can be made": (Unfinished,),
    "comes to an end": (Idle,),
    "proposes architectures of its space": (ProposesSupernets, WithoutDraws),
    "is a function of history and generator": (Remembers,),
    "reads any sequence as its history": (ReadsLists, ChangesHistory),
    "selects what it measured": (SelectsAnything, SelectsNothing),
    "selects nothing without numbers": (SelectsAnything,),
    "leaves the process alone": (DrawsGlobally,),
}
