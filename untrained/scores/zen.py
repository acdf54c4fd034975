"""The Zen score: how far the features of noise move with the noise."""

from dataclasses import dataclass
from math import inf, log
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import BatchNormCall, BatchStatistics, evaluating
from untrained.networks.feature_maps import LastMap
from untrained.networks.features import features
from untrained.networks.foreign import foreign
from untrained.networks.unwrapping import unwrapped
from untrained.scores.score import Reading, Score, finite

Channels = Float[Tensor, " c"]


@dataclass(frozen=True)
class Zen(Score):
    """log E ||f(x) - f(x + a e)||_1 + sum_l log sqrt(v_l); higher is more expressive.

    f are the features before the last pooling over all positions or, without one, before the
    readout; x and e are standard normal, in the shape of the probe. BatchNorm normalises by the
    batch, and v_l is the mean over channels of the variance that it takes, which puts back the
    scale of what it divides.

    Source: Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV
    2021, https://arxiv.org/abs/2102.01063, which takes whole networks, weights N(0, 1) and
    a = 0.01.
    """

    meaning: ClassVar = (
        "Logarithm of how far the last features move when a random input changes slightly, with "
        "the scale that BatchNorm removes put back (Zen score)."
    )
    step: float = 0.01
    "a, the length of the change."
    variance: Literal["batch", "released"] = "batch"
    """`released` takes for v_l, as the authors' code does, the running variance after the passes
    of x and x + a e, which is still nine tenths of what it was in each: so BatchNorm's scale is
    put back in part."""

    higher_is_better: ClassVar = True
    network: ClassVar[Literal["full", "narrow"]] = "narrow"
    probe: ClassVar = ProbeSpec(count=64)
    weights: ClassVar = "normal"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        model, like = unwrapped(network), probe.inputs
        x, e = (torch.randn(like.shape, generator=generator).to(like) for _ in range(2))
        first, second = _Variances(model), _Variances(model)
        with evaluating(model), torch.no_grad(), foreign(x):
            f, moved = _features(model, x, first), _features(model, x + self.step * e, second)
        distance = (f - moved).double().flatten(1).abs().sum(1).mean().item()
        if not 0 < distance < inf:
            return Reading(None, f"the features move by {distance} with the input: no logarithm")
        variances = [
            self._variance(*each)
            for each in zip(first.asked, first.found, second.found, strict=True)
        ]
        if not all(v > 0 for v in variances):
            return Reading(
                None, "what comes to a BatchNorm does not vary, or is NaN: no logarithm"
            )
        return finite(log(distance) + sum(log(v) / 2 for v in variances))

    def _variance(self, asked: BatchNormCall, v: Channels, moved: Channels) -> float:
        """v_l; `v` and `moved` are the unbiased variances of both passes."""
        if self.variance == "batch":
            count = asked.input.numel() // len(v)
            return (v.mean() * (count - 1) / count).item()
        old = torch.ones_like(v) if asked.running_var is None else asked.running_var
        for new in (v, moved):
            old = torch.lerp(old, new, asked.momentum)
        return old.mean().item()


@dataclass(frozen=True)
class ReleasedZen(Zen):
    """Zen as its authors' code computes it: v_l is BatchNorm's running variance.

    Of whole networks, as they do: every BatchNorm adds a term, so that depth changes the ranking.
    """

    meaning: ClassVar = (
        "Zen score as its authors' code computes it: the scale that BatchNorm removes is put "
        "back only in part."
    )
    network: ClassVar = "full"
    variance: Literal["batch", "released"] = "released"


class _Variances(BatchStatistics):
    """Keeps the unbiased variance of each batch that is normalised."""

    def __init__(self, model: nn.Module):
        super().__init__(model)
        self.asked: list[BatchNormCall] = []
        self.found: list[Channels] = []

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        self.asked.append(asked)
        self.found.append(asked.input.transpose(0, 1).flatten(1).var(1))
        return super().altered(asked)


def _features(model: nn.Module, x: Tensor, policy: _Variances) -> Float[Tensor, "n ..."]:
    with LastMap(len(x)) as last, policy:
        model(x.clone())
    return features(model, x, batchnorm="batch").z if last.map is None else last.map
