"""What a choice may be. Every option has a text without spaces, by which it is named."""

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Any

from torch import Tensor, nn

NOTHING, AND, OR = "-", "+", "|"
"No member; between members of a subset; between operations that an edge keeps."


class Options(ABC):
    """The options of one choice, in a fixed order; equal where their texts are."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """The text of each option."""

    @abstractmethod
    def sample(self, rng: random.Random) -> str:
        """One of them, uniformly."""

    @abstractmethod
    def near(self, text: str) -> tuple[str, ...]:
        """Other options that are one step away."""

    @abstractmethod
    def value(self, text: str) -> Any:
        """What the text stands for; KeyError where it stands for nothing."""

    @abstractmethod
    def features(self, text: str) -> Mapping[str, float | str]:
        """The option as numbers, where their order means something, and as words, by name."""

    def __contains__(self, text: object) -> bool:
        try:
            self.value(str(text))
        except KeyError:
            return False
        return True

    def __str__(self) -> str:
        shown = [*itertools.islice(self, 9)]
        return ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "")


@dataclass(frozen=True)
class OneOf(Options):
    """One of several values."""

    texts: tuple[str, ...]
    values: tuple[Any, ...] = field(compare=False)

    @classmethod
    def of(cls, options: Iterable[Any] | Mapping[str, Any], reserved: str = "") -> "OneOf":
        """From values, or texts with values; ValueError for texts that cannot be told apart."""
        named = options if isinstance(options, Mapping) else None
        values = tuple(named.values() if named else options)
        texts = tuple(map(str, named) if named else map(text_of, values))
        wrong = [t for t in texts if not t or any(c.isspace() or c in f"={reserved}" for c in t)]
        twice = [t for t in texts if texts.count(t) > 1]
        if not texts or wrong or twice:
            got = f"{(wrong or twice)[0]!r}{'' if wrong else ' twice'}" if texts else "none"
            raise ValueError(
                f"expected options, one or more, whose texts differ and hold no space, = or "
                f"{' or '.join(reserved) or 'line end'}, got {got}; name them, as in "
                f'{{"small": option, "large": other}}'
            )
        return cls(texts, values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def sample(self, rng: random.Random) -> str:
        return rng.choice(self.texts)

    def near(self, text: str) -> tuple[str, ...]:
        """All others."""
        return tuple(other for other in self.texts if other != text)

    def value(self, text: str) -> Any:
        if text not in self.texts:
            raise KeyError(text)
        return self.values[self.texts.index(text)]

    def features(self, text: str) -> Mapping[str, float | str]:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
        return {"": float(self.value(text)) if numbers else text}


@dataclass(frozen=True)
class Integers(Options):
    """One of equally spaced whole numbers."""

    numbers: range

    def __iter__(self) -> Iterator[str]:
        return map(str, self.numbers)

    def sample(self, rng: random.Random) -> str:
        return str(rng.choice(self.numbers))

    def near(self, text: str) -> tuple[str, ...]:
        """1, 2, 4, ... steps up and down."""
        place = self.numbers.index(self.value(text))
        steps = [1 << k for k in range(len(self.numbers).bit_length())]
        places = [place + sign * step for step in steps for sign in (-1, 1)]
        return tuple(str(self.numbers[p]) for p in places if 0 <= p < len(self.numbers))

    def value(self, text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) not in self.numbers:
            raise KeyError(text)
        return int(text)

    def features(self, text: str) -> Mapping[str, float | str]:
        return {"": float(self.value(text))}


@dataclass(frozen=True)
class Subset(Options):
    """Some of several values, in their order."""

    members: OneOf
    least: int
    most: int

    def __iter__(self) -> Iterator[str]:
        for count in range(self.least, self.most + 1):
            yield from map(_joined, itertools.combinations(self.members.texts, count))

    def sample(self, rng: random.Random) -> str:
        counts = range(self.least, self.most + 1)
        weights = [comb(len(self.members.texts), count) for count in counts]
        [count] = rng.choices(counts, weights)
        return self._text(set(rng.sample(self.members.texts, count)))

    def near(self, text: str) -> tuple[str, ...]:
        """One member more, less or exchanged."""
        kept = set(self._split(text))
        others = [t for t in self.members.texts if t not in kept]
        sets = [kept | {t} for t in others] + [kept - {t} for t in kept]
        sets += [kept - {gone} | {new} for gone in kept for new in others]
        fitting = [s for s in sets if self.least <= len(s) <= self.most]
        return tuple(sorted(self._text(s) for s in fitting))

    def value(self, text: str) -> tuple[Any, ...]:
        parts = self._split(text)
        if self._text(set(parts)) != text or not self.least <= len(parts) <= self.most:
            raise KeyError(text)
        return tuple(self.members.value(part) for part in parts)

    def features(self, text: str) -> Mapping[str, float | str]:
        kept = self._split(text)
        return {member: str(member in kept) for member in self.members.texts}

    def _text(self, kept: set[str]) -> str:
        return _joined([t for t in self.members.texts if t in kept])

    @staticmethod
    def _split(text: str) -> list[str]:
        return [] if text == NOTHING else text.split(AND)


@dataclass(frozen=True)
class Operations(OneOf):
    """One of several modules, or of functions that make one; `a|b` stands for the sum of both."""

    def value(self, text: str) -> nn.Module:
        made = [super(Operations, self).value(part) for part in text.split(OR)]
        modules = [one if isinstance(one, nn.Module) else one() for one in made]
        return modules[0] if len(modules) == 1 else Sum(modules)

    def __contains__(self, text: object) -> bool:
        return all(part in self.texts for part in str(text).split(OR))

    def features(self, text: str) -> Mapping[str, float | str]:
        return {"": text}


class Sum(nn.Module):
    """The sum of what several modules give for the same input."""

    def __init__(self, modules: Iterable[nn.Module]):
        super().__init__()
        self.kept = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (module(x) for module in self.kept)
        for other in others:
            first = first + other
        return first


def text_of(option: Any) -> str:
    """Of a function or class its name, of anything else what Python writes, without spaces.

    Example:
        >>> [text_of(option) for option in ("relu", nn.ReLU, (3, 5), 0.1, None)]
        ['relu', 'ReLU', '(3,5)', '0.1', 'None']
    """
    if isinstance(option, str):
        return option
    if isinstance(option, Callable):  # type: ignore[arg-type]
        return getattr(option, "__name__", type(option).__name__)
    return repr(option).replace(" ", "")


def _joined(texts: Iterable[str]) -> str:
    return AND.join(texts) or NOTHING
