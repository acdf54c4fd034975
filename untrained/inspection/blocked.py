"""What stops a signal or a gradient: NaN, zeros, units that are off, activations that are flat."""

from collections.abc import Iterator, Sequence

from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding, at_layers
from untrained.inspection.parameters import Parameter
from untrained.inspection.passes import Layer
from untrained.inspection.slope import FLAT, Slope

FLAT_SHARE = 0.75
"""Share of flat entries beyond which an activation hardly passes gradients. ReLU of a signal
around 0 is flat in half of its entries, tanh of N(0, 1) in 0.3 %, of N(0, 30^2) in 92 %. Of few
units, chance may leave more; see `by_chance`."""
SAME = 1 - 1e-9
"Correlation from which on all images are the same."


def not_finite(evidence: Evidence) -> Iterator[Finding]:
    """The first layer that gives NaN or infinity; or the last whose gradient is such."""
    for parameter in evidence.parameters:
        if parameter.infinite:
            yield Finding(
                f"{parameter.name} holds NaN or infinity",
                (evidence.name_of(parameter),),
                f"{parameter.infinite} of its numbers are not finite",
                "any is too many: everything that they meet becomes NaN",
                "look at how it is initialised, or at the file that it was read from",
            )
            return
    layers = evidence.passed.layers
    first = next((layer for layer in layers if not layer.seen.signal.finite), None)
    if first is not None:
        yield Finding(
            f"layer {first.name} gives NaN or infinity",
            (first.name,),
            f"it is the first layer whose output is not finite: {first.seen.operation} of "
            f"{_entering(evidence, first)}",
            "any is too many: the outputs, the loss and all gradients become NaN",
            "look for a division by zero, a logarithm or root of what is not positive, or an "
            "overflow; where the number it receives is large, normalise before it",
        )
        return
    back = [layer for layer in layers if layer.backward and not layer.backward.finite]
    if back:
        yield Finding(
            f"the gradient becomes NaN or infinite at layer {back[-1].name}",
            (back[-1].name,),
            "outputs are finite, and so are the gradients of the layers after it",
            "any is too many: every layer before it gets the same",
            "look for a root, norm or logarithm at zero, where the slope is infinite: add a small "
            "number inside it",
        )


def _entering(evidence: Evidence, layer: Layer) -> str:
    sizes = [
        evidence.passed.layers[k].seen.signal.rms if k >= 0 else evidence.passed.inputs.rms
        for k in layer.seen.sources
    ]
    return "a signal of RMS " + " and ".join(f"{rms:.3g}" for rms in sizes if rms is not None)


def dead(evidence: Evidence) -> Iterator[Finding]:
    """Activations of which most units are off for all images."""
    found = [layer for layer in evidence.passed.layers if _is_dead(layer)]
    if not found:
        return
    first, slope, before = _first(evidence, found)
    yield Finding(
        f"dead units at {at_layers([layer.name for layer in found])}",
        tuple(layer.name for layer in found),
        f"{slope.dead:.0%} of the {slope.units} units of layer {first.name} have a slope below "
        f"{FLAT} for every image, at every position; what enters it averages {slope.mean:.3g}",
        f"more than {by_chance(slope.units):.0%}: weights around 0 leave at most half of the "
        f"units on one side however alike the images are, give or take three standard errors of "
        f"chance",
        f"set the bias of {before} to 0 and draw its weights around 0; "
        f"or normalise before the activation; leaky ReLU and GELU do not die altogether",
    )


def _first(evidence: Evidence, found: Sequence[Layer]) -> tuple[Layer, Slope, str]:
    """The first of these activations, its slope, and what feeds it."""
    slope = found[0].seen.slope
    assert slope is not None
    return found[0], slope, fed_by(evidence, found[0])


def by_chance(units: int) -> float:
    """Share of units that are hardly all on one side by chance: 1/2 + 3 sqrt(1/4 / units)."""
    return min(0.5 + 1.5 / units**0.5, 1 - 1e-9)


def _is_dead(layer: Layer) -> bool:
    slope = layer.seen.slope
    return slope is not None and slope.units > 3 and slope.dead > by_chance(slope.units)


def flat(evidence: Evidence) -> Iterator[Finding]:
    """Activations that are saturated, or off, in most entries."""
    found = [layer for layer in evidence.passed.layers if _is_flat(layer)]
    if not found:
        return
    first, slope, before = _first(evidence, found)
    yield Finding(
        f"saturated units at {at_layers([layer.name for layer in found])}",
        tuple(layer.name for layer in found),
        f"{slope.flat:.0%} of the entries of layer {first.name} have a slope below {FLAT}"
        f"; what enters it has an RMS of {slope.entering:.3g}",
        f"more than {flat_share(slope.units):.0%}: ReLU of a signal around 0 is flat in half of "
        f"its entries, tanh of a signal of RMS 1 in 0.3 %",
        f"make the weights of {before} smaller, until what enters the "
        f"activation has an RMS of about 1; or normalise before it",
    )


def _is_flat(layer: Layer) -> bool:
    slope = layer.seen.slope
    return slope is not None and slope.flat > flat_share(slope.units) and not _is_dead(layer)


def flat_share(units: int) -> float:
    """Share of flat entries from which on a layer of so many units is said to be saturated."""
    return max(FLAT_SHARE, by_chance(units))


def fed_by(evidence: Evidence, layer: Layer) -> str:
    """The nearest layer before this one that has parameters, in words."""
    layers, sources = evidence.passed.layers, layer.seen.sources
    while sources:
        number = max(sources)
        if number < 0:
            break
        if layers[number].seen.parameters:
            return f"layer {layers[number].name}"
        sources = layers[number].seen.sources
    return "what comes before"


def zero(evidence: Evidence) -> Iterator[Finding]:
    """A weight on the trunk that is zero, before the last layer."""
    for parameter in zeros(evidence):
        if parameter.layer not in evidence.head:
            yield _zero(evidence, parameter, hinders=True)


def zero_head(evidence: Evidence) -> Iterator[Finding]:
    """A last layer of zeros, which may be meant."""
    for parameter in zeros(evidence):
        if parameter.layer in evidence.head:
            yield _zero(evidence, parameter, hinders=False)


def zeros(evidence: Evidence) -> list[Parameter]:
    """Weights of zeros that make all images the same in a layer of the trunk."""
    found = []
    for p in evidence.parameters:
        if p.std == 0 and len(p.shape) > 1 and p.layer is not None:
            layer = evidence.passed.layers[p.layer]
            if layer.trunk and (layer.seen.signal.correlation or 1) > SAME:
                found.append(p)
    return found


def _zero(evidence: Evidence, parameter: Parameter, hinders: bool) -> Finding:
    name = evidence.name_of(parameter)
    return Finding(
        f"{parameter.name} is all zero",
        (name,),
        f"every image has the same output of layer {name}, and no gradient passes it"
        + ("" if hinders else ": at the first step only the last layer learns"),
        "a weight of zeros on the way of everything; one in a residual branch is no finding",
        f"draw {parameter.name} at random, as by nn.init.kaiming_normal_"
        if hinders
        else f"leave it if it is meant, or draw {parameter.name} at random",
        hinders,
    )


def alike(evidence: Evidence) -> Iterator[Finding]:
    """A weight whose units all start equal, and so remain."""
    for parameter in evidence.parameters:
        if parameter.alike and parameter.layer is not None:
            yield Finding(
                f"all units of {parameter.name} are equal",
                (evidence.name_of(parameter),),
                f"its {parameter.shape[0]} units have one and the same weights, and get one and "
                f"the same gradient",
                "two units that start equal and are used alike stay equal",
                f"draw {parameter.name} at random",
            )
