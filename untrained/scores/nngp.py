"""What a network says of the images' labels before training, as a Gaussian process.

The kernel is estimated from weights drawn at random; the process is then conditioned on training
images, or asked how likely their labels are.

Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
https://arxiv.org/abs/2011.06006.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.analysis.blocks import Blocks
from untrained.analysis.regression import RidgeChoice
from untrained.analysis.validation import validate
from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.drawn import Statistics
from untrained.kernels.nngp import nngp_blocks
from untrained.scores.score import Reading, View, ViewScore


@dataclass(frozen=True)
class NNGPView(View):
    """The kernel of the first images of a probe, and between them and the `held_out` last."""

    draws: int
    held_out: int
    batchnorm: Statistics
    calibration: int
    initialisation: str

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> Blocks | None:
        """None where fewer than two images are left."""
        n = len(probe.inputs) - self.held_out
        if n < 2:
            return None
        train = probe.inputs[:n]
        return nngp_blocks(
            network,
            train,
            probe.inputs[n:] if self.held_out else train[:1],  # an image stands in for none
            generator=generator,
            draws=self.draws,
            weights=self.initialisation,
            batchnorm=self.batchnorm,
            calibration=None if self.batchnorm == "batch" else train[: self.calibration],
        )


@dataclass(frozen=True)
class NNGP(ViewScore):
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
    statistic: ClassVar[str]
    "The field of `Validation` that this score is."
    held_out: ClassVar[bool] = True
    "Whether it is of images that are held out."
    ridge: ClassVar[RidgeChoice] = "leave_one_out"
    "How the ridge is chosen, by the training images alone."

    @property
    def view(self) -> NNGPView:
        return NNGPView(
            self.ensemble,
            self.validation if self.held_out else 0,
            self.batchnorm,
            self.calibration,
            self.initialisation,
        )

    def of(self, seen: Blocks | None, probe: Probe) -> Reading:
        if seen is None:
            return Reading(
                None,
                f"expected a probe of 2 images or more beside the {self.validation} held out, got "
                f"{len(probe.inputs)}; set count",
            )
        n = len(seen.train)
        held_out = probe.labels[n:] if self.held_out else probe.labels[:1]
        found = validate(seen, probe.labels[:n], held_out, classes=probe.classes, by=self.ridge)
        return Reading(getattr(found, self.statistic), found.reason)


@dataclass(frozen=True)
class NNGPLogMarginalLikelihood(NNGP):
    """log p(Y) of the labels of all images, per image and class, in nats; at its best ridge."""

    meaning: ClassVar = (
        "Log marginal likelihood of the images' labels, per image and class, under the Gaussian "
        "process of a wide network before training."
    )
    unit: ClassVar = "nats"
    higher_is_better: ClassVar = True
    held_out: ClassVar = False
    ridge: ClassVar = "log_marginal_likelihood"
    statistic: ClassVar = "log_marginal_likelihood"


@dataclass(frozen=True)
class NNGPPublishedAccuracy(NNGP):
    """Accuracy on the held-out images at the best ridge for these very images, as published."""

    meaning: ClassVar = (
        "Share of held-out images that the Gaussian process classifies correctly with the ridge "
        "that is best for these very images, as published: an optimistic estimate."
    )
    higher_is_better: ClassVar = True
    statistic: ClassVar = "published_accuracy"


@dataclass(frozen=True)
class NNGPAccuracy(NNGP):
    """Accuracy on the held-out images, at a ridge that they had no part in choosing."""

    meaning: ClassVar = (
        "Share of held-out images that the Gaussian process of a wide network before training "
        "classifies correctly."
    )
    higher_is_better: ClassVar = True
    statistic: ClassVar = "accuracy"


@dataclass(frozen=True)
class NNGPSquaredError(NNGP):
    """Mean squared error on the held-out images, whose targets are one-hot minus 1 / K."""

    meaning: ClassVar = (
        "Mean squared error, on held-out images, of the Gaussian process of a wide network "
        "before training."
    )
    higher_is_better: ClassVar = False
    statistic: ClassVar = "squared_error"


@dataclass(frozen=True)
class NNGPNegativeLogLikelihood(NNGP):
    """-log p(y | Y) of the held-out images under the Gaussian, per image and class, in nats."""

    meaning: ClassVar = (
        "Negative log-likelihood of the labels of held-out images under the Gaussian process "
        "of a wide network before training."
    )
    unit: ClassVar = "nats"
    higher_is_better: ClassVar = False
    statistic: ClassVar = "negative_log_likelihood"


@dataclass(frozen=True)
class NNGPLeaveOneOut(NNGP):
    """Accuracy on each image from all others."""

    meaning: ClassVar = (
        "Share of images that the Gaussian process of a wide network before training classifies "
        "correctly from all other images (leave-one-out)."
    )
    higher_is_better: ClassVar = True
    held_out: ClassVar = False
    statistic: ClassVar = "leave_one_out_accuracy"
