"""What a function that makes networks is given to choose with."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from untrained.spaces.options import AND, OR, Integers, OneOf, Operations, Options, Subset

Pick = Callable[[str, Options], str]
"From the name of a choice and its options to the text of one."
MOST = 1000
"Choices of one architecture; more are taken for a function that does not end."


class Choose:
    """Asks for one option by name; which is decided outside.

    A name that is asked for again gives what it gave before.

    Args:
        pick: decides.
        width: multiplier of `channels`.
    """

    def __init__(self, pick: Pick, width: float = 1.0):
        self.pick, self.width = pick, width
        self.options: dict[str, Options] = {}
        self.texts: dict[str, str] = {}

    def __call__(self, name: str, options: Iterable[Any] | Mapping[str, Any]) -> Any:
        """One of the options: numbers, texts, tuples, functions; or a dict of named values."""
        return self._ask(name, self._named(name, lambda: OneOf.of(options)))

    def integer(self, name: str, low: int, high: int, step: int = 1) -> int:
        """A whole number from `low` to `high`, both included."""
        if step < 1 or high < low:
            raise ValueError(
                f"choice {name!r}: expected low <= high and a step of 1 or more, got "
                f"low={low!r}, high={high!r}, step={step!r}"
            )
        return self._ask(name, Integers(range(low, high + 1, step)))

    def subset(
        self,
        name: str,
        options: Iterable[Any] | Mapping[str, Any],
        at_least: int = 0,
        at_most: int | None = None,
    ) -> tuple[Any, ...]:
        """Some of the options, in their order; all and none of them unless limits say so."""
        members = self._named(name, lambda: OneOf.of(options, AND))
        most = len(members.texts) if at_most is None else at_most
        if not 0 <= at_least <= most <= len(members.texts):
            raise ValueError(
                f"choice {name!r}: expected 0 <= at_least <= at_most <= {len(members.texts)}, the "
                f"number of options, got at_least={at_least!r}, at_most={at_most!r}"
            )
        return self._ask(name, Subset(members, at_least, most))

    def operation(self, name: str, options: Iterable[Any] | Mapping[str, Any]) -> nn.Module:
        """One of several modules, or of functions that make one, on an edge called `name`.

        Where all choices are operations, the space has a supernet, whose edges sum what several
        operations give. An operation called `none` is no part of it.
        """
        found = self._named(name, lambda: OneOf.of(options, OR))
        for value in found.values:
            if not callable(value):  # modules are, too
                raise ValueError(
                    f"choice {name!r}: expected modules, or functions that make one, got {value!r}"
                )
        return self._ask(name, Operations(found.texts, found.values))

    def channels(self, count: int, multiple: int = 1) -> int:
        """So many channels, fewer where a network is built smaller to be scored cheaply.

        Args:
            count: of the whole network.
            multiple: what divides fewer, as the groups of a normalisation must.
        """
        if self.width == 1:
            return count
        return max(multiple, round(count * self.width / multiple) * multiple)

    def _named(self, name: str, make: Callable[[], OneOf]) -> OneOf:
        try:
            return make()
        except ValueError as error:
            raise ValueError(f"choice {name!r}: {error}") from error

    def _ask(self, name: str, options: Options) -> Any:
        if name not in self.options:
            self._check(name)
            self.options[name] = options
            self.texts[name] = self.pick(name, options)
        elif self.options[name] != options:
            raise ValueError(
                f"choice {name!r}: expected the same options each time, got {options} after "
                f"{self.options[name]}; give it another name"
            )
        return options.value(self.texts[name])

    def _check(self, name: str) -> None:
        if not name or any(c.isspace() or c == "=" for c in name):
            raise ValueError(f"expected names of choices without spaces and =, got {name!r}")
        if len(self.options) == MOST:
            raise ValueError(
                f"expected at most {MOST:,} choices, got more, the last {name!r}: does it end?"
            )


def decided(texts: Mapping[str, str]) -> Pick:
    """Gives each choice the option of this text.

    Raises:
        ValueError: where asked, for a name or a text that is not there.
    """

    def pick(name: str, options: Options) -> str:
        if name not in texts:
            raise ValueError(f"expected {name}=..., one of {options}; got no {name}")
        if texts[name] not in options:
            raise ValueError(f"expected {name}=..., one of {options}; got {name}={texts[name]}")
        return texts[name]

    return pick
