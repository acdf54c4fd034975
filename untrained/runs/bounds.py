"""How far networks exceed limits: what is counted, looked up or measured of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import torch

from untrained.images import ProbeSpec, draw_probe
from untrained.runs.failures import attempt
from untrained.runs.limit import Limit, shown
from untrained.runs.session import Session
from untrained.runs.setup import make_setup, training_scale
from untrained.runs.streams import stream
from untrained.runs.sums import summed
from untrained.runs.tasks import build
from untrained.runs.values import Values
from untrained.scores import Reading, Score
from untrained.scores.size import MultiplyAdds, Parameters
from untrained.settings import Setting
from untrained.spaces import Architecture, Scale, Space

ADDED, COSTLY = 1000, 20
"""Architectures that are drawn for one within limits, before one is walked to: where sizes are
added up, and where a network has to be built or timed for each."""

COUNTED: dict[str, Score] = {"parameters": Parameters(), "macs": MultiplyAdds()}
MEASURED: dict[str, tuple[str, dict[str, Setting]]] = {
    "memory": ("memory", {}),
    "training_memory": ("training_memory", {}),
    "latency": ("latency", {}),
    "latency_32": ("latency", {"count": 32}),
    "latency_onnx": ("latency", {"runtime": "onnx"}),
    "latency_onnx_32": ("latency", {"runtime": "onnx", "count": 32}),
}
"Quantity -> the score that measures it, and its settings; the cheaper ones first."


@dataclass(frozen=True)
class Bounds:
    """Limits on quantities that are measured together."""

    space: Space[Any]
    limits: tuple[Limit, ...]
    measure: Callable[[Architecture], Sequence[Reading]]
    "The quantities of a canonical architecture."
    tries: int
    known: dict[Architecture, Sequence[Reading]] = field(default_factory=dict)
    "By architecture, in canonical form and as asked for."

    def readings(self, architecture: Architecture) -> Sequence[Reading]:
        """Its quantities, in the order of the limits."""
        if architecture not in self.known:
            canonical = self.space.canonical(architecture)
            if canonical not in self.known:
                self.known[canonical] = self.measure(canonical)
            self.known[architecture] = self.known[canonical]
        return self.known[architecture]

    def over(self, architectures: Sequence[Architecture]) -> list[float]:
        """max over limits of (value / most - 1), or 0; infinite where one cannot be measured."""
        return [self._over(architecture) for architecture in architectures]

    def _over(self, architecture: Architecture) -> float:
        pairs = zip(self.readings(architecture), self.limits, strict=True)
        shares = [inf if r.value is None else r.value / limit.most for r, limit in pairs]
        return max(max(shares) - 1, 0.0)

    def told(self, architecture: Architecture) -> str:
        """Its quantities, for people."""
        pairs = zip(self.limits, self.readings(architecture), strict=True)
        return " and ".join(
            f"no {limit.quantity} ({reading.reason})"
            if reading.value is None
            else f"{limit.quantity} {shown(limit.quantity, reading.value)}"
            for limit, reading in pairs
        )

    def nothing(self, nearest: Architecture) -> str:
        """That nothing is within the limits, in a line."""
        return (
            f"limit: expected a network with {' and '.join(map(str, self.limits))}, found none: "
            f"the nearest, {self.space.canonical(nearest)}, has {self.told(nearest)}; raise the "
            f"limit, or make networks smaller by --channels or --cells"
        )


def all_bounds(session: Session, limits: Sequence[Limit]) -> list[Bounds]:
    """Of the sizes that are counted or looked up together; then of each that is measured."""
    cheap = tuple(limit for limit in limits if limit.quantity not in MEASURED)
    found = [_counted(session, cheap)] if cheap else []
    named = {limit.quantity: limit for limit in limits}
    return found + [_measured(session, named[name]) for name in MEASURED if name in named]


def _counted(session: Session, limits: tuple[Limit, ...]) -> Bounds:
    names = tuple(limit.quantity for limit in limits if limit.quantity in COUNTED)
    count = counter(session, tuple(COUNTED[name] for name in names)) if names else None

    def measure(architecture: Architecture) -> list[Reading]:
        counted = dict(zip(names, count(str(architecture)), strict=True)) if count else {}
        return [
            counted.get(limit.quantity) or looked_up(limit.quantity, str(architecture))
            for limit in limits
        ]

    built = names and len(session.space.terms(session.space.sample(random.Random(0)))) == 1
    return Bounds(session.space, limits, measure, COSTLY if built else ADDED)


def looked_up(quantity: str, architecture: str) -> Reading:
    """A quantity of a device, by the benchmark's table."""
    from untrained.tables.hardware import of_device  # with polars, which others do without

    name, _, device = quantity.partition(":")
    value = of_device(name, device).get(architecture)
    return Reading(value, "" if value is not None else "the table has no row for it")


def counter(session: Session, scores: tuple[Score, ...]) -> Callable[[str], Sequence[Reading]]:
    """What counts sizes of networks at the scale of the training, by their text.

    They are added up from those of few networks where the space says how; else counted of a
    network without memory for weights, or where it cannot do without, of one with.
    """
    space, images, scale = session.space, session.images, counted_scale(session)
    probe = draw_probe(images, ProbeSpec(count=1), stream("size"))
    kind = (session.config.space, scale, images.shape, len(images.classes), scores)

    def of(text: str, device: str) -> tuple[Reading, ...]:
        with torch.device(device):
            network = build(session.config.space, text, scale, images)
        shown = replace(probe, inputs=probe.inputs.to(device))
        return tuple(score(network, shown, stream("size")) for score in scores)

    def whole(text: str) -> tuple[Reading, ...]:
        found, failure = attempt(lambda: of(text, "meta"))
        if found is None:
            found, failure = attempt(lambda: of(text, "cpu"))
        return found or (Reading(None, failure.reason if failure else ""),) * len(scores)

    return lambda text: summed(space, text, kind, whole)


def counted_scale(session: Session) -> Scale:
    """That of the training, without an auxiliary head, which what is exported has not."""
    scale = training_scale(session.space, session.config)
    without: dict[str, Any] = {"auxiliary": False} if hasattr(scale, "auxiliary") else {}
    return replace(scale, **without)


def _measured(session: Session, limit: Limit) -> Bounds:
    name, settings = MEASURED[limit.quantity]
    if name == "training_memory":
        settings = {"count": session.config.recipe.batch, "at_most": True}
    setup = make_setup(name, session.space, settings)
    setup = replace(setup, scale=counted_scale(session))
    measuring = replace(session.measuring, setups=(setup,))
    values = Values(measuring, setup, 1, limit.quantity)
    # One at a time: networks that are timed together would slow each other down.
    return Bounds(session.space, (limit,), lambda a: values.readings([a])[0], COSTLY)
