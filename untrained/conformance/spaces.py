"""The conformance of a space."""

from collections.abc import Iterator, Mapping
from typing import Any

from untrained.conformance import built, supernets, values
from untrained.conformance.finding import Finding, findings
from untrained.conformance.sampled import Sampled
from untrained.settings import Setting, check_known
from untrained.spaces import PrunableSpace, Space


def findings_of_space(space: Space[Any], settings: Mapping[str, Setting]) -> Iterator[Finding]:
    """What holds of a space, by some of its architectures.

    Raises:
        ValueError: settings, of which a space has none.
    """
    check_known("a space", settings, [])
    sampled = Sampled(space)
    yield from findings("contract", values.CONTRACT, sampled)
    yield from findings("contract", built.CONTRACT, sampled)
    if isinstance(space, PrunableSpace):
        yield from findings("contract", supernets.CONTRACT, sampled)
    yield from findings("conduct", values.CONDUCT, sampled)
    yield from findings("behaviour", values.BEHAVIOUR, sampled)
