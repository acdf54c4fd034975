"""What may be built."""

import random
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from torch import nn

from untrained.spaces.connectivity import Connectivity, connectivity
from untrained.spaces.graph import CellGraph


@dataclass(frozen=True, order=True)
class Architecture(ABC):
    """A frozen, hashable, ordered value with one text form: `space.parse(str(a)) == a`.

    A *partial* architecture keeps several operations on some edge, or more edges than a discrete
    one. Its network is the supernet of what it keeps.
    """

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    def partial(self) -> bool:
        """Whether it keeps more than a discrete architecture does."""
        return False


A = TypeVar("A", bound=Architecture)
T = TypeVar("T")

Shape = Sequence[int]
"Channels, height and width of images."


@dataclass(frozen=True)
class Scale:
    """How large an architecture is built; this base has one size alone."""


@dataclass(frozen=True)
class CellScale(Scale):
    """How large a network of equal cells in stages is built."""

    channels: int = 16
    "Channels of the first stage, or of the stem where the space says so."
    cells: int = 5
    "Cells a stage, or of the whole network where the space says so."
    stages: int = 3
    "Stages; each after the first halves the resolution and doubles the channels."
    stem: bool = True
    """Whether a convolution comes before the first cell; without it, the images' channels must
    equal `channels`."""


STEM_FROM, STEM_TO = 64, 48
"Pixels from which stems halve the resolution, and at which they stop."


def halvings(inputs: Shape) -> int:
    """How often a stem made for 32 pixels halves the resolution of larger images.

    Those of 64 pixels or more are halved until at most 48 are left, as networks for ImageNet do:
    an image of 224 pixels would otherwise take 49 times the time of one of 32.

    Args:
        inputs: Channels, height and width.

    Example:
        >>> [halvings((3, side, side)) for side in (32, 63, 64, 96, 128, 224)]
        [0, 0, 1, 1, 2, 3]
    """
    side, count = max(inputs[1:]), 0
    while max(inputs[1:]) >= STEM_FROM and side > STEM_TO:
        side, count = -(-side // 2), count + 1  # of a convolution with stride 2
    return count


SCALES = "full", "narrow", "small", "thin"
"Those at which scores ask for networks."


class Sources(NamedTuple):
    """What an architecture's network is made by, beside its space: it decides numbers too."""

    modules: tuple[str, ...] = ()
    "By name, with all that they import."
    files: tuple[Path, ...] = ()
    "By content."


class Choice(NamedTuple):
    """An operation that a partial architecture keeps on an edge."""

    edge: int
    operation: str


class Crowd(NamedTuple):
    """A node with more input edges than it has in a discrete architecture."""

    choices: tuple[Choice, ...]
    "Every operation left on the node's input edges, one an edge."
    keep: int
    "How many of them a discrete architecture keeps."


def anything(architecture: object) -> bool:
    """True."""
    return True


class Space(ABC, Generic[A]):
    """A set of architectures, and how to build them.

    `parse`, `sample`, `neighbours` and `build` are all that it must have. Spaces of one's own are
    written faster as a function: see `untrained.spaces.function_space`.
    """

    name: ClassVar[str]
    scales: ClassVar[Mapping[str, Scale]] = dict.fromkeys(SCALES, Scale())
    """`full`, as published; `small` and `thin`, as the training-free literature measures it;
    `narrow` between them, for scores that need many images or a little training."""
    initial_weights: ClassVar[str] = "kaiming_fan_out"
    "The law of the weights that trainings to the end begin with."
    cells_are_graphs: ClassVar[bool] = False
    "Whether `graphs` have a cell's single operations, rather than stages or layers of several."

    @abstractmethod
    def parse(self, text: str) -> A:
        """The architecture with this text form; ValueError says what is wrong with it."""

    @abstractmethod
    def sample(self, rng: random.Random) -> A:
        """A discrete architecture, uniformly."""

    def drawn(
        self, draw: Callable[[], A], rng: random.Random, among: Callable[[A], bool] = anything
    ) -> A:
        """What `draw` gives, drawn again until the space has it: a part of a space has not all.

        Args:
            draw: draws a discrete architecture.
            rng: feeds the choices of a search for one that the space has, where many draws in a
                row gave none.
            among: what such a search may pass through and end with.
        """
        return draw()

    @abstractmethod
    def neighbours(self, architecture: A) -> tuple[A, ...]:
        """Every discrete architecture that differs in one choice."""

    @abstractmethod
    def build(self, architecture: A, scale: Scale, *, inputs: Shape, classes: int) -> nn.Module:
        """The network on images of shape `inputs`, with `classes` logits."""

    def mutate(self, architecture: A, rng: random.Random) -> A:
        """A neighbour, uniformly."""
        return rng.choice(self.neighbours(architecture))

    def cross(self, first: A, second: A, rng: random.Random) -> A:
        """Each choice from one of two discrete architectures, by chance; by default, where a space
        says nothing of choices, one of them as it is."""
        return rng.choice((first, second))

    def enumerate(self) -> Iterator[A]:
        """Every discrete architecture once, in a fixed order, where the space is finite."""
        raise NotImplementedError(f"the space {self.name!r} does not enumerate its architectures")

    def canonical(self, architecture: A) -> A:
        """The representative of all architectures known to compute the same function; by default
        itself."""
        return architecture

    def features(self, architecture: A) -> Mapping[str, float | str]:
        """What architectures are compared by: numbers, whose order means something, and words.

        By default the numbers and words of its text, by their place.
        """
        parts = [part for part in re.split(r"[^\w.]+", str(architecture)) if part]
        return {str(i): float(p) if p.isdecimal() else p for i, p in enumerate(parts)}

    def terms(self, architecture: A) -> Mapping[A, int]:
        """Architectures a_k, n_k times each, whose modules together are those of this one.

            s(a) = sum_k n_k s(a_k)

        for any scale and whatever counts modules by themselves, such as parameters and
        multiply-adds. By default itself, once: nothing is known of its parts.
        """
        return {architecture: 1}

    def sources(self, architecture: A) -> Sources:
        """What makes this architecture's network beside the space; by default nothing."""
        return Sources()

    def export(
        self, architecture: A, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        """Source text that needs torch alone, and the expression in it that builds the network."""
        raise NotImplementedError(f"the space {self.name!r} does not export its networks")

    def graphs(self, architecture: A) -> tuple[CellGraph, ...]:
        """The cells, to be drawn; by default nothing is."""
        return ()

    def connectivity(self, architecture: A) -> tuple[Connectivity, ...]:
        """Effective depth and width of each cell; nothing unless `cells_are_graphs`."""
        return tuple(map(connectivity, self.graphs(architecture))) if self.cells_are_graphs else ()


def crossed(first: Sequence[T], second: Sequence[T], rng: random.Random) -> tuple[T, ...]:
    """At each place what one of two sequences of one length has there, by chance."""
    return tuple(rng.choice(pair) for pair in zip(first, second, strict=True))


class PrunableSpace(Space[A]):
    """A space with supernets: its architectures are choices of an operation on each edge."""

    removed_at_once: ClassVar[int] = 1
    """How many operations a round of the pruning search removes from an edge, which keeps one at
    least: 1 as published for NAS-Bench-201, 3 for DARTS on CIFAR-10."""

    @abstractmethod
    def supernet(self) -> A:
        """The partial architecture that keeps every operation but `none` on every edge."""

    def everything(self) -> A:
        """The partial architecture that keeps whatever a discrete one may have on every edge:
        the supernet, with `none` where the space has it."""
        return self.supernet()

    @abstractmethod
    def kept(self, architecture: A) -> tuple[Choice, ...]:
        """Every operation on every edge: equal tuples, equal architectures."""

    def features(self, architecture: A) -> Mapping[str, float | str]:
        """Every operation on every edge that it keeps."""
        return {f"{edge}:{operation}": "kept" for edge, operation in self.kept(architecture)}

    def choices(self, architecture: A) -> tuple[Choice, ...]:
        """Every operation on every edge that keeps more than one."""
        kept = self.kept(architecture)
        often = Counter(choice.edge for choice in kept)
        return tuple(choice for choice in kept if often[choice.edge] > 1)

    def crowded(self, architecture: A) -> tuple[Crowd, ...]:
        """The nodes with more input edges than a discrete architecture keeps.

        Asked once no edge has more than one operation; a space that keeps every edge has none.
        """
        return ()

    @abstractmethod
    def without(self, architecture: A, *removed: Choice) -> A:
        """The partial architecture that no longer keeps `removed`."""

    @abstractmethod
    def describe(self, choice: Choice) -> str:
        """For people: `nor_conv_3x3 on 0-1`."""


def prunable(space: Space[Any]) -> PrunableSpace[Any]:
    """The space itself, if it has supernets.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(space, PrunableSpace):
        raise ValueError(
            f"expected a space with supernets to prune and to compare by operations, got "
            f"{space.name!r}, which has none; try --searcher random, evolution or local"
        )
    return space
