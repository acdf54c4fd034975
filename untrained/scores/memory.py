"""Peak memory of a network: of inference, and of a step of training."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import evaluating
from untrained.networks.foreign import foreign
from untrained.networks.peak import PeakMemory, state_of
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class InferenceMemory(Score):
    """Bytes of weights, images and activations at the fullest moment of a forward pass.

        memory = weights + buffers + images + max over operations of activations alive

    An activation is alive from the operation that makes it until the network lets go of it. The
    workspace of an operation and what an allocator keeps in store do not count: the number is
    that of the network and not of a machine, and less than what a process takes.
    """

    meaning: ClassVar = "Peak bytes of weights and activations of a forward pass of one image."
    unit: ClassVar = "bytes"
    higher_is_better: ClassVar = False
    is_count: ClassVar = True
    is_size: ClassVar = True
    network: ClassVar = "full"
    probe: ClassVar = ProbeSpec(count=1)
    weights: ClassVar = None

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        x = probe.inputs.clone()  # a network may change its input in place
        held = PeakMemory([x, *state_of(network)])
        with evaluating(network), torch.no_grad(), foreign(x), held:
            network(x)
        return Reading(float(held.peak))


@dataclass(frozen=True)
class TrainingMemory(Score):
    """Bytes at the fullest moment of a step of training: forward, loss, backward.

        memory = weights + states * parameters + buffers + images
                 + max over operations of activations and gradients alive

    In float32, without checkpointing of activations. As in `memory`, workspaces do not count.
    """

    meaning: ClassVar = "Peak bytes of a step of training on a batch."
    unit: ClassVar = "bytes"
    states: int = 1
    """Numbers that the optimiser keeps for each parameter: 1 of SGD with momentum, 2 of Adam."""

    higher_is_better: ClassVar = False
    is_count: ClassVar = True
    is_size: ClassVar = True
    network: ClassVar = "full"
    probe: ClassVar = ProbeSpec(count=64)
    weights: ClassVar = None

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        network = deepcopy(network).train()  # BatchNorm's statistics move, and gradients come
        x = probe.inputs.clone()
        kept = [p.new_empty(self.states * p.numel()) for p in network.parameters()]
        held = PeakMemory([x, probe.labels, *state_of(network), *kept])
        with torch.enable_grad(), foreign(x), held:
            cross_entropy(network(x), probe.labels).backward()
        return Reading(float(held.peak))
