"""Dextr: independent channels and a curved output together."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log1p
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import policy_mode
from untrained.networks.choices import Policy
from untrained.networks.feature_maps import feature_maps
from untrained.networks.foreign import foreign
from untrained.networks.interception import gradients
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import unwrapped
from untrained.scores.feature_maps import NO_MAPS
from untrained.scores.loss_gradient import differentiating
from untrained.scores.score import Reading, Score, finite


@dataclass(frozen=True)
class Dextr(Score):
    """A C / (A + C), A = log(1 + sum_l s_min / s_max), C = log(1 + kappa); both high is better.

    s_min and s_max are the extreme singular values of feature map l of one image, as a matrix of
    channels by positions; kappa the extrinsic curvature of the output along a great circle of
    inputs, where it begins (see `curvature`). The quotient is half the harmonic mean. Feature maps
    are those of `untrained.networks.feature_maps`, each once; the authors' code takes the output
    of every module, so that a map counts once more for each container that ends in it, and every
    module whose output has no positions adds 1.

    Source: Asthana, Conrad, Ortmanns & Belagiannis, "Dextr: Zero-Shot Neural Architecture Search
    with Singular Value Decomposition and Extrinsic Curvature", TMLR 2025,
    https://arxiv.org/abs/2508.12977, and its code for one point of the circle.
    """

    meaning: ClassVar = (
        "How little channels repeat each other and how curved the output is along a circle of "
        "inputs: high only where both are high (Dextr)."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=1)
    weights: ClassVar = "kaiming_fan_in"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        model, x = unwrapped(network), probe.inputs[:1]
        maps = feature_maps(model, x, batchnorm=self.batchnorm)
        if not maps:
            return Reading(None, NO_MAPS)
        independence = sum(inverse_condition(each[0]) for each in maps)
        with foreign(x), differentiating(model, policy_mode(self.batchnorm, model)):
            circle = great_circle(x, generator)
            moving = motion(lambda t: flattened(model(circle(t)), 1)[0], x.new_zeros(()))
        kappa = curvature(*moving)
        if kappa is None:
            return Reading(None, "the output does not move along the circle: it has no curvature")
        a, c = log1p(independence), log1p(kappa)
        return finite(a * c / (a + c) if a + c > 0 else 0.0)


def inverse_condition(each: Float[Tensor, "c p"]) -> float:
    """s_min / s_max; zero of a map that is zero."""
    if not each.isfinite().all():
        raise ValueError("a feature map is NaN or infinite: it has no singular values")
    values = torch.linalg.svdvals(each.double())
    return (values[-1] / values[0]).item() if values[0] > 0 else 0.0


def great_circle(like: Tensor, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """t -> u cos t + v sin t, for u and v orthonormal and random in the space of the inputs."""
    drawn = torch.randn(like[0].numel(), 2, generator=generator, dtype=torch.float64)
    u, v = (each.view_as(like).to(like) for each in torch.linalg.qr(drawn)[0].T)
    return lambda t: u * t.cos() + v * t.sin()


class Motion(NamedTuple):
    """How a curve moves at a point."""

    velocity: Float[Tensor, " k"]
    acceleration: Float[Tensor, " k"]


def motion(curve: Callable[[Tensor], Float[Tensor, " k"]], t: Tensor) -> Motion:
    """The first two derivatives at t, by a backward pass each for every coordinate.

    Two forward derivatives through BatchNorm would be wrong: torch's rule for its forward
    derivative does not itself differentiate right.
    """
    t = t.detach().requires_grad_()
    f, first, second = curve(t), [], []
    for coordinate in f:
        (v,) = gradients(coordinate, [t], create_graph=True, materialize_grads=True)
        (a,) = gradients(v, [t], retain_graph=True, materialize_grads=True)
        first.append(v.detach())
        second.append(a)
    return Motion(torch.stack(first).double(), torch.stack(second).double())


def curvature(v: Float[Tensor, " k"], a: Float[Tensor, " k"]) -> float | None:
    """kappa = sqrt(|v|^2 |a|^2 - (v . a)^2) / |v|^3; None of a curve at rest.

    Source: Poole et al., "Exponential expressivity in deep neural networks through transient
    chaos", NeurIPS 2016, https://arxiv.org/abs/1606.05340.
    """
    speed = v.norm()
    if not speed > 0:
        return None
    across = a - (a @ v) / speed**2 * v
    return (across.norm() / speed**2).item()
