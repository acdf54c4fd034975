"""What a score's class says of itself, before any network is seen."""

import pickle
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, NamedTuple

from untrained.conformance.finding import Check, Verdict
from untrained.runs.setup import setup_of
from untrained.scores import Score
from untrained.spaces import SPACES


class Declared(NamedTuple):
    """A score's class, and how one is made."""

    kind: type[Score]
    make: Callable[[], Score]
    "A score as it is to be examined."


def is_a_frozen_value(declared: Declared) -> Verdict:
    """Equal scores are one question, so that nothing is measured twice."""
    kind, parameters = declared.kind, getattr(declared.kind, "__dataclass_params__", None)
    if not is_dataclass(kind) or not getattr(parameters, "frozen", False):
        return Verdict(False, f"expected @dataclass(frozen=True), got class {kind.__name__}")
    one, other = declared.make(), declared.make()
    if one != other or hash(one) != hash(other):
        return Verdict(False, "two with equal settings are not equal, or have other hashes")
    return Verdict(True, repr(one) if len(repr(one)) < 80 else kind.__name__)


def declares_its_direction(declared: Declared) -> Verdict:
    """Searches rank by it."""
    found: Any = getattr(declared.kind, "higher_is_better", None)
    if not isinstance(found, bool):
        return Verdict(False, f"expected higher_is_better to be True or False, got {found!r}")
    return Verdict(True, f"{'higher' if found else 'lower'} is better")


def declares_what_it_is_shown(declared: Declared) -> Verdict:
    """Scale, probe, weights and epochs are such as there are."""
    kind = declared.kind
    setup = setup_of(kind, kind.__name__, SPACES["nasbench201"], {})
    weights = f"weights {setup.weights}" if setup.weights else "no weights of its own"
    trained = f", epochs before: {setup.epochs}" if setup.epochs else ""
    return Verdict(
        True, f"{setup.probe.count} images, {kind.network} networks, {weights}{trained}"
    )


def says_what_it_measures(declared: Declared) -> Verdict:
    """Reports show it."""
    meaning: Any = declared.kind.meaning
    if not (isinstance(meaning, str) and meaning.strip()):
        return Verdict(False, "meaning is empty: reports have nothing to say of it")
    return Verdict(True, meaning)


def can_be_sent_to_workers(declared: Declared) -> Verdict:
    """As its module and name, which a worker process imports."""
    kind = declared.kind
    if kind.__module__ == "__main__":
        return Verdict(False, "defined in the program itself, not in a module: use --workers 0")
    try:
        same = pickle.loads(pickle.dumps(declared.make())) == declared.make()
    except Exception as error:  # somebody else's value may forbid it in any way
        return Verdict(False, f"{type(error).__name__}: {error}; define it at the top of a module")
    return Verdict(same, "" if same else "what comes back is not equal to what was sent")


CONTRACT: dict[str, Check[Declared]] = {
    "is a frozen value": is_a_frozen_value,
    "declares its direction": declares_its_direction,
    "declares what it is shown": declares_what_it_is_shown,
}
CONDUCT: dict[str, Check[Declared]] = {
    "says what it measures": says_what_it_measures,
    "can be sent to worker processes": can_be_sent_to_workers,
}
