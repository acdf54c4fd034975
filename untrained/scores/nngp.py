"""What a network says of the images' labels before training, as a Gaussian process.

The kernel is estimated from weights drawn at random; the process is then conditioned on training
images, or asked how likely their labels are.

Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
https://arxiv.org/abs/2011.06006.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.nngp import Statistics, nngp_blocks
from untrained.kernels.regression import Choice
from untrained.kernels.validation import Validation, validate
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class NNGP(Score):
    """A number that kernel regression with the NNGP gives.

    Where a kernel has no answer, such as one that is zero, the score fails with its reason.
    """

    ensemble: int = 2
    "M, the weight draws that a kernel is the mean of; the published code takes 2 to 4."
    validation: int = 500
    "Images of the probe that are held out, by scores of such."
    batchnorm: Statistics = "running"
    """Statistics of BatchNorm on each draw, see `untrained.kernels.nngp`: none at all ranks best,
    and is what the published code comes to (`docs/nngp.md`)."""
    calibration: int = 100
    "Training images whose statistics BatchNorm takes, where it takes any."
    initialisation: str = "lecun_normal"
    "The law of the weights, as in the published code."

    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(1500, at_most=True)
    held_out: ClassVar[bool] = True
    "Whether it looks at images that are held out."
    ridge: ClassVar[Choice] = "leave_one_out"
    "How the ridge is chosen, by the training images alone."

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        n = len(probe.inputs) - (self.validation if self.held_out else 0)
        if n < 2:
            return Reading(
                None,
                f"expected a probe of 2 images or more beside the {self.validation} held out, got "
                f"{len(probe.inputs)}; set count",
            )
        train, whole = probe.inputs[:n], self.batchnorm == "batch"
        rest = slice(n, None) if self.held_out else slice(1)  # an image stands in for none
        blocks = nngp_blocks(
            network,
            train,
            probe.inputs[rest],
            generator=generator,
            draws=self.ensemble,
            weights=self.initialisation,
            batchnorm=self.batchnorm,
            calibration=None if whole else train[: self.calibration],
        )
        found = validate(
            blocks, probe.labels[:n], probe.labels[rest], classes=probe.classes, by=self.ridge
        )
        return Reading(self.chosen(found), found.unresolved)

    @abstractmethod
    def chosen(self, found: Validation) -> float | None:
        """The number that this score is."""


@dataclass(frozen=True)
class NNGPLogMarginalLikelihood(NNGP):
    """log p(Y) of the labels of all images, per image and class, in nats; at its best ridge."""

    higher_is_better: ClassVar = True
    held_out: ClassVar = False
    ridge: ClassVar = "log_marginal_likelihood"

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
    """Accuracy on each image from all others."""

    higher_is_better: ClassVar = True
    held_out: ClassVar = False

    def chosen(self, found: Validation) -> float | None:
        return found.leave_one_out_accuracy
