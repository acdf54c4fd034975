"""Scores of activation codes: which units of a network are on, for which inputs.

One forward pass serves all scores that are shown the same probe.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Policy
from untrained.regions.codes import ActivationCodes, activation_codes
from untrained.scores.score import Reading, View, ViewScore


class Coded(NamedTuple):
    """What a forward pass tells."""

    codes: ActivationCodes
    parameters: int
    "Trainable ones of the network."


@dataclass(frozen=True)
class CodesView(View):
    """The codes of the probe."""

    batchnorm: Policy

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Coded:
        codes = activation_codes(network, probe.inputs, batchnorm=self.batchnorm)
        return Coded(codes, sum(p.numel() for p in network.parameters() if p.requires_grad))


@dataclass(frozen=True)
class CodeScore(ViewScore):
    """A number that the codes give."""

    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True

    @property
    def view(self) -> CodesView:
        return CodesView(self.batchnorm)


@dataclass(frozen=True)
class NASWOT(CodeScore):
    """log |det K|, K_ij = N_A - d_H(c_i, c_j); higher tells images apart by more units.

    c_i is the code of image i, d_H the Hamming distance, N_A the number of units. Units are those
    of every elementwise piecewise-linear activation; the authors' code looks for modules with
    ReLU in the name of their class, and misses activations that are functions. Where two images
    share a code, or units are too few to tell all apart, the determinant is zero and there is no
    value.

    Source: Mellor, Turner, Storkey & Crowley, "Neural Architecture Search without Training", ICML
    2021, https://arxiv.org/abs/2006.04647, which takes 128 images and whole networks.
    """

    meaning: ClassVar = (
        "Log-determinant of the numbers of units on which each two images agree (NASWOT). Where "
        "it is high, different images switch on different units."
    )
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=128)
    weights: ClassVar = "kaiming_fan_in"

    def of(self, seen: Coded, probe: Probe) -> Reading:
        values = torch.linalg.eigvalsh(seen.codes.agreement())
        rounding = len(values) * torch.finfo(torch.float64).eps
        if values[0] <= rounding * values[-1]:
            return Reading(
                None,
                "the kernel of the codes is singular: images share a code, or units are too few "
                "to tell them apart",
            )
        return Reading(values.log().sum().item())


@dataclass(frozen=True)
class SWAP(CodeScore):
    """Number of distinct patterns that units have over the images; higher is more expressive.

    A pattern is a column of the codes, one unit's over all images, where linear regions count
    distinct rows. The authors' code sees modules of class `nn.ReLU` on images alone; here it is
    every elementwise piecewise-linear activation. They average over 32 draws of the weights,
    which are draws of a run here, and on DARTS take networks of 3 channels and one cell without a
    stem, where `small` has its own sizes and a stem.

    Source: Peng, Song, Fayek, Ciesielski & Chang, "SWAP-NAS: Sample-Wise Activation Patterns for
    Ultra-fast NAS", ICLR 2024, https://arxiv.org/abs/2403.04161.
    """

    meaning: ClassVar = (
        "Distinct activation patterns that units have over the images (SWAP). Where there are "
        "more, units are less redundant."
    )
    is_count: ClassVar = True
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(count=16)
    weights: ClassVar = "normal"

    def of(self, seen: Coded, probe: Probe) -> Reading:
        return Reading(float(seen.codes.distinct_units()))


@dataclass(frozen=True)
class RegularisedSWAP(CodeScore):
    """SWAP * exp(-(P - mu)^2 / sigma), which prefers networks of a size aimed at.

    P is the number of trainable parameters in thousands, of the network that is scored. Its
    authors choose mu and sigma for a space and a budget, equal in their searches. So sigma is mu
    unless it is set; and a run that sets no mu, and so no budget, aims at the largest of 25
    random architectures of its space, at the score's scale. That rule is ours: on a hundred
    architectures of NAS-Bench-201, aiming at the median ranked worse than SWAP alone.

    Source: as of SWAP.
    """

    meaning: ClassVar = (
        "SWAP, reduced as the number of parameters moves away from the one aimed at."
    )
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(count=16)
    weights: ClassVar = "normal"

    mu: float | None = None
    "Thousands of parameters that are aimed at; None is the largest of the space's, as above."
    sigma: float | None = None
    "How fast the score falls off, in squared thousands; None is the number of mu."

    def aiming(self, largest: Callable[[], float]) -> "RegularisedSWAP":
        return replace(self, mu=largest() / 1000) if self.mu is None else self

    def of(self, seen: Coded, probe: Probe) -> Reading:
        sigma = self.mu if self.sigma is None else self.sigma
        if self.mu is None or sigma is None or sigma <= 0:
            return Reading(
                None,
                f"expected mu, in thousands of parameters, and sigma > 0, in squared thousands, "
                f"got mu={self.mu!r} and sigma={self.sigma!r}; set both for the size aimed at",
            )
        away = seen.parameters / 1000 - self.mu
        return Reading(seen.codes.distinct_units() * exp(-(away**2) / sigma))
