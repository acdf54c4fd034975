"""A part of a space: those of its architectures that keep to something, such as a limit."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from math import ceil, inf
from typing import Any

from torch import nn

from untrained.spaces.graph import CellGraph
from untrained.spaces.space import (
    Architecture,
    Choice,
    Crowd,
    PrunableSpace,
    Scale,
    Shape,
    Space,
    anything,
)

Over = Callable[[Sequence[Any]], Sequence[float]]
"""How far each of some architectures is from being kept: 0 for one that is, infinite where there
is no telling. Always the same."""
STARTS = 4
"Architectures from which a walk is begun before it is given up."


class NothingKept(ValueError):
    """No architecture that is kept was found."""


class RestrictedSpace(Space[Any]):
    """A space without those of its architectures that are not kept.

    What is drawn is drawn again until it is kept, which leaves the kept ones as probable beside
    each other as they were: `sample` is uniform. Where none of `tries` is kept, the last of them
    is walked from: neighbours in random order, always to the first that is nearer, up to one that
    is kept. Such architectures lie near the border and are not uniform.

    Args:
        whole: the space.
        over: says what is kept.
        block: how many are drawn, and asked about, together.
        tries: how many are drawn before the walk.
        nothing: says in a line that nothing is kept, given the nearest architecture.
    """

    def __init__(
        self,
        whole: Space[Any],
        over: Over,
        *,
        block: int,
        tries: int,
        nothing: Callable[[Any], str],
    ):
        self.whole, self.over = whole, over
        self.block, self.tries, self.nothing = block, tries, nothing
        self.name, self.scales = whole.name, whole.scales  # type: ignore[misc]  # of this alone

    def keeps(self, architectures: Sequence[Any]) -> list[bool]:
        """Which of them are kept."""
        return [far <= 0 for far in self.over(architectures)]

    def sample(self, rng: random.Random) -> Any:
        return self.drawn(lambda: self.whole.sample(rng), rng)

    def drawn(
        self,
        draw: Callable[[], Any],
        rng: random.Random,
        among: Callable[[Any], bool] = anything,
    ) -> Any:
        drawn = partial(self.whole.drawn, draw, rng, among)
        some: list[Any] = []
        for _ in range(ceil(self.tries / self.block)):
            some = [drawn() for _ in range(self.block)]
            for architecture in compress(some, self.keeps(some)):
                return architecture
        nearest, least = some[-1], inf
        for _ in range(STARTS):
            end, far = self._walked(some[-1], rng, among)
            if far <= 0:
                return end
            if far < least:
                nearest, least = end, far
            some = [drawn()]
        raise NothingKept(self.nothing(nearest))

    def _walked(
        self, start: Any, rng: random.Random, among: Callable[[Any], bool]
    ) -> tuple[Any, float]:
        """Where a walk ends, and how far that is from being kept."""
        here, [far] = start, self.over([start])
        moved = far < inf  # else nothing says which way
        while moved and far > 0:
            near = [a for a in self.whole.neighbours(here) if among(a)]
            rng.shuffle(near)
            moved = False
            for neighbour in near:
                [its] = self.over([neighbour])
                if its < far:
                    here, far, moved = neighbour, its, True
                    break
        return here, far

    def neighbours(self, architecture: Any) -> tuple[Any, ...]:
        near = self.whole.neighbours(architecture)
        return tuple(compress(near, self.keeps(near)))

    def mutate(self, architecture: Any, rng: random.Random) -> Any:
        """A neighbour that is kept, uniformly; any other one that is kept where none is."""
        near = list(self.whole.neighbours(architecture))
        rng.shuffle(near)
        for start in range(0, len(near), self.block):
            some = near[start : start + self.block]
            for neighbour in compress(some, self.keeps(some)):
                return neighbour
        return self.sample(rng)

    def cross(self, first: Any, second: Any, rng: random.Random) -> Any:
        return self.drawn(lambda: self.whole.cross(first, second, rng), rng)

    def enumerate(self) -> Iterator[Any]:
        return (a for a in self.whole.enumerate() if self.keeps((a,))[0])

    def parse(self, text: str) -> Any:
        return self.whole.parse(text)

    def canonical(self, architecture: Any) -> Any:
        return self.whole.canonical(architecture)

    def terms(self, architecture: Any) -> Mapping[Any, int]:
        return self.whole.terms(architecture)

    def build(self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int) -> nn.Module:
        return self.whole.build(architecture, scale, inputs=inputs, classes=classes)

    def export(
        self, architecture: Any, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        return self.whole.export(architecture, scale, inputs=inputs, classes=classes)

    def features(self, architecture: Any) -> Mapping[str, float | str]:
        return self.whole.features(architecture)

    def graphs(self, architecture: Any) -> tuple[CellGraph, ...]:
        return self.whole.graphs(architecture)


class RestrictedPrunableSpace(RestrictedSpace, PrunableSpace[Any]):
    """Of a space with supernets, whose partial architectures are those of the whole space."""

    whole: PrunableSpace[Any]

    @property
    def removed_at_once(self) -> int:  # type: ignore[override]  # the whole space's
        """As of the whole space."""
        return self.whole.removed_at_once

    def supernet(self) -> Any:
        return self.whole.supernet()

    def everything(self) -> Any:
        return self.whole.everything()

    def kept(self, architecture: Any) -> tuple[Choice, ...]:
        return self.whole.kept(architecture)

    def crowded(self, architecture: Any) -> tuple[Crowd, ...]:
        return self.whole.crowded(architecture)

    def without(self, architecture: Any, *removed: Choice) -> Any:
        return self.whole.without(architecture, *removed)

    def describe(self, choice: Choice) -> str:
        return self.whole.describe(choice)


def restricted(
    whole: Space[Any],
    over: Over,
    *,
    block: int = 1,
    tries: int,
    nothing: Callable[[Architecture], str],
) -> RestrictedSpace:
    """What is kept of a space, with supernets if that has them; see `RestrictedSpace`."""
    kind = RestrictedPrunableSpace if isinstance(whole, PrunableSpace) else RestrictedSpace
    return kind(whole, over, block=block, tries=tries, nothing=nothing)
