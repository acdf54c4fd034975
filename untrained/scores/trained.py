"""Accuracy and loss after a little training: what shortened training says of a network."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.batchnorm import evaluating
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class AfterTraining(Score):
    """A score of what the network predicts, after one epoch unless a run says otherwise."""

    network: ClassVar = "narrow"
    epochs: ClassVar = 1
    weights: ClassVar = "kaiming_fan_out"

    def logits(self, network: nn.Module, probe: Probe) -> torch.Tensor:
        """Of the probe, in evaluation mode and in parts, so that memory stays small."""
        with evaluating(network), torch.no_grad():
            return torch.cat([network(part) for part in probe.inputs.split(250)])


@dataclass(frozen=True)
class ValidationAccuracy(AfterTraining):
    """Share of validation images that the network classifies right."""

    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(1000, at_most=True, split="validation")

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        right = self.logits(network, probe).argmax(1) == probe.labels
        return Reading(right.double().mean().item())


@dataclass(frozen=True)
class ValidationLoss(AfterTraining):
    """Mean cross-entropy of validation images, in nats."""

    higher_is_better: ClassVar = False
    probe: ClassVar = ProbeSpec(1000, at_most=True, split="validation")

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(cross_entropy(self.logits(network, probe).double(), probe.labels).item())


@dataclass(frozen=True)
class TrainingAccuracy(ValidationAccuracy):
    """Share of training images, not augmented, that the network classifies right."""

    probe: ClassVar = ProbeSpec(1000, at_most=True)


@dataclass(frozen=True)
class TrainingLoss(ValidationLoss):
    """Mean cross-entropy of training images, not augmented, in nats."""

    probe: ClassVar = ProbeSpec(1000, at_most=True)
