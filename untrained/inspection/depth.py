"""What goes wrong little by little: signals and gradients that vanish or explode with depth."""

from collections.abc import Iterator, Sequence
from math import exp, log
from statistics import median
from typing import NamedTuple

from untrained.inspection.blocked import zeros
from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding
from untrained.inspection.passes import Layer

SENSITIVITY = 1e-3, 1e3
"""Range of `Evidence.sensitivity`. MLPs of 3 to 16 layers on digits (docs/inspect.md): below it,
AdamW learns late and SGD not at all."""
DIFFERENCE = 1e-6
"Least 1 - correlation: images then differ by about a thousandth of their signal's size."
CONCENTRATED = 0.6
"Share of a whole change, in logarithms, from which on one layer is named for it."


class Profile(NamedTuple):
    """A quantity along the trunk, from the first layer on."""

    layers: Sequence[Layer]
    values: Sequence[float]

    @property
    def change(self) -> float:
        """log of the last over the first."""
        return log(self.values[-1] / self.values[0])

    @property
    def step(self) -> int | None:
        """Number of the layer whose own step is most of the change; None if none is."""
        steps = [log(b / a) for a, b in zip(self.values, self.values[1:], strict=False)]
        if not steps or not self.change:
            return None
        most = max(range(len(steps)), key=lambda k: steps[k] / self.change)
        return most + 1 if steps[most] / self.change > CONCENTRATED else None

    @property
    def factor(self) -> float:
        """By which it changes from a layer to the next, on average."""
        return exp(self.change / (len(self.values) - 1))


def profile(layers: Sequence[Layer], values: Sequence[float | None]) -> Profile | None:
    """Of those that have a value; None for fewer than two. What is 0 counts as `LEAST`."""
    known = [(x, max(v, LEAST)) for x, v in zip(layers, values, strict=True) if v is not None]
    return Profile(*zip(*known, strict=True)) if len(known) > 1 else None


LEAST = 1e-38
"About the least number of float32."


def gradients(evidence: Evidence) -> Iterator[Finding]:
    """Early layers on which the outputs hardly depend, or far too much."""
    found = profile(evidence.trunk, [evidence.sensitivity(layer) for layer in evidence.trunk])
    low, high = SENSITIVITY
    if found is None or low <= found.values[0] <= high or zeros(evidence):
        return
    first, last = found.values[0], found.values[-1]
    what, word = "gradients", "vanish" if first < low else "explode"
    if not low <= last <= high:  # then it is the signal that has grown or gone
        what = "signals"
        signals = profile(evidence.trunk, [layer.seen.signal.rms for layer in evidence.trunk])
        found = signals or found
    where = found.layers[found.step or 0].name
    over = f"over {len(found.layers)} layers" if found.step is None else f"at layer {where}"
    yield Finding(
        f"{what} {word} {over}",
        (where,),
        f"a change of 1 % in every entry of layer {evidence.trunk[0].name} moves the outputs by "
        f"{first / 100:.1e}, one of the last layer by {last / 100:.1e}; {_course(found, what)}",
        f"outside {low:g} to {high:g} times the change; in networks that train it is about 1",
        remedy(evidence),
    )


def _course(found: Profile, what: str) -> str:
    """How it comes about, in words."""
    if found.step is not None:
        return f"most of it comes about at layer {found.layers[found.step].name}"
    if what == "signals":
        return f"the RMS changes by a factor of {found.factor:.2f} from layer to layer"
    return f"it changes by a factor of {1 / found.factor:.2f} from layer to layer on the way back"


def distinct(evidence: Evidence) -> Iterator[Finding]:
    """Signals in which images become the same, before the last layer."""
    layers = [layer for layer in evidence.trunk if layer.seen.signal.finite]
    found = profile(layers, [1 - _correlation(layer) for layer in layers])
    if found is None or found.values[-1] >= DIFFERENCE or zeros(evidence):
        return
    number = found.step or next(k for k, v in enumerate(found.values) if v < DIFFERENCE)
    layer = found.layers[number]
    yield Finding(
        f"images become the same at layer {layer.name}",
        (layer.name,),
        f"the correlation of two images is 1 - {found.values[0]:.2g} after layer "
        f"{found.layers[0].name}, 1 - {found.values[number]:.2g} after layer {layer.name} and "
        f"1 - {found.values[-1]:.2g} at the end",
        f"above 1 - {DIFFERENCE:g}: images differ by a thousandth of the signal's size (the "
        f"ordered phase of Schoenholz et al. 2017)",
        f"look at what layer {layer.name} adds to all images alike, as a large bias does"
        if found.step
        else remedy(evidence),
    )


def _correlation(layer: Layer) -> float:
    """Of two images; 1 where all are zero, and 1 less rounding at most."""
    value = layer.seen.signal.correlation
    return 1.0 if value is None else min(value, 1 - ROUNDED)


ROUNDED = 1e-16


def remedy(evidence: Evidence) -> str:
    """What keeps a signal's scale: by what this network's layers do to it."""
    slopes = [layer.seen.slope.rms for layer in evidence.trunk if layer.seen.slope is not None]
    gains = [p.gain for p in evidence.maps if p.gain is not None and p.layer not in evidence.head]
    operations = {layer.seen.operation for layer in evidence.passed.layers}
    normalised = any("norm" in operation for operation in operations)
    advice = []
    if slopes and median(slopes) < 0.4:
        advice.append(
            f"its activations pass {median(slopes):.2g} of a gradient: take ReLU (0.71) or tanh"
        )
    elif slopes and gains and not normalised and not 0.8 < median(slopes) * median(gains) < 1.25:
        usual = 1 / median(slopes)
        advice.append(
            f"its weights have {median(gains):.2g} / sqrt(fan_in), where its activations ask for "
            f"{usual:.2g}: draw them by nn.init.kaiming_normal_"
        )
    if not normalised:
        advice.append("normalise (BatchNorm or LayerNorm) between layers")
    if len(evidence.trunk) == len(evidence.passed.layers):
        advice.append("lead a skip connection around every two or three layers")
    return "; ".join(advice) or "make it less deep, or its residual branches smaller"
