"""The conformance of a score."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from untrained.conformance import behaviour, conduct, damage, declared
from untrained.conformance.declared import Declared
from untrained.conformance.examined import Examined
from untrained.conformance.finding import Finding, Part, findings
from untrained.images import load_images
from untrained.runs.readings import ours
from untrained.runs.setup import check_probe, setup_of
from untrained.scores import Score
from untrained.settings import Setting, changed
from untrained.spaces import SPACES


def findings_of_score(
    kind: type[Score], made: Score | None, name: str, settings: Mapping[str, Setting]
) -> Iterator[Finding]:
    """What holds of a score.

    A class that no run could take is asked no further, nor a score that has no number at all.

    Args:
        kind: its class.
        made: a score that is there; None for one by its defaults.
        name: as of `ScoreSetup`.
        settings: in place of its own.

    Raises:
        ValueError: settings that it does not have, or a probe that the digits cannot give.
    """
    what = Declared(kind, kind if made is None else lambda: made)
    said = [*findings("contract", declared.CONTRACT, what)]
    yield from said
    yield from findings("conduct", declared.CONDUCT, what)
    if any(finding.breaks for finding in said):
        return
    setup = setup_of(kind, name, SPACES["nasbench201"], settings)
    if made is not None:
        setup = replace(setup, score=changed(made, settings, name))
    images = load_images("digits")
    check_probe(setup, images)
    yield from _asked(Examined(setup, images))


def _asked(examined: Examined) -> Iterator[Finding]:
    """What is found by asking it."""
    yield from findings("contract", conduct.CONTRACT, examined)
    # A run does not put back what scores of this package leave, so these must leave nothing.
    part: Part = "contract" if ours(examined.score) else "conduct"
    yield from findings(part, conduct.TRACES, examined)
    yield from findings("conduct", conduct.CONDUCT, examined)
    yield from findings("behaviour", behaviour.REACH, examined)
    if examined.numbers:
        yield from findings("behaviour", behaviour.BEHAVIOUR | damage.BEHAVIOUR, examined)
