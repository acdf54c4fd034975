"""What was found of one statement about a score, a space or a searcher."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from untrained.runs.failures import attempt

S = TypeVar("S")
Part = Literal["contract", "conduct", "behaviour"]


class Verdict(NamedTuple):
    """Whether a statement holds, and by what it is seen."""

    holds: bool | None
    "None where it cannot be told."
    reason: str
    "Why, with the numbers."


Check = Callable[[S], Verdict]


@dataclass(frozen=True)
class Finding:
    """A statement about a score, a space or a searcher, and whether it holds."""

    statement: str
    "Without its subject: `gives the same bits for the same generator`."
    holds: bool | None
    "None where it cannot be told."
    reason: str
    "Why, with the numbers."
    part: Part
    """`contract`: a run relies on it; `conduct`: a run makes up for it, other callers must;
    `behaviour`: to be known, neither good nor bad."""

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "holds", False: "does not hold", None: "cannot be told"}[self.holds]

    @property
    def breaks(self) -> bool:
        """Whether a part of the contract is broken."""
        return self.part == "contract" and self.holds is False


def findings(part: Part, checks: Mapping[str, Check[S]], subject: S) -> Iterator[Finding]:
    """A finding for each check; a check that somebody else's code ends by an error fails."""
    for statement, check in checks.items():
        yield finding(part, statement, check, subject)


def finding(part: Part, statement: str, check: Check[S], subject: S) -> Finding:
    """What one check finds."""
    verdict, failure = attempt(lambda: check(subject))
    if verdict is None:
        assert failure is not None
        verdict = Verdict(False, failure.reason)
    return Finding(statement, *verdict, part)


SHOWN = 3
"Names that are listed of many."


def listed(names: list[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
        ('a, b', 'a, b, c and 2 more')
    """
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def by_kind(said: Mapping[str, str]) -> str:
    """What is said of each kind of network, equal things once.

    Example:
        >>> by_kind({"cell": "1.5", "CNN": "no path", "MLP": "no path"})
        '1.5 (cell); no path (CNN, MLP)'
    """
    kinds: dict[str, list[str]] = {}
    for kind, text in said.items():
        kinds.setdefault(text, []).append(kind)
    return "; ".join(f"{text} ({', '.join(of)})" for text, of in kinds.items())
