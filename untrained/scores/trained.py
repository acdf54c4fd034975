"""Accuracy and loss after a little training: what shortened training says of a network."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.scores.score import Reading, View, ViewScore


@dataclass(frozen=True)
class LogitsView(View):
    """Logits of the probe, in evaluation mode and in parts, so that memory stays small."""

    batchnorm: Literal["running", "batch"]

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> torch.Tensor:
        parts = probe.inputs.split(250)
        with evaluating(network), policy_mode(self.batchnorm, network), torch.no_grad():
            return torch.cat([network(part) for part in parts])


@dataclass(frozen=True)
class AfterTraining(ViewScore):
    """A score of what the network predicts, after one epoch unless a run says otherwise."""

    batchnorm: Literal["running", "batch"] = "running"
    """Statistics that BatchNorm takes: those of training, which lag behind in the first steps; or
    those of 250 images of the probe at a time."""

    network: ClassVar = "narrow"
    epochs: ClassVar = 1
    weights: ClassVar = "kaiming_fan_out"

    @property
    def view(self) -> LogitsView:
        return LogitsView(self.batchnorm)


@dataclass(frozen=True)
class ValidationAccuracy(AfterTraining):
    """Share of validation images that the network classifies right."""

    meaning: ClassVar = "Share of validation images classified correctly after short training."
    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(1000, at_most=True, split="validation")

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        right = seen.argmax(1) == probe.labels
        return Reading(right.double().mean().item())


@dataclass(frozen=True)
class ValidationLoss(AfterTraining):
    """Mean cross-entropy of validation images, in nats."""

    meaning: ClassVar = "Cross-entropy of validation images after short training."
    unit: ClassVar = "nats"
    higher_is_better: ClassVar = False
    probe: ClassVar = ProbeSpec(1000, at_most=True, split="validation")

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        return Reading(cross_entropy(seen.double(), probe.labels).item())


@dataclass(frozen=True)
class TrainingAccuracy(ValidationAccuracy):
    """Share of training images, not augmented, that the network classifies right."""

    meaning: ClassVar = "Share of training images classified correctly after short training."
    probe: ClassVar = ProbeSpec(1000, at_most=True)


@dataclass(frozen=True)
class TrainingLoss(ValidationLoss):
    """Mean cross-entropy of training images, not augmented, in nats."""

    meaning: ClassVar = "Cross-entropy of training images after short training."
    unit: ClassVar = "nats"
    probe: ClassVar = ProbeSpec(1000, at_most=True)
