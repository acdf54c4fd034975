"""Measured latency: seconds of a forward pass on this machine."""

import time
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import evaluating
from untrained.networks.foreign import foreign
from untrained.scores.score import Reading, Score

WARM_UP = 3
"Passes before the first that counts: caches fill, and a GPU chooses its kernels."


@dataclass(frozen=True)
class Latency(Score):
    """The median seconds that `passes` forward passes of the probe took, in evaluation mode.

    It measures the machine as it is: the processor, its threads, and whatever else runs. A
    median keeps out what disturbs fewer than half of the passes; a machine that is busy
    throughout is slower throughout. Readings that were stored elsewhere are of that machine.
    As in every score, products are in full float32, without TF32; recurrent layers run without
    cuDNN, and what is compiled runs as it was written.
    """

    meaning: ClassVar = "Median seconds of a forward pass of one image on this machine."
    unit: ClassVar = "s"
    passes: int = 10
    "How many are timed."

    higher_is_better: ClassVar = False
    of_machine: ClassVar = True
    network: ClassVar = "full"
    probe: ClassVar = ProbeSpec(count=1)
    weights: ClassVar = None

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        if self.passes < 1:
            return Reading(None, f"expected one pass or more, got passes={self.passes!r}")
        x, seconds = probe.inputs, []
        with evaluating(network), torch.no_grad(), foreign(x):
            for _ in range(WARM_UP + self.passes):
                images = x.clone()  # a network may change its input in place
                began = _now(x.device)
                network(images)
                seconds.append(_now(x.device) - began)
        return Reading(median(seconds[WARM_UP:]))


def _now(device: torch.device) -> float:
    """The time, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
