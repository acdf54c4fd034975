"""MeCo: how independent the channels of each feature map are, seen on one random input."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.analysis.pearson import row_correlations
from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Policy
from untrained.networks.feature_maps import feature_maps
from untrained.scores.score import Reading, View, ViewScore

NO_MAPS = "the network has no feature maps: nothing with channels at several positions"

Maps = tuple[Float[Tensor, "_ _"], ...]


@dataclass(frozen=True)
class NoiseMapsView(View):
    """The feature maps of one input of standard normal numbers, in the shape of the probe's."""

    batchnorm: Policy

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> tuple[Maps, int]:
        """The maps, and a seed for scores that draw channels."""
        x = torch.randn(1, *probe.inputs.shape[1:], generator=generator).to(probe.inputs)
        found = feature_maps(network, x, batchnorm=self.batchnorm)
        seed = int(torch.randint(2**62, (), generator=generator))
        return tuple(each[0] for each in found), seed


@dataclass(frozen=True)
class MeCo(ViewScore):
    """sum_l lambda_min(P_l), P_l the correlation matrix of the channels of feature map l.

    Channels are variables and positions observations; a channel that is constant correlates with
    nothing, nor with itself. Feature maps are those of `untrained.networks.feature_maps`: each
    that is computed, once. The authors' code takes the output of every module, so that a map
    counts once more for each container that ends in it, and misses what no module computes.

    Source: Jiang, Wang & Bie, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via
    Minimum Eigenvalue of Correlation", NeurIPS 2023, which takes whole networks.
    """

    meaning: ClassVar = (
        "Sum over feature maps of the smallest eigenvalue of their channels' correlations "
        "(MeCo). Where it is high, channels do not repeat each other."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=1)
    weights: ClassVar = "kaiming_fan_in"

    @property
    def view(self) -> NoiseMapsView:
        return NoiseMapsView(self.batchnorm)

    def of(self, seen: tuple[Maps, int], probe: Probe) -> Reading:
        return summed([smallest_eigenvalue(each) for each in seen[0]])


@dataclass(frozen=True)
class MeCoOpt(MeCo):
    """sum_l (c_l / m) lambda_min(P_l of m channels), m = 8 of the c_l drawn at random.

    A map of fewer channels takes all, which the authors' code cannot. Source: as of MeCo.
    """

    meaning: ClassVar = "MeCo on some channels of each feature map, eight by default, scaled up."
    channels: int = 8
    "m, the channels drawn of each map."

    def of(self, seen: tuple[Maps, int], probe: Probe) -> Reading:
        if self.channels < 1:
            return Reading(None, f"expected one channel or more, got channels={self.channels!r}")
        maps, seed = seen
        generator = torch.Generator().manual_seed(seed)
        terms = []
        for each in maps:
            m = min(self.channels, len(each))
            drawn = torch.randperm(len(each), generator=generator)[:m].to(each.device)
            terms.append(smallest_eigenvalue(each[drawn]) * len(each) / m)
        return summed(terms)


def smallest_eigenvalue(each: Float[Tensor, "c p"]) -> float:
    """lambda_min of the channels' correlation matrix, which has none below zero."""
    if not each.isfinite().all():
        raise ValueError("a feature map is NaN or infinite: it has no correlations")
    return max(torch.linalg.eigvalsh(row_correlations(each))[0].item(), 0.0)


def summed(terms: list[float]) -> Reading:
    """The sum over feature maps, where there are any."""
    if not terms:
        return Reading(None, NO_MAPS)
    return Reading(sum(terms))
