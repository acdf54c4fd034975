"""The conformance of a score."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from untrained.conformance import behaviour, conduct, damage, declared
from untrained.conformance.declared import Declared
from untrained.conformance.examined import Examined
from untrained.conformance.finding import Finding, findings
from untrained.images import load_images
from untrained.runs.readings import ours
from untrained.runs.setup import check_probe, setup_of
from untrained.scores import Score
from untrained.settings import Setting, changed
from untrained.spaces import SPACES


def findings_of_score(
    kind: type[Score], made: Score | None, name: str, settings: Mapping[str, Setting]
) -> Iterator[Finding]:
    """What holds of a score; a class that no run could take is told, and asked no further.

    Args:
        kind: its class.
        made: a score that is there; None for one by its defaults.
        name: as of `ScoreSetup`.
        settings: in place of its own.

    Raises:
        ValueError: settings that it does not have, or a probe that the digits cannot give.
    """
    what = Declared(kind, kind if made is None else lambda: made)
    broken = False
    for found in findings("contract", declared.CONTRACT, what):
        broken = broken or found.breaks
        yield found
    yield from findings("conduct", declared.CONDUCT, what)
    if broken:
        return
    setup = setup_of(kind, name, SPACES["nasbench201"], settings)
    if made is not None:
        setup = replace(setup, score=changed(made, settings, name))
    images = load_images("digits")
    check_probe(setup, images)
    examined = Examined(setup, images)
    yield from findings("contract", conduct.CONTRACT, examined)
    # A run does not put back what scores of this package leave, so these must leave nothing.
    yield from findings("contract" if ours(setup.score) else "conduct", conduct.TRACES, examined)
    yield from findings("conduct", conduct.CONDUCT, examined)
    for checks in (behaviour.BEHAVIOUR, damage.BEHAVIOUR):
        yield from findings("behaviour", checks, examined)
