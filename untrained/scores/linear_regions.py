"""The number of linear regions that random inputs fall into."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Policy
from untrained.regions.counting import count_regions
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class LinearRegions(Score):
    """R = number of distinct activation patterns on the probe; higher is more expressive.

    Source: Chen, Gong & Wang, ICLR 2021, https://arxiv.org/abs/2102.11535, equations 4 and 5. As
    in the authors' code, a thin network sees 3x3 patches of one channel: on whole images every
    input has a region of its own and the count says nothing.
    """

    meaning: ClassVar = (
        "Distinct patterns of active and inactive units over the inputs shown. "
        "Where there are more, the network tells more inputs apart."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."
    batches: int = 1
    """Parts of the probe that BatchNorm normalises apart; the authors' code takes 3, and counts a
    pattern that occurs in two of them once."""

    higher_is_better: ClassVar = True
    is_count: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=3000, patch=3, one_channel=True)
    weights: ClassVar = "kaiming_fan_in"

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        try:
            found = count_regions(
                network,
                probe.inputs,
                batchnorm=self.batchnorm,
                chunk=-(-len(probe.inputs) // self.batches),
                apart=True,
            )
        except ValueError as error:
            return Reading(None, str(error))
        return Reading(float(found.count))
