"""Scores that are sums over a network's modules, added up from networks that are small.

    s(a) = sum_k n_k s(a_k)

with the terms a_k and n_k of the space. A few terms serve all architectures.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from untrained.runs.failures import attempt
from untrained.scores import Reading
from untrained.spaces import Space

Readings = tuple[Reading, ...]

CHECKED = 4
"Sums of each kind that are compared with the whole network, in every process."

_known: dict[tuple[Hashable, str], Readings] = {}
_checked: Counter[Hashable] = Counter()
_refuted: set[Hashable] = set()


def summed(
    space: Space[Any], architecture: str, kind: Hashable, whole: Callable[[str], Readings]
) -> Readings:
    """What scores read of an architecture, without building it where its terms are known.

    Args:
        space: names the terms.
        architecture: text form.
        kind: what the readings depend on beside the architecture.
        whole: measures an architecture as a whole, as is done where there are no terms, one of
            them fails, or the first sums turned out to be wrong.
    """
    terms, failure = attempt(lambda: space.terms(space.parse(architecture)))
    if terms is None or failure or len(terms) == 1 or kind in _refuted:
        return whole(architecture)
    found = _added({str(term): n for term, n in terms.items()}, kind, whole)
    if found and _checked[kind] == CHECKED:
        return found
    readings = whole(architecture)
    _checked[kind] += found is not None
    if found and readings != found:
        _refuted.add(kind)
    return readings


def _added(
    terms: Mapping[str, int], kind: Hashable, whole: Callable[[str], Readings]
) -> Readings | None:
    """sum_k n_k s(a_k) for each score s; None where one of them fails."""
    totals: list[float] = []
    for term, n in terms.items():
        if (kind, term) not in _known:
            _known[kind, term] = whole(term)
        values = [reading.value for reading in _known[kind, term]]
        totals = totals or [0.0] * len(values)
        for i, value in enumerate(values):
            if value is None:
                return None
            totals[i] += n * value
    return tuple(map(Reading, totals))
