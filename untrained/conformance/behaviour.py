"""How a score behaves that has a number of some network: what changes it, and what does not."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import nn

from untrained.conformance.asking import ask
from untrained.conformance.examined import (
    OF_MACHINE,
    SAME,
    Change,
    Examined,
    percent,
    short,
    shown,
    unchanged,
)
from untrained.conformance.finding import Check, Verdict, by_kind
from untrained.conformance.networks import CNN, MLP, balanced, doubled
from untrained.conformance.passes import passes_of
from untrained.images import Probe
from untrained.runs.streams import stream

WIDTHS = 4, 8, 16


def _unchanged(examined: Examined, change: Change) -> Verdict:
    if examined.score.of_machine:
        return Verdict(None, OF_MACHINE)
    return unchanged(examined.after(change), examined.noise)


def has_a_number_of_any_network(examined: Examined) -> Verdict:
    """Networks of cells, with BatchNorm and without, with convolutions and without."""
    answers = examined.answers
    said = by_kind({kind: shown(answer.reading) for kind, answer in answers.items()})
    return Verdict(len(examined.numbers) == len(answers), said)


def needs_no_random_numbers(examined: Examined) -> Verdict:
    """The same number from another generator."""
    if examined.score.of_machine:
        return Verdict(None, OF_MACHINE)
    if not any(examined.noise.values()):
        return Verdict(True, "another generator gives the same number")
    said = by_kind({kind: percent(by) for kind, by in examined.noise.items()})
    return Verdict(False, f"another generator changes it by {said}")


def needs_no_labels(examined: Examined) -> Verdict:
    """The same number where every image has a wrong label, drawn at random."""
    return _unchanged(examined, _mislabelled)


def _mislabelled(network: nn.Module, probe: Probe) -> Probe:
    others = torch.randint(1, probe.classes, probe.labels.shape, generator=stream("labels"))
    return replace(probe, labels=(probe.labels + others) % probe.classes)


def ignores_the_order_of_images(examined: Examined) -> Verdict:
    """The same number of the same images and labels in another order."""
    if len(examined.probe.inputs) < 2:
        return Verdict(None, "its probe is one image")
    return _unchanged(examined, _reordered)


def _reordered(network: nn.Module, probe: Probe) -> Probe:
    order = torch.randperm(len(probe.inputs), generator=stream("order"))
    return replace(probe, inputs=probe.inputs[order], labels=probe.labels[order])


def ignores_the_order_of_classes(examined: Examined) -> Verdict:
    """The same number where every class has the number of another."""
    return _unchanged(examined, _renumbered)


def _renumbered(network: nn.Module, probe: Probe) -> Probe:
    return replace(probe, labels=(probe.labels + 1) % probe.classes)


def is_monotone_in_width(examined: Examined) -> Verdict:
    """It grows, or falls, with the channels of every kind of network."""
    values = {kind: _by_width(examined, kind) for kind in examined.numbers}
    whole = {kind: numbers for kind, numbers in values.items() if len(numbers) == len(WIDTHS)}
    if not whole:
        return Verdict(None, "it lacks a number of some width of every network")
    courses = {_course(numbers) for numbers in whole.values()}
    course = courses.pop() if len(courses) == 1 else "not the same way everywhere"
    said = by_kind({kind: ", ".join(map(short, numbers)) for kind, numbers in whole.items()})
    widths = ", ".join(map(str, WIDTHS))
    return Verdict(
        course in ("grows", "falls", "stays"), f"{course}, at {widths} channels: {said}"
    )


def _by_width(examined: Examined, kind: str) -> list[float]:
    networks = (examined.network(examined.kinds[kind], width) for width in WIDTHS)
    readings = (ask(examined.score, network, examined.probe).reading for network in networks)
    return [reading.value for reading in readings if reading.value is not None]


def _course(values: list[float]) -> str:
    steps = [b - a for a, b in pairwise(values)]
    size = max(map(abs, values))
    if all(abs(step) <= SAME * size for step in steps):
        return "stays"
    if all(step > 0 for step in steps):
        return "grows"
    return "falls" if all(step < 0 for step in steps) else "neither grows nor falls throughout"


def ignores_the_scale_of_weights(examined: Examined) -> Verdict:
    """The same number of networks whose weights, biases aside, are twice as large."""

    def twice(network: nn.Module, probe: Probe) -> Probe:
        doubled(network)
        return probe

    return _rescaled(examined, examined.numbers, twice)


def ignores_rescaling_of_layers(examined: Examined) -> Verdict:
    """The same number where one layer is doubled and the next halved: the same function."""

    def rebalanced(network: nn.Module, probe: Probe) -> Probe:
        assert isinstance(network, CNN | MLP)
        balanced(network)
        return probe

    return _rescaled(examined, examined.numbers.keys() & {"CNN", "MLP"}, rebalanced)


def _rescaled(examined: Examined, kinds: Iterable[str], change: Change) -> Verdict:
    """As `unchanged`, with the ratios of after to before."""
    if examined.score.of_machine:
        return Verdict(None, OF_MACHINE)
    pairs = {kind: examined.pair(kind, change) for kind in sorted(kinds)}
    found = unchanged(pairs, examined.noise)
    ratios = {
        kind: f"{short(after.value / before)} times"
        for kind, (before, after) in pairs.items()
        if after.value is not None and before
    }
    if found.holds is not False or len(ratios) < len(pairs):
        return found
    return Verdict(False, f"becomes {by_kind(ratios)}")


def shows_each_image_once(examined: Examined) -> Verdict:
    """How often the network is run, and on how many images that it had seen."""
    kind = next(iter(examined.numbers))
    network = examined.networks[kind]
    with passes_of(network) as passes:
        ask(examined.score, network, examined.probe)
    return passes.verdict(kind)


def takes_less_than_a_second(examined: Examined) -> Verdict:
    """A call, of each of these small networks."""
    seconds = {
        kind: min(
            examined.answers[kind].seconds,
            ask(examined.score, examined.networks[kind], examined.probe).seconds,
        )
        for kind in examined.numbers
    }
    said = ", ".join(
        f"{by:.2g} s ({kind}, {_size(examined.networks[kind]):,} parameters)"
        for kind, by in seconds.items()
    )
    return Verdict(max(seconds.values()) < 1, said)


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


REACH: dict[str, Check[Examined]] = {
    "has a number of any network": has_a_number_of_any_network,
}
BEHAVIOUR: dict[str, Check[Examined]] = {
    "needs no random numbers": needs_no_random_numbers,
    "needs no labels": needs_no_labels,
    "does not depend on the order of images": ignores_the_order_of_images,
    "does not depend on the order of classes": ignores_the_order_of_classes,
    "is monotone in width": is_monotone_in_width,
    "does not depend on the scale of weights": ignores_the_scale_of_weights,
    "does not depend on rescaling that keeps the function": ignores_rescaling_of_layers,
    "shows the network each image once": shows_each_image_once,
    "takes less than a second": takes_less_than_a_second,
}
