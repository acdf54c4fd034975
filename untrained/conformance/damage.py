"""What a score says of damaged weights, of images that say nothing, of idle operations."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from untrained.conformance.asking import ask
from untrained.conformance.examined import Examined, Pair, short, shown, unchanged
from untrained.conformance.finding import Check, Verdict, by_kind
from untrained.conformance.networks import SPARES, cnn_with
from untrained.images import Probe

NAN, INFINITY = float("nan"), float("inf")


def leaves_out_what_has_no_effect(examined: Examined) -> Verdict:
    """Operations that are never called, whose result is dropped, or is multiplied by zero."""
    before = examined.numbers.get("CNN")
    if before is None:
        return Verdict(None, "it has no number of the CNN")
    networks = {spare: examined.network(cnn_with(spare)) for spare in SPARES}
    pairs = {
        str(spare): Pair(before, ask(examined.score, network, examined.probe).reading)
        for spare, network in networks.items()
    }
    return unchanged(pairs, dict.fromkeys(pairs, examined.noise["CNN"]))


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
    kept = {kind: pair.after.value for kind, pair in pairs.items() if pair.after.value is not None}
    if not kept:
        return Verdict(True, by_kind({kind: pair.after.reason for kind, pair in pairs.items()}))
    if all(kept.get(kind) == pair.before for kind, pair in pairs.items()):
        return Verdict(True, "the same number: it does not read the weights")
    said = by_kind({kind: short(number) for kind, number in kept.items()})
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
    probe = change(examined.probe)
    answers = {
        kind: ask(examined.score, examined.networks[kind], probe) for kind in examined.numbers
    }
    faults = {kind: answer.fault for kind, answer in answers.items() if answer.fault}
    if faults:
        return Verdict(False, by_kind(faults))
    return Verdict(True, by_kind({kind: shown(a.reading) for kind, a in answers.items()}))


BEHAVIOUR: dict[str, Check[Examined]] = {
    "leaves out operations without effect": leaves_out_what_has_no_effect,
    "gives no number of weights that are NaN": refuses_nan,
    "gives no number of infinite weights": refuses_infinity,
    "answers where images repeat": answers_where_images_repeat,
    "answers where all images are constant": answers_where_images_are_constant,
}
