"""The front door: whatever it is, what holds of it."""

from collections.abc import Iterator, Mapping
from inspect import isfunction
from typing import Any

from untrained.conformance.finding import Finding
from untrained.conformance.scores import findings_of_score
from untrained.conformance.searchers import findings_of_searcher
from untrained.conformance.spaces import findings_of_space
from untrained.plugins import find
from untrained.runs.engines import interruptible, one_thread
from untrained.runs.setup import score_name
from untrained.scores import SCORES, Score
from untrained.searchers import SEARCHERS, Searcher
from untrained.settings import Setting
from untrained.spaces import SPACES, Space, get_space

Subject = str | Score | type[Score] | Space[Any] | type[Searcher]
"A name of ours, `package.module:name`, or the thing itself."


def check(subject: Subject, settings: Mapping[str, Setting] | None = None) -> tuple[Finding, ...]:
    """What somebody's score, space or searcher keeps of its contract, and how it behaves.

    A score is asked about small networks of several kinds, on the bundled digits; a space about
    some of its architectures; a searcher proposes architectures of NAS-Bench-201, whose scores are
    made up. The network, the process and the subject are left as they were.

    Args:
        subject: a name (`naswot`, `label_alignment@2`, `nasbench201`, `evolution`),
            `package.module:name`, of a function that makes a space too; a score or its class, a
            space, or a searcher's class. A name that a score shares with a searcher is the
            score's.
        settings: of the score and its probe, as in `--score-settings`; or options of the searcher.

    Returns:
        A finding for each statement. The contract is kept unless one of them `breaks`.

    Raises:
        ValueError: nothing of that name, or a setting that it does not have.

    Example:
        >>> found = {finding.statement: finding for finding in check("parameters")}
        >>> found["needs no labels"].verdict, found["leaves out operations without effect"].holds
        ('holds', False)
    """
    return tuple(each_finding(subject, settings or {}))


def each_finding(subject: Subject, settings: Mapping[str, Setting]) -> Iterator[Finding]:
    """The findings of `check`, each as soon as it is there."""
    name, found = _found(subject)
    with one_thread(), interruptible():
        if _is_kind(found, Score):
            yield from findings_of_score(found, None, name, settings)
        elif isinstance(found, Score):
            yield from findings_of_score(type(found), found, name, settings)
        elif _is_kind(found, Searcher):
            yield from findings_of_searcher(found, settings)
        elif isinstance(found, Space):
            yield from findings_of_space(found, settings)
        else:
            raise ValueError(
                f"expected a score's class, a space or a searcher's class, which derive from "
                f"Score, Space and Searcher of untrained, or a function of choose, inputs and "
                f"classes, got {found!r}"
            )


def _found(subject: Subject) -> tuple[str, Any]:
    """The name of what is to be checked, and it."""
    if isinstance(subject, str):
        known: dict[str, Any] = {**SEARCHERS, **SPACES, **SCORES}
        found = find("score, space or searcher", score_name(subject), known, object)
        if subject != score_name(subject) and not _is_kind(found, Score):
            raise ValueError(f"expected epochs after the @ of a score alone, got {subject!r}")
        return subject, get_space(subject) if isfunction(found) else found
    kind_of = subject if isinstance(subject, type) else type(subject)
    return f"{kind_of.__module__}:{kind_of.__qualname__}", subject


def _is_kind(found: object, of: type) -> bool:
    return isinstance(found, type) and issubclass(found, of)
