"""What scores read of one network on one draw, none of them disturbed by another."""

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any, NamedTuple, TypeVar

from torch import nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.networks.borrowed import same_attributes
from untrained.runs.failures import Failure, Step, attempt, text_of
from untrained.runs.keeping import KeptNetwork
from untrained.runs.setup import ScoreSetup
from untrained.runs.streams import stream
from untrained.runs.surroundings import attempt_apart
from untrained.scores import Reading, Score
from untrained.scores.score import View, ViewScore

T = TypeVar("T")


class Measurement(NamedTuple):
    """What a setup gave on one draw, and in how many seconds."""

    reading: Reading
    seconds: float
    short_training: float = 0.0
    "Seconds of the training that came first; of the draw's setups, the first is charged with it."


def apply_setups(
    network: nn.Module,
    setups: Sequence[ScoreSetup],
    images: Images,
    draw: int,
    device: str,
    step: Step,
) -> list[Measurement]:
    """The measurement of each setup, of one network.

    What several scores view alike is computed once, and its seconds are theirs in equal parts.
    None of them meets what another did to the network, to what is viewed, or to the process.
    Scores of this package keep the contract, as its tests see to; others are made to.
    """
    kept = None if all(ours(setup.score) for setup in setups) else KeptNetwork(network)

    def untouched(call: Callable[[], T], by: object) -> tuple[T | None, Failure | None]:
        if kept is None or ours(by):
            with same_attributes(network):  # some keep, in evaluation mode, what they computed
                return attempt(call, device, step)
        found, failure = attempt_apart(call, device, step, draw)
        changed = kept.restore().parts
        return found, failure or (Failure(CHANGED.format(changed[-1])) if changed else None)

    alike: dict[tuple[View | Score, ProbeSpec], list[ScoreSetup]] = {}
    for setup in setups:
        alike.setdefault((view_of(setup.score), setup.probe), []).append(setup)
    found: dict[ScoreSetup, Measurement] = {}
    for (what, spec), group in alike.items():
        began = time.perf_counter()
        view = partial(viewed, what, network, images, spec, draw, device)
        seen, failure = untouched(view, what)
        spent = (time.perf_counter() - began) / len(group)
        # Those of others come last, and each has a copy of what was seen if it shares that.
        for setup in sorted(group, key=lambda setup: not ours(setup.score)):
            began = time.perf_counter()
            score = setup.score
            if seen is None or failure:
                reading = reading_of(None, failure)
            else:
                shared = len(group) > 1 and not ours(score)
                own = partial(copied, seen, view if shared else None)
                reading = reading_of(*untouched(partial(number, score, own), score))
            found[setup] = Measurement(reading, spent + time.perf_counter() - began)
    return [found[setup] for setup in setups]


CHANGED = (
    "the score changed {} of the network: expected parameters and submodules as they were; let it "
    "work on copy.deepcopy(network)"
)

Seen = tuple[Any, Probe]
"What a view saw, or a score gave, and of which probe."


def ours(score: object) -> bool:
    """Whether a score, or a view, is one of this package, which keep the contract."""
    return type(score).__module__.partition(".")[0] == "untrained"


def view_of(score: Score) -> View | Score:
    """What is to be computed: the score's view if it has one, else the score itself."""
    if not isinstance(score, ViewScore):
        return score
    view, failure = attempt(lambda: score.view)
    return score if view is None or failure else view  # called, the score fails for that reason


def viewed(
    what: View | Score,
    network: nn.Module,
    images: Images,
    spec: ProbeSpec,
    draw: int,
    device: str,
) -> Seen:
    """What a view or score gives of the network on the draw's probe."""
    probe = probe_of(images, spec, draw, device)
    return what(network, probe, stream(draw, "score")), probe


def probe_of(images: Images, spec: ProbeSpec, draw: int, device: str) -> Probe:
    """The draw's probe, which all architectures share; small ones are kept, and copied."""
    key = images.fingerprint, spec, draw, device
    probe = _probes.get(key)
    if probe is None:
        probe = _to(draw_probe(images, spec, stream(draw, "probe")), device)
        if probe.inputs.nbytes > PROBE_BYTES:
            return probe
        if len(_probes) == PROBES:
            del _probes[next(iter(_probes))]
        _probes[key] = probe
    return replace(probe, inputs=probe.inputs.clone(), labels=probe.labels.clone())


PROBES, PROBE_BYTES = 8, 2**21
"Probes that are kept, the latest, and the most that one may take."

_probes: dict[tuple[str, ProbeSpec, int, str], Probe] = {}


def copied(seen: Seen, view: Callable[[], Seen] | None) -> Seen:
    """The same or, if a view is given, a copy; another view where that cannot be copied."""
    if view is None:
        return seen
    try:
        return deepcopy(seen)
    except Exception:  # somebody else's values may forbid it in any way
        return view()


def number(score: Score, own: Callable[[], Seen]) -> Reading:
    """The reading of a score by what is seen."""
    seen, probe = own()
    return checked(score.of(seen, probe) if isinstance(score, ViewScore) else seen)


def reading_of(found: Reading | None, failure: Failure | None) -> Reading:
    """What was read, or the failure in its place."""
    if failure:
        return Reading(None, *failure)
    assert found is not None
    return found


def checked(given: object) -> Reading:
    """A score's reading as plain values; what is no finite number becomes a reason."""
    if not isinstance(given, Reading):
        return Reading(None, f"expected a Reading from the score, got {text_of(given, repr)}")
    value, reason = given[:2]
    if value is None:
        silent = "the score gave neither a value nor a reason"
        return Reading(None, (text_of(reason) if isinstance(reason, str) else "") or silent)
    if not isinstance(value, Real):
        said = text_of(value, repr)
        return Reading(None, f"expected a number in the Reading, got {said}; try float(...)")
    number = float(value)
    return Reading(number) if math.isfinite(number) else Reading(None, f"the score is {number}")


def _to(probe: Probe, device: str) -> Probe:
    return replace(probe, inputs=probe.inputs.to(device), labels=probe.labels.to(device))
