"""What a score says of damaged weights, of images that say nothing, and of operations without use."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from untrained.conformance.asking import Answer, ask
from untrained.conformance.examined import (
    NO_NUMBER,
    Examined,
    Pair,
    short,
    unchanged,
)
from untrained.conformance.finding import Check, Verdict
from untrained.conformance.networks import CNN, SPARES
from untrained.images import Probe

NAN, INFINITY = float("nan"), float("inf")


def leaves_out_what_has_no_effect(examined: Examined) -> Verdict:
    """Operations that are never called, whose result is dropped, or is multiplied by zero."""
    before = examined.numbers.get("CNN")
    if before is None:
        return Verdict(None, "it has no number of the CNN")
    pairs = {}
    for spare in SPARES:
        network = examined.network(
            lambda width, shape, classes, spare=spare: CNN(width, shape[0], classes, spare)
        )
        pairs[spare] = Pair(before, ask(examined.score, network, examined.probe).reading)
    return unchanged(pairs, examined.noise)


def refuses_nan(examined: Examined) -> Verdict:
    """A reason, not a number, where a weight is NaN."""
    return _refuses(examined, NAN)


def refuses_infinity(examined: Examined) -> Verdict:
    """A reason, not a number, where a weight is infinite."""
    return _refuses(examined, INFINITY)


def _refuses(examined: Examined, value: float) -> Verdict:
    def damaged(network: nn.Module, probe: Probe) -> Probe:
        weight = next(p for p in network.parameters() if p.ndim > 1)
        weight.data.view(-1)[0] = value
        return probe

    pairs = examined.after(damaged)
    if not pairs:
        return Verdict(None, NO_NUMBER)
    kept = {kind: pair.after.value for kind, pair in pairs.items() if pair.after.value is not None}
    if not kept:
        return Verdict(True, "; ".join({pair.after.reason for pair in pairs.values()}))
    if all(kept.get(kind) == pair.before for kind, pair in pairs.items()):
        return Verdict(True, "the same number: it does not read the weights")
    said = ", ".join(f"{short(number)} ({kind})" for kind, number in kept.items())
    return Verdict(False, f"gives {said}, where a weight is {value}")


def answers_where_images_repeat(examined: Examined) -> Verdict:
    """A number, or a reason of its own, where every image is there twice."""
    if len(examined.probe.inputs) < 2:
        return Verdict(None, "its probe is one image")

    def twice(probe: Probe) -> Probe:
        rows = torch.arange(len(probe.inputs)) // 2
        return replace(probe, inputs=probe.inputs[rows], labels=probe.labels[rows])

    return _answers(examined, twice)


def answers_where_images_are_constant(examined: Examined) -> Verdict:
    """A number, or a reason of its own, where all pixels of all images are equal."""
    return _answers(examined, lambda probe: replace(probe, inputs=torch.ones_like(probe.inputs)))


def _answers(examined: Examined, change: Callable[[Probe], Probe]) -> Verdict:
    if not examined.numbers:
        return Verdict(None, NO_NUMBER)
    probe = change(examined.probe)
    answers = {
        kind: ask(examined.score, examined.networks[kind], probe) for kind in examined.numbers
    }
    faults = {kind: answer.fault for kind, answer in answers.items() if answer.fault}
    if faults:
        return Verdict(False, "; ".join(f"{kind}: {fault}" for kind, fault in faults.items()))
    return Verdict(True, "; ".join(_said(kind, answer) for kind, answer in answers.items()))


def _said(kind: str, answer: Answer) -> str:
    value, reason, _ = answer.reading
    return f"{kind}: {reason}" if value is None else f"{short(value)} ({kind})"


BEHAVIOUR: dict[str, Check[Examined]] = {
    "leaves out operations without effect": leaves_out_what_has_no_effect,
    "gives no number of weights that are NaN": refuses_nan,
    "gives no number of infinite weights": refuses_infinity,
    "answers where images repeat": answers_where_images_repeat,
    "answers where all images are constant": answers_where_images_are_constant,
}
