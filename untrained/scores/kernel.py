"""Numbers read off the neural tangent kernel of one batch of validation images.

They cost one kernel together; at initialisation (`epochs` 0) or after a little training. As in the
code of LGA, the kernel is that of the summed logits over all parameters called weight but those of
the last linear layer. Images are of the validation split: that code takes the first of the test
images, and their labels.

Source: Mok et al., "Demystifying the Neural Tangent Kernel from a Practical Perspective: Can it
be trusted for Neural Architecture Search without training?", CVPR 2022,
https://arxiv.org/abs/2203.14577.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.analysis.alignment import (
    centred_alignment,
    label_alignment,
    label_kernel,
    normalised,
)
from untrained.analysis.kernel import Kernel
from untrained.analysis.spectrum import spectrum
from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.ntk import ntk
from untrained.networks.choices import Named, Policy
from untrained.scores.score import Reading, View, ViewScore


@dataclass(frozen=True)
class NTKView(View):
    """The kernel of the summed logits."""

    parameters: Named
    batchnorm: Policy

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Kernel:
        return ntk(
            network,
            probe.inputs,
            parameters=self.parameters,
            batchnorm=self.batchnorm,
            precision="float64",  # the smallest eigenvalue may be at stake
        )


@dataclass(frozen=True)
class NTKScore(ViewScore):
    """A number that the kernel gives."""

    parameters: Named = "weights_below_head"
    "Whose kernel it is; see `untrained.kernels.ntk`."
    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(256, at_most=True, split="validation")
    weights: ClassVar = "kaiming_fan_out"

    @property
    def view(self) -> NTKView:
        return NTKView(self.parameters, self.batchnorm)


@dataclass(frozen=True)
class LabelAlignment(NTKScore):
    """LGA, the correlation of the kernel's entries with the labels', after one epoch.

        LGA = <Theta - mean Theta, L - mean L> / (||Theta - mean Theta|| ||L - mean L||)

    with L_ij = 1 where y_i = y_j and -1 elsewhere.
    """

    meaning: ClassVar = (
        "Label-gradient alignment (LGA): how closely the NTK of validation images resembles a "
        "matrix of 1 for two images of one class and -1 otherwise. Where it does, what is learnt "
        "from an image is learnt for its class."
    )
    epochs: ClassVar = 1

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        return Reading(*label_alignment(seen, probe.labels))


@dataclass(frozen=True)
class NormalisedLabelAlignment(NTKScore):
    """LGA of Theta_ij / sqrt(Theta_ii Theta_jj), in which no image counts more than another.

    The published LGA weighs an image by the norm of its gradient, which varies more between images
    than the kernel does between classes.
    """

    meaning: ClassVar = (
        "Label-gradient alignment (LGA) with the NTK normalised to 1 on its diagonal."
    )
    epochs: ClassVar = 1

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        return Reading(*label_alignment(normalised(seen), probe.labels))


@dataclass(frozen=True)
class CentredLabelAlignment(NTKScore):
    """The centred alignment (CKA) of Theta and the label kernel, after one epoch.

    Rows and columns are centred, where LGA takes one mean off all entries.
    """

    meaning: ClassVar = (
        "Label-gradient alignment (LGA) with the rows and columns of the NTK centred."
    )
    epochs: ClassVar = 1

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        return Reading(*centred_alignment(seen, label_kernel(probe.labels).to(seen.device)))


@dataclass(frozen=True)
class SpectrumScore(NTKScore):
    """A number that the kernel's spectrum gives, whatever the labels; at initialisation."""

    statistic: ClassVar[str]
    "The property of `Spectrum` that this score is."

    def of(self, seen: torch.Tensor, probe: Probe) -> Reading:
        found = spectrum(seen)
        if found.degenerate:
            return Reading(None, found.degenerate)
        return Reading(getattr(found, self.statistic))


@dataclass(frozen=True)
class KernelNorm(SpectrumScore):
    """||Theta||_F, the Frobenius norm.

    Source: Xu et al., "KNAS: Green Neural Architecture Search", ICML 2021,
    https://arxiv.org/abs/2111.13293, and the code of LGA.
    """

    meaning: ClassVar = "Frobenius norm of the NTK. Its authors take higher as better."
    statistic: ClassVar = "norm"


@dataclass(frozen=True)
class KernelMean(SpectrumScore):
    """mean of Theta_ij over all pairs, as KNAS scores: how far examples' gradients agree.

    Source: Xu et al., ICML 2021, https://arxiv.org/abs/2111.13293.
    """

    meaning: ClassVar = (
        "Mean entry of the NTK: how far images' gradients agree (KNAS). Its authors take "
        "higher as better."
    )
    statistic: ClassVar = "mean"


@dataclass(frozen=True)
class KernelTrace(SpectrumScore):
    """tr Theta = sum_i ||J_i||^2, as NASI scores.

    NASI estimates it from gradients of the loss over mini-batches; this is the trace itself.

    Source: Shu et al., "NASI: Label- and Data-agnostic Neural Architecture Search at
    Initialization", ICLR 2022, https://arxiv.org/abs/2109.00817.
    """

    meaning: ClassVar = (
        "Sum of the NTK's diagonal: squared norms of the images' gradients (NASI). Its "
        "authors take higher as better."
    )
    statistic: ClassVar = "trace"
