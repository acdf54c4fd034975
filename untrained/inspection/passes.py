"""One forward and one backward pass of a network, with all that is seen of its layers.

The backward pass is of r . f summed over images, r ~ N(0, 1) for each output: the mean square of
a gradient's norm is then that of the Jacobian, ||df / dh||_F^2, whatever the labels and the loss.
BatchNorm normalises by the batch, as in training. Dropout is off.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.inspection.ledger import Ledger, Seen
from untrained.inspection.signal import Backward, Signal, backward_of, signal_of
from untrained.inspection.trunk import INPUT, on_trunk
from untrained.inspection.watch import Watch
from untrained.networks.batchnorm import BatchNormPolicy, evaluating, policy_mode
from untrained.networks.foreign import foreign
from untrained.networks.interception import gradients
from untrained.networks.noise import same_noise
from untrained.networks.readout import flattened

WORDS = Signal(True, None, None, None, None)
"Inputs that are no numbers to calculate with."
COUPLED = 4
"Images of which the coupling with others is measured."


@dataclass(frozen=True)
class Layer:
    """A layer of a network, with what passed it both ways."""

    name: str
    seen: Seen
    trunk: bool
    "Whether everything passes it on its way from images to outputs."
    backward: Backward | None
    "None where no gradient comes back."


@dataclass(frozen=True)
class Passed:
    """What a forward and a backward pass showed."""

    inputs: Signal
    layers: tuple[Layer, ...]
    outputs: Float[Tensor, "n k"]
    sources: frozenset[int]
    "Numbers of the layers that the outputs come from."
    used: frozenset[str]
    "Names of parameters that some call used."
    gradients: Mapping[str, Tensor | None]
    "Of each trainable parameter; None where no gradient reaches it."
    image: Backward | None
    "The gradient by the images; None where none comes back."
    coupling: float | None
    "Share of an output's squared derivatives that is by other images; None if not measured."


def pass_through(model: nn.Module, x: Tensor, generator: torch.Generator) -> Passed:
    """What the network does with the images x, and what comes back.

    The model is left as it was.

    Raises:
        ValueError: whatever the network raises; outputs that are not one or more numbers for each
            image.
    """
    ledger = Ledger(len(x), generator)
    watch = Watch(model, ledger)
    policy = policy_mode("batch", model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with evaluating(model), foreign(x), same_noise(x), torch.enable_grad():
        leaf = x.clone().requires_grad_(x.is_floating_point())
        f, sources = forward(watch, policy, leaf)
        rf = f * torch.randn(f.shape, generator=generator).to(f)
        with policy:
            found = _gradients(rf.sum(), [leaf, *trained.values()])
            ledger.listening = False
            coupling = None if found[0] is None else _coupling(rf, leaf)
    return Passed(
        signal_of(x, len(x)) if x.is_floating_point() else WORDS,
        tuple(_layers(ledger, sources)),
        f.detach(),
        sources,
        frozenset(watch.used),
        dict(zip(trained, found[1:], strict=True)),
        None if found[0] is None else backward_of(found[0], len(x)),
        coupling,
    )


def forward(
    watch: Watch, policy: BatchNormPolicy, x: Tensor
) -> tuple[Float[Tensor, "n k"], frozenset[int]]:
    """Outputs with their graph, and the layers that they come from."""
    shown = x.clone()  # a leaf must not change in place
    with watch.over(shown), policy:
        outputs = watch.model(shown)
    f = flattened(outputs, len(x))
    return f, watch.ledger.end(outputs)


def _gradients(total: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """By each tensor; None for those that none reaches."""
    wanted = [t for t in tensors if t.requires_grad]
    if not total.requires_grad or not bool(torch.isfinite(total)):
        return [None] * len(tensors)
    found = iter(gradients(total, wanted, retain_graph=True, allow_unused=True))
    return [next(found) if t.requires_grad else None for t in tensors]


def _coupling(rf: Tensor, x: Tensor) -> float | None:
    """sum_{j != i} ||d s_i / d x_j||^2 / sum_j ||d s_i / d x_j||^2, the mean over some i."""
    shares = []
    for i, s in enumerate(rf.sum(1)[:COUPLED]):
        (found,) = gradients(s, [x], retain_graph=True)
        square = found.double().square().flatten(1).sum(1)
        total = square.sum().item()
        if 0 < total < inf:
            shares.append(1 - square[i].item() / total)
    return sum(shares) / len(shares) if shares else None


def scale_passes(model: nn.Module, x: Tensor, number: int) -> bool:
    """Whether outputs differ 1.5 times as much, or more, with the output of a layer doubled.

    The layer is that of this number in `Passed.layers`, or the images for `INPUT`. Before a
    normalisation they differ as much as ever; where the scale passes, they differ twice as much.
    """
    plain, doubled = (_spread(model, x, each) for each in (None, number))
    return 1.5 * plain < doubled < inf


def _spread(model: nn.Module, x: Tensor, doubled: int | None) -> float:
    """Root mean square of what differs in the outputs of images."""
    watch = Watch(model, Ledger(len(x), torch.Generator(), doubled))
    x = 2 * x if doubled == INPUT else x
    with evaluating(model), same_noise(x), torch.enable_grad():
        f, _ = forward(watch, policy_mode("batch", model), x)
    return float((f - f.mean(0)).detach().double().square().mean().sqrt())


def _layers(ledger: Ledger, outputs: frozenset[int]) -> Iterator[Layer]:
    trunk = on_trunk([seen.sources for seen in ledger.layers], outputs)
    for k, (name, seen) in enumerate(zip(_names(ledger.layers), ledger.layers, strict=True)):
        yield Layer(name, seen, trunk[k], ledger.gradients.get(k))


def _names(layers: Sequence[Seen]) -> Iterator[str]:
    """A module's path, with what it calls where that is not all of it, and a number from 2 on."""
    calls = Counter(seen.module for seen in layers)
    before = Counter[str]()
    for seen in layers:
        alone = seen.whole and calls[seen.module] == 1
        parts = [seen.module] if alone else [seen.module, seen.operation]
        name = ": ".join(filter(None, parts)) or seen.operation
        before[name] += 1
        yield name if before[name] == 1 else f"{name} #{before[name]}"
