"""Scales that are off: of the images, of a layer's weights, of the outputs."""

from collections.abc import Iterator
from math import log
from statistics import median

from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding, at_layers
from untrained.inspection.parameters import Parameter
from untrained.inspection.trunk import INPUT

INPUT_RANGE = 0.1, 10.0
"RMS of images that a network with usual weights is made for, which is 1, within a factor of 10."
OFF_CENTRE = 3.0
"Standard deviations that the mean of images may be from 0."
OFF = 3.0
"""Factor between a weight's gain and that of the nearest usual law. The laws differ among each
other by as much, for layers of about as many outputs as inputs."""
EXCESS = 4.0
"""Nats above log K. Logits N(0, s^2) have a cross-entropy of about log K + s^2 / 2, where s is at
most sqrt 2 by a usual last layer on a signal of RMS 1; this is s = 2.8."""


def images(evidence: Evidence) -> Iterator[Finding]:
    """Images far from mean 0 and variance 1."""
    rms, mean = evidence.passed.inputs.rms, evidence.passed.inputs.mean
    if rms is None or mean is None:
        return
    std = max(rms**2 - mean**2, 0.0) ** 0.5
    low, high = INPUT_RANGE
    if low <= rms <= high and abs(mean) <= OFF_CENTRE * std:
        return
    passes = evidence.passes_scale(INPUT)
    yield Finding(
        "the images are not normalised",
        ("images",),
        f"their mean is {mean:.3g}, their standard deviation {std:.3g}, their RMS {rms:.3g}"
        + ("" if passes else "; what follows normalises them, and undoes most of it"),
        f"an RMS outside {low:g} to {high:g}, or a mean beyond {OFF_CENTRE:g} standard "
        f"deviations: weights are made for a mean of 0 and a variance of 1 (LeCun et al. 1998)",
        "subtract the mean and divide by the standard deviation, channel by channel",
        hinders=passes,
    )


def weights(evidence: Evidence) -> Iterator[Finding]:
    """Weights whose scale is far from every usual law, and reaches the outputs."""
    wrong = [p for p in evidence.maps if _is_off(evidence, p)]
    for large in (True, False):
        found = [p for p in wrong if ((p.off or 0) > 1) == large]
        if found:
            yield _weights(evidence, found, "large" if large else "small")


def _is_off(evidence: Evidence, p: Parameter) -> bool:
    if p.off is None or p.layer is None or 1 / OFF <= p.off <= OFF:
        return False
    beside = not evidence.passed.layers[p.layer].trunk or p.layer in evidence.head
    if beside and p.off < 1:
        return False  # a small branch lets the rest pass, and small logits are a good start
    return evidence.passes_scale(p.layer)


def _weights(evidence: Evidence, found: list[Parameter], word: str) -> Finding:
    names = [evidence.name_of(p) for p in found]
    p = max(found, key=lambda p: abs(log(p.off or 1)))
    off, std = p.off or 1, p.std or 0
    factor = off if off > 1 else 1 / off
    them = "it" if len(found) == 1 else "them"
    return Finding(
        f"the weights of {at_layers(names)} are too {word}",
        tuple(names),
        f"{p.name} has a standard deviation of {std:.3g}, {factor:.3g} times "
        f"{'more' if off > 1 else 'less'} than by {p.law} ({std / off:.3g}): its layer multiplies "
        f"a signal by about {p.gain:.3g}, and no normalisation undoes that",
        f"a factor of {OFF:g} from every usual law (He, LeCun, Glorot, torch's default), where "
        f"doubling the layer's output nearly doubles how much outputs differ",
        f"draw {them} by such a law: nn.init.kaiming_normal_ before ReLU, nn.init.xavier_normal_ "
        f"before tanh; or normalise after {them}",
    )


def outliers(evidence: Evidence) -> Iterator[Finding]:
    """Weights unlike the others, whose scale does not reach the outputs: their step differs."""
    ratios = [p.off for p in evidence.maps if p.off]
    if len(ratios) < 4:
        return
    for p in evidence.maps:
        factor = (p.off or 0) / median(ratios)
        if p.layer is None or p.layer in evidence.head or 1 / OFF <= factor <= OFF:
            continue
        if evidence.passes_scale(p.layer):
            continue
        yield Finding(
            f"{p.name} is {'larger' if factor > 1 else 'smaller'} than other weights",
            (evidence.name_of(p),),
            f"beside its usual law it is {factor:.3g} times the network's median. What follows "
            f"undoes that, but relative to its size a step of SGD moves it {1 / factor**2:.3g} "
            f"times as far, and one of Adam {1 / factor:.3g} times",
            f"a factor of {OFF:g} from the median of the network's weights",
            f"draw {p.name} by the law of the others, unless it is meant",
            hinders=False,
        )


def logits(evidence: Evidence) -> Iterator[Finding]:
    """Outputs that start as sure predictions, though nothing is known yet."""
    uniform = log(evidence.classes)
    if evidence.loss is None or evidence.loss - uniform <= EXCESS or evidence.classes < 2:
        return
    rms = evidence.passed.outputs.double().square().mean().sqrt().item()
    jump = _largest_step(evidence)
    yield Finding(
        "the logits are too large",
        (jump,) if jump else (),
        f"the loss at initialisation is {evidence.loss:.3g}, where equal chances give log "
        f"{evidence.classes} = {uniform:.3g}; the logits have an RMS of {rms:.3g}"
        + (f", and the largest step on the way is layer {jump}" if jump else ""),
        f"a loss of {EXCESS:g} above log K: the first steps only take back guesses",
        "make the last layer's weights smaller, or normalise what enters it",
    )


def _largest_step(evidence: Evidence) -> str:
    """The layer of the trunk by which a signal grows most."""
    before, most, name = evidence.passed.inputs.rms, 2.0, ""
    for layer in evidence.trunk:
        rms = layer.seen.signal.rms
        if before and rms and rms / before > most:
            most, name = rms / before, layer.name
        before = rms
    return name


def probabilities(evidence: Evidence) -> Iterator[Finding]:
    """Outputs that a softmax has made probabilities of."""
    f = evidence.passed.outputs.double()
    if (
        evidence.classes < 2
        or bool((f < 0).any())
        or not bool(((f.sum(1) - 1).abs() < 1e-4).all())
    ):
        return
    yield Finding(
        "the outputs are probabilities, not logits",
        tuple(evidence.passed.layers[k].name for k in sorted(evidence.head) if k >= 0),
        "no output is negative, and those of each image sum to 1",
        "cross-entropy takes a softmax itself: of another one, its gradients are small",
        "remove the last softmax, and take it where probabilities are needed",
    )
