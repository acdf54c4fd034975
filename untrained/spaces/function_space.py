"""A space from a function that makes networks, and chooses as it goes: define-by-run.

def make(choose, inputs, classes):
    width = choose("width", (16, 24, 32))
    ...
    return nn.Sequential(...)
"""

import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import nn

from untrained.spaces import choose as choose_module
from untrained.spaces import options as options_module
from untrained.spaces.choose import Choose, Pick, decided
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph
from untrained.spaces.layer_graph import layer_graph
from untrained.spaces.options import OR, Operations, Options
from untrained.spaces.space import Architecture, Choice, PrunableSpace, Scale, Shape, Space

Make = Callable[..., nn.Module]
SHAPE, CLASSES = (3, 32, 32), 10
"What networks are made for while choices are asked for, and no network is wanted."
NONE = "none"
"The operation that a supernet leaves out."


@dataclass(frozen=True, order=True)
class Choices(Architecture):
    """The text of every choice that the function made, in the order in which it asked."""

    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.pairs)

    @property
    def partial(self) -> bool:
        return any(OR in text for _, text in self.pairs)


@dataclass(frozen=True)
class FunctionScale(Scale):
    """How large a network is built: by what `choose.channels` is multiplied with."""

    width: float = 1.0


class FunctionSpace(Space[Choices]):
    """All networks that a function makes.

    The function may ask for anything that earlier choices call for; it must ask for the same
    whenever these are the same, whatever the images are. To learn what it asks for, it is called
    without memory for weights (torch's `meta` device) where that works.

    Args:
        make: called as `make(choose, inputs=channels, classes=...)`, and with `size` (the side of
            the images in pixels; height and width where they differ) where it has such an
            argument.
        name: its import path.

    Raises:
        ValueError: it raises, returns no module or chooses nothing.
    """

    initial_weights: ClassVar = "as_built"
    scales: ClassVar[Mapping[str, FunctionScale]] = {
        "full": FunctionScale(),
        "narrow": FunctionScale(0.5),
        "small": FunctionScale(0.25),
        "thin": FunctionScale(0.125),
    }

    def __init__(self, make: Make, name: str):
        self.make, self.name = make, name  # type: ignore[misc]  # of this alone
        self.sized = "size" in inspect.signature(make).parameters
        self.device = "meta"
        self.options_of = lru_cache(maxsize=4096)(self._options_of)

    def parse(self, text: str) -> Choices:
        """From `width=24 depth=2`, in any order."""
        asked = {}
        for word in text.split():
            name, equals, option = word.partition("=")
            if not (name and equals) or name in asked:
                raise ValueError(
                    f"not an architecture of {self.name}: expected each choice once, as in "
                    f"{self.first()}, got {word!r} in {text!r}"
                )
            asked[name] = option
        found = self._asked(decided(asked))
        if more := [name for name in asked if name not in found.texts]:
            near = get_close_matches(more[0], found.texts, n=1)
            raise ValueError(
                f"not an architecture of {self.name}: expected the choices "
                f"{', '.join(found.texts)}, got {more[0]} too in {text!r}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        return _choices(found)

    def first(self) -> Choices:
        """The architecture with the first option of every choice."""
        return _choices(self._asked(_first))

    def sample(self, rng: random.Random) -> Choices:
        """Each choice uniformly, in turn.

        So architectures are uniform where no choice depends on another; else those that fewer
        choices lead to are more probable.
        """
        return _choices(self._asked(lambda _, options: options.sample(rng)))

    def neighbours(self, architecture: Choices) -> tuple[Choices, ...]:
        """One choice changed; those that are asked for only then take their first option."""
        changes = self._changes(architecture)
        return tuple(dict.fromkeys(self._changed(architecture, *change) for change in changes))

    def mutate(self, architecture: Choices, rng: random.Random) -> Choices:
        """One of the changes to a neighbour, uniformly; itself where there is none."""
        changes = self._changes(architecture)
        return self._changed(architecture, *rng.choice(changes)) if changes else architecture

    def cross(self, first: Choices, second: Choices, rng: random.Random) -> Choices:
        """Each choice as one of the two has it, by chance; as the other has it, where that one
        was not asked for it."""

        def pick(name: str, options: Options) -> str:
            texts = [dict(each.pairs).get(name) for each in rng.sample((first, second), 2)]
            known = [text for text in texts if text is not None and text in options]
            return known[0] if known else next(iter(options))

        return _choices(self._asked(pick))

    def enumerate(self) -> Iterator[Choices]:
        """Every architecture once: the last choices change first."""
        prefix: list[str] | None = []
        while prefix is not None:
            found = self._asked(_prefixed(prefix))
            yield _choices(found)
            prefix = _next(found)

    def build(
        self, architecture: Choices, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The network, where the function makes it of these choices.

        Raises:
            ValueError: a scale of another space; or it makes other choices, or no module.
        """
        texts = dict(architecture.pairs)
        choose = Choose(decided(texts), **arguments(scale, FunctionScale))
        network = self._made(choose, inputs, classes)
        if list(choose.texts) != list(texts):
            raise ValueError(
                f"{self.name}: expected the choices {', '.join(texts)} of {architecture}, got "
                f"{', '.join(choose.texts)}: choices may depend on earlier ones alone"
            )
        return network

    def export(
        self, architecture: Choices, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        """The module of the function, and what chooses for it."""
        module = sys.modules.get(self.make.__module__, ModuleType(""))
        if getattr(module, "__file__", None) is None or not hasattr(self.make, "__name__"):
            raise ValueError(
                f"{self.name}: expected a function in a file, which can be exported, got "
                f"{self.make!r}"
            )
        pick = f"decided({dict(architecture.pairs)!r})"
        width = arguments(scale, FunctionScale)["width"]
        sizes = self._sizes(inputs, classes)
        made = call(self.make.__name__, (), sizes).replace(
            "(\n", f"(\n    Choose({pick}, {width}),\n", 1
        )
        return source_of(options_module, choose_module, module), made

    def graphs(self, architecture: Choices) -> tuple[CellGraph, ...]:
        """Its layers, of pictures of three channels."""

        def drawn(device: str) -> CellGraph:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                network = self.build(architecture, FunctionScale(), inputs=SHAPE, classes=CLASSES)
                return layer_graph(network, torch.zeros(2, *SHAPE))

        try:
            return (drawn(self.device),)
        except Exception:  # a network may ask for numbers, which there are none of without memory
            return (drawn("cpu"),)

    def features(self, architecture: Choices) -> Mapping[str, float | str]:
        options = self.options_of(architecture)
        return {
            f"{name} {part}".strip(): value
            for name, text in architecture.pairs
            for part, value in options[name].features(text).items()
        }

    def _options_of(self, architecture: Choices) -> Mapping[str, Options]:
        return self._asked(decided(dict(architecture.pairs))).options

    def _changes(self, architecture: Choices) -> list[tuple[str, str]]:
        options = self.options_of(architecture)
        return [(n, other) for n, text in architecture.pairs for other in options[n].near(text)]

    def _changed(self, architecture: Choices, name: str, text: str) -> Choices:
        texts = {**dict(architecture.pairs), name: text}

        def pick(asked: str, options: Options) -> str:
            known = texts.get(asked)
            return known if known is not None and known in options else next(iter(options))

        return _choices(self._asked(pick))

    def _asked(self, pick: Pick) -> Choose:
        """What the function asks for and is given; ValueError says what is wrong with either."""
        choose = Choose(pick)
        try:
            with torch.random.fork_rng(devices=[]), torch.device(self.device):
                self._made(choose, SHAPE, CLASSES)
        except Exception:
            if self.device == "cpu":
                raise
            given = dict(choose.texts)
            again = Choose(lambda n, o: given[n] if n in given else pick(n, o))
            with torch.random.fork_rng(devices=[]), torch.device("cpu"):
                self._made(again, SHAPE, CLASSES)
            self.device = "cpu"
            return again
        return choose

    def _made(self, choose: Choose, inputs: Shape, classes: int) -> nn.Module:
        try:
            network = self.make(choose, **self._sizes(inputs, classes))
        except Exception as error:  # somebody else's function may raise anything
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            said = kind + " ".join(str(error).split())
            chosen = " ".join(f"{n}={t}" for n, t in choose.texts.items())
            smaller = "" if choose.width == 1 else f", with channels times {choose.width:g}"
            where = f"{self.name}, at {chosen or 'its first choice'}{smaller}"
            raise ValueError(f"{where}: {said}") from error
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"{self.name}: expected a function that returns a module, got {network!r}"
            )
        return network

    def _sizes(self, inputs: Shape, classes: int) -> dict[str, Any]:
        channels, height, width = inputs
        size = {"size": height if height == width else (height, width)} if self.sized else {}
        return {"inputs": channels, "classes": classes, **size}


class OperationSpace(FunctionSpace, PrunableSpace[Choices]):
    """A function space whose choices are all operations on edges, so that it has a supernet."""

    def supernet(self) -> Choices:
        whole = self._whole()
        return Choices(tuple((n, OR.join(t for t in o if t != NONE) or NONE) for n, o in whole))

    def everything(self) -> Choices:
        return Choices(tuple((n, OR.join(o)) for n, o in self._whole()))

    def _whole(self) -> list[tuple[str, Options]]:
        """Each edge with all that it may have."""
        return [*self.options_of(self.first()).items()]

    def kept(self, architecture: Choices) -> tuple[Choice, ...]:
        pairs = enumerate(architecture.pairs)
        return tuple(Choice(i, each) for i, (_, text) in pairs for each in text.split(OR))

    def without(self, architecture: Choices, *removed: Choice) -> Choices:
        left = [choice for choice in self.kept(architecture) if choice not in removed]
        return Choices(
            tuple(
                (name, OR.join(choice.operation for choice in left if choice.edge == i))
                for i, (name, _) in enumerate(architecture.pairs)
            )
        )

    def describe(self, choice: Choice) -> str:
        return f"{choice.operation} on {self.first().pairs[choice.edge][0]}"


def space_of(make: Make, name: str) -> FunctionSpace:
    """The space of a function; with supernets where it chooses nothing but operations."""
    try:
        space = FunctionSpace(make, name)
    except (TypeError, ValueError) as error:  # no signature
        raise ValueError(f"space {name!r}: expected a function, got {make!r}") from error
    options = space.options_of(space.first())
    if not options:
        raise ValueError(
            f"space {name!r}: expected a function that chooses, as in "
            f'choose("width", (16, 24, 32)), got one that makes one network'
        )
    if all(isinstance(each, Operations) for each in options.values()):
        return OperationSpace(make, name)
    return space


def _choices(choose: Choose) -> Choices:
    return Choices(tuple(choose.texts.items()))


def _first(name: str, options: Options) -> str:
    return next(iter(options))


def _prefixed(prefix: list[str]) -> Pick:
    """These options in turn, then the first of each choice."""
    left = iter(prefix)
    return lambda name, options: next(left, None) or next(iter(options))


def _next(choose: Choose) -> list[str] | None:
    """The options up to the last choice that has a further one, with that; None at the end."""
    texts = [*choose.texts.items()]
    for place in reversed(range(len(texts))):
        name, text = texts[place]
        following = iter(choose.options[name])
        any(each == text for each in following)  # goes on behind it
        if (further := next(following, None)) is not None:
            return [t for _, t in texts[:place]] + [further]
    return None
