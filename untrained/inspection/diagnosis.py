"""Findings in the order of causes: what another one explains is not said again."""

from collections.abc import Callable, Iterable, Iterator

from untrained.inspection import blocked, depth, held, scale
from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding

Rule = Callable[[Evidence], Iterable[Finding]]

STRUCTURE: tuple[Rule, ...] = (
    *(held.unused, held.coupled, scale.probabilities),
    *(blocked.zero_head, scale.outliers, held.frozen, held.tied),
)
"Each for itself."
CAUSES: tuple[tuple[Rule, ...], ...] = (
    (blocked.not_finite,),
    (scale.images,),
    (blocked.zero, blocked.alike),
    (blocked.dead, blocked.flat, scale.weights),
    (depth.gradients, depth.distinct),
    (scale.logits,),
    (held.concentrated,),
)
"Those of a line are asked only where none before it found what hinders training."


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """What hinders training, causes first; then what is worth knowing."""
    found = [*_causes(evidence), *(f for rule in STRUCTURE for f in rule(evidence))]
    return tuple(sorted(found, key=lambda finding: not finding.hinders))


def _causes(evidence: Evidence) -> Iterator[Finding]:
    for rules in CAUSES:
        found = [finding for rule in rules for finding in rule(evidence)]
        yield from found
        if any(finding.hinders for finding in found):
            return
