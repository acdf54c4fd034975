"""Architectures in a fixed order, of which no more are in memory than are read at a time."""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from untrained.spaces.space import Architecture, Space

ALL = "all"
RANDOM = re.compile(r"random:([1-9][0-9]{0,8})(?::([0-9]{1,18}))?")
MOST = 10**8
"Architectures of a space beyond which nobody waits for the last."


@dataclass(frozen=True)
class Population:
    """So many architectures, and how to read a part of them."""

    named: str
    "As it was asked for: `all`, `random:1000000`, `list.txt`."
    count: int
    digest: str
    "Stands for what they are and for their order, on whatever machine."
    read: Callable[[int, int], list[Architecture]]
    "Those from one position to before another."

    def plain(self) -> dict[str, str | int]:
        """What is kept of it: which it was."""
        return {"named": self.named, "count": self.count, "digest": self.digest}


def listed(space: Space[Any], texts: Sequence[str]) -> Population:
    """Architectures that somebody names, each once.

    Raises:
        ValueError: a text that is none of the space's.
    """
    each = list(dict.fromkeys(str(space.parse(text)) for text in texts))
    return Population(
        "named", len(each), _digest(each), lambda a, b: [space.parse(text) for text in each[a:b]]
    )


def population_of(space: Space[Any], named: str) -> Population:
    """What a text asks for.

    Args:
        space: whose architectures.
        named: `all` of them, in the order of `Space.enumerate`; `random:N`, or `random:N:SEED`, of
            which each is drawn by a generator of its own, so that some may be equal; or a file
            with a text form a line.

    Raises:
        ValueError: another text, a file that cannot be read or a line that is no architecture, or
            a space that has no end.
    """
    if named == ALL:
        return _whole(space)
    if found := RANDOM.fullmatch(named):
        return _drawn(space, int(found[1]), found[2] or "0", named)
    return _of_file(space, Path(named))


def _whole(space: Space[Any]) -> Population:
    try:
        count = sum(1 for _ in islice(space.enumerate(), MOST + 1))
    except NotImplementedError as error:
        raise ValueError(f"{error}; try random:1000") from error
    if count > MOST:
        raise ValueError(
            f"expected at most {MOST:,} architectures, got all of the space {space.name!r}, which "
            f"has more; try random:1000"
        )
    return Population(ALL, count, _digest([ALL, space.name]), _Stream(space.enumerate))


def _drawn(space: Space[Any], count: int, seed: str, named: str) -> Population:
    def read(start: int, stop: int) -> list[Architecture]:
        each = range(start, min(stop, count))
        return [space.sample(random.Random(f"{seed}/population/{i}")) for i in each]

    return Population(named, count, _digest(["random", str(count), seed, space.name]), read)


def _of_file(space: Space[Any], path: Path) -> Population:
    count, state = 0, hashlib.blake2b(digest_size=8)
    for count, text in enumerate(_lines(path), 1):
        try:
            form = str(space.parse(text))
        except ValueError as error:
            raise ValueError(f"{path}, line {count}: {error}") from error
        state.update(f"{form}\n".encode())
    if not count:
        raise ValueError(f"{path}: expected a text form a line, got an empty file")
    read = _Stream(lambda: (space.parse(text) for text in _lines(path)))
    return Population(path.name, count, state.hexdigest(), read)


def _lines(path: Path) -> Iterator[str]:
    """Those that are not blank."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from filter(None, map(str.strip, file))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"expected all, random:1000 or a file with a text form a line, got {str(path)!r}: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error


class _Stream:
    """Reads parts of what can be read from its beginning alone: in one pass where each comes after
    the one before."""

    def __init__(self, begin: Callable[[], Iterator[Architecture]]):
        self.begin = begin
        self.stream, self.position = begin(), 0

    def __call__(self, start: int, stop: int) -> list[Architecture]:
        if start < self.position:
            self.stream, self.position = self.begin(), 0
        found = list(islice(self.stream, start - self.position, stop - self.position))
        self.position = stop
        return found


def _digest(texts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
