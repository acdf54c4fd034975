"""A network's parameters: their initial scale beside the usual laws, and their part in training.

What a layer does to the scale of a signal is its gain, std(W) sqrt(fan_in):

    He, by inputs     sqrt 2                       LeCun    1
    He, by outputs    sqrt(2 fan_in / fan_out)     torch    1 / sqrt 3
    Glorot            sqrt(2 fan_in / (fan_in + fan_out))

Source: LeCun et al., "Efficient BackProp", 1998; Glorot & Bengio, AISTATS 2010; He et al.,
"Delving Deep into Rectifiers", ICCV 2015, https://arxiv.org/abs/1502.01852.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn

from untrained.inspection.passes import Passed
from untrained.networks.maps import Use
from untrained.networks.uses import uses_on

LAWS: dict[str, Callable[[float, float], float]] = {
    "He": lambda fan_in, fan_out: 2**0.5,
    "He (by outputs)": lambda fan_in, fan_out: (2 * fan_in / fan_out) ** 0.5,
    "LeCun": lambda fan_in, fan_out: 1.0,
    "Glorot": lambda fan_in, fan_out: (2 * fan_in / (fan_in + fan_out)) ** 0.5,
    "torch's default": lambda fan_in, fan_out: 3**-0.5,
}
"Gain of each, from the numbers of inputs and outputs."


@dataclass(frozen=True)
class Parameter:
    """One parameter tensor of a network."""

    name: str
    others: tuple[str, ...]
    "Further names of the same tensor."
    shape: tuple[int, ...]
    trainable: bool
    layer: int | None
    "Number of the first layer that uses it."
    used: bool
    "Whether any call uses it, or a gradient reaches it."
    reached: bool
    "Whether a gradient reaches it, which may be zero."
    infinite: int
    "How many of its numbers are NaN or infinite."
    std: float | None
    "Of its numbers, around 0; None if some are not finite."
    gain: float | None
    "std(W) sqrt(fan_in); None for what is no weight of one linear map."
    law: str
    "The usual law whose gain is nearest."
    off: float | None
    "Its gain over that of this law."
    alike: bool
    "Whether all units have the same weights, though not zero."


def parameters_of(model: nn.Module, x: Tensor, passed: Passed) -> tuple[Parameter, ...]:
    """All parameters of a network that was passed by x."""
    names: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(p), []).append(name)
    layers = _layers(passed)
    uses, _ = uses_on(model, x[:2], [name for name, p in model.named_parameters()])
    return tuple(
        _parameter(names[id(p)], p, layers.get(name), uses.get(name, ()), passed)
        for name, p in model.named_parameters()
    )


def _layers(passed: Passed) -> dict[str, int]:
    """Parameter -> the first layer that uses it."""
    found: dict[str, int] = {}
    for number, layer in enumerate(passed.layers):
        for name in layer.seen.parameters:
            found.setdefault(name, number)
    return found


def _parameter(
    names: Sequence[str],
    p: nn.Parameter,
    layer: int | None,
    uses: Sequence[Use],
    passed: Passed,
) -> Parameter:
    values = p.detach()
    infinite = int((~torch.isfinite(values)).sum())
    std = None if infinite else values.double().square().mean().sqrt().item()
    reached = passed.gradients.get(names[0]) is not None
    maps = [use for use in uses if use.kind == "map"]
    use = maps[0] if len(maps) == 1 and std else None
    gain, law, off = (None, "", None) if use is None or std is None else _scale(std, use)
    return Parameter(
        name=names[0],
        others=tuple(names[1:]),
        shape=tuple(p.shape),
        trainable=p.requires_grad,
        layer=layer,
        used=reached or names[0] in passed.used,
        reached=reached,
        infinite=infinite,
        std=std,
        gain=gain,
        law=law,
        off=off,
        alike=use is not None and _alike(values, use),
    )


def _scale(std: float, use: Use) -> tuple[float, str, float]:
    """The gain, the nearest law, and how many times its gain it is."""
    gain = std * use.fan_in**0.5
    ratios = {law: gain / of(use.fan_in, use.fan_out) for law, of in LAWS.items()}
    nearest = min(ratios, key=lambda law: abs(log(ratios[law])))
    return gain, nearest, ratios[nearest]


def _alike(values: Tensor, use: Use) -> bool:
    """Whether every output of a map has the same weights as the first."""
    if use.entries is None or use.entries.shape[1] < 2:
        return False
    rows = values.flatten()[use.entries.to(values.device)]
    return bool((rows == rows[:, :1]).all())
