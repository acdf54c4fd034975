"""What a network says of the images' labels before training, as a Gaussian process.

The kernel is estimated from weights drawn at random; the process is then conditioned on training
images, or asked how likely their labels are.

Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
https://arxiv.org/abs/2011.06006.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.nngp import Statistics, nngp_blocks
from untrained.kernels.validation import Validation, validate
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class NNGP(Score):
    """A number that kernel regression with the NNGP gives.

    The probe's first images train, the last `validation` of them validate. Where they have a
    reason of their own, such as a kernel that is zero, scores fail with it.
    """

    ensemble: int = 1
    "M, the weight draws that a kernel is the mean of; the published code takes 2 to 4."
    validation: int = 200
    "Images of the probe that are held out."
    batchnorm: Statistics = "frozen"
    "Statistics of BatchNorm on each draw; see `untrained.kernels.nngp`."
    calibration: int = 100
    "Training images whose statistics BatchNorm takes; the published code takes 100 too."
    initialisation: str = "lecun_normal"
    "The law of the weights, as in the published code."
    ridge: Literal["leave_one_out", "log_marginal_likelihood"] = "leave_one_out"
    "How the ridge is chosen, by the training images alone; `nngp_published` does without."

    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=700)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        n = len(probe.inputs) - self.validation
        if n < 2:
            return Reading(
                None,
                f"expected a probe of 2 images or more beside the {self.validation} held out, got "
                f"{len(probe.inputs)}; set count",
            )
        train = probe.inputs[:n]
        whole = self.batchnorm == "batch"
        blocks = nngp_blocks(
            network,
            train,
            probe.inputs[n:],
            generator=generator,
            draws=self.ensemble,
            weights=self.initialisation,
            batchnorm=self.batchnorm,
            calibration=None if whole else train[: self.calibration],
        )
        found = validate(
            blocks, probe.labels[:n], probe.labels[n:], classes=probe.classes, by=self.ridge
        )
        return Reading(self.chosen(found), found.unresolved)

    def chosen(self, found: Validation) -> float | None:
        """The number that this score is."""
        raise NotImplementedError


@dataclass(frozen=True)
class NNGPLogMarginalLikelihood(NNGP):
    """log p(Y) of the training labels, per image and class, in nats."""

    higher_is_better: ClassVar = True

    def chosen(self, found: Validation) -> float | None:
        return found.log_marginal_likelihood


@dataclass(frozen=True)
class NNGPPublishedAccuracy(NNGP):
    """Accuracy on the held-out images at the best ridge for these very images, as published."""

    higher_is_better: ClassVar = True

    def chosen(self, found: Validation) -> float | None:
        return found.published_accuracy


@dataclass(frozen=True)
class NNGPAccuracy(NNGP):
    """Accuracy on the held-out images, at a ridge that they had no part in choosing."""

    higher_is_better: ClassVar = True

    def chosen(self, found: Validation) -> float | None:
        return found.accuracy


@dataclass(frozen=True)
class NNGPSquaredError(NNGP):
    """Mean squared error on the held-out images, whose targets are one-hot minus 1 / K."""

    higher_is_better: ClassVar = False

    def chosen(self, found: Validation) -> float | None:
        return found.squared_error


@dataclass(frozen=True)
class NNGPNegativeLogLikelihood(NNGP):
    """-log p(y | Y) of the held-out images under the Gaussian, per image and class, in nats."""

    higher_is_better: ClassVar = False

    def chosen(self, found: Validation) -> float | None:
        return found.negative_log_likelihood


@dataclass(frozen=True)
class NNGPLeaveOneOut(NNGP):
    """Accuracy on each training image from all others."""

    higher_is_better: ClassVar = True

    def chosen(self, found: Validation) -> float | None:
        return found.leave_one_out_accuracy
