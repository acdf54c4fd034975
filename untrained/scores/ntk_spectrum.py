"""What the spectrum of the NTK says of a network, alone and beside the labels; at initialisation.

They cost one kernel together with the scores of `kernel`, by default that of all weights below
the classifier.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from untrained.analysis.alignment import cosine
from untrained.analysis.label_energy import label_energy
from untrained.analysis.spectrum import spectrum
from untrained.images.probe import Probe
from untrained.networks.choices import Named
from untrained.scores.kernel import NTKScore, SpectrumScore
from untrained.scores.score import Reading


@dataclass(frozen=True)
class PseudoNTK(NTKScore):
    """kappa = lambda_max / lambda_min of the pseudo-NTK, of all parameters; lower is better.

        pNTK(x, x') = d h(x) . d h(x') = Theta(x, x') / K,    h = sum_k f_k / sqrt K

    It is the kernel of the summed logits over K, and so has its condition number. In wide
    networks Theta(x, x') of all outputs is about pNTK(x, x') I.

    Source: Mohamadi, Bae & Sutherland, "A Fast, Well-Founded Approximation to the Empirical
    Neural Tangent Kernel", ICML 2023, https://arxiv.org/abs/2206.12543; the direction, Chen, Gong
    & Wang, ICLR 2021, https://arxiv.org/abs/2102.11535.
    """

    meaning: ClassVar = (
        "Condition number of the pseudo-NTK of validation images, of all parameters."
    )
    higher_is_better: ClassVar = False
    parameters: Named = "all"
    "Whose kernel it is; see `untrained.kernels.ntk`."

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        found = spectrum(seen)
        return Reading(found.condition_number, found.reason)


@dataclass(frozen=True)
class EffectiveRank(SpectrumScore):
    """(tr Theta)^2 / ||Theta||_F^2, how many directions the kernel has.

    From 1 to the number of images, which it is where kappa = 1: so higher is better for the
    reason for which a lower condition number is, but the smallest eigenvalue decides nothing.
    """

    meaning: ClassVar = (
        "Effective rank of the NTK: how many directions gradient descent moves in at a similar "
        "pace."
    )
    statistic: ClassVar = "effective_rank"


@dataclass(frozen=True)
class SpectralDecay(NTKScore):
    """a of lambda_i ~ i^-a, fitted to the resolved eigenvalues; lower learns more directions.

    Source: Bordelon, Atanasov & Pehlevan, "How Feature Learning Can Improve Neural Scaling Laws",
    ICLR 2025, https://arxiv.org/abs/2409.17858.
    """

    meaning: ClassVar = (
        "Exponent by which the eigenvalues of the NTK decay. Where it is low, fine detail is "
        "learnt nearly as fast as coarse structure."
    )
    higher_is_better: ClassVar = False

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        found = spectrum(seen)
        return Reading(found.decay.exponent, found.degenerate or found.decay.reason)


@dataclass(frozen=True)
class SourceExponent(NTKScore):
    """b of C(k) ~ lambda_k^b, with C(k) the labels' energy beyond k eigenvectors.

    Where it is higher, the labels are easier; see `untrained.analysis.label_energy`.

    Source: Bordelon, Atanasov & Pehlevan, ICLR 2025, https://arxiv.org/abs/2409.17858.
    """

    meaning: ClassVar = (
        "Source exponent of the labels under the NTK: how soon its largest directions explain "
        "them."
    )

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        found = label_energy(seen, probe.labels.to(seen.device)).source
        return Reading(found.exponent, found.reason)


@dataclass(frozen=True)
class TargetAlignment(NTKScore):
    """<Theta, Y Y^T> / (||Theta|| ||Y Y^T||), with Y the one-hot labels less their mean.

    The kernel is not centred, and classes weigh as the images have them: beside it,
    `label_alignment_centred` centres both, with 1 and -1 for labels.

    Source: Cristianini et al., "On Kernel-Target Alignment", NeurIPS 2001; as a sign of fast
    training, Wang et al., "Deep Active Learning by Leveraging Training Dynamics", NeurIPS 2022,
    https://arxiv.org/abs/2110.08611.
    """

    meaning: ClassVar = (
        "Kernel-target alignment: cosine between the NTK and the kernel of the labels."
    )

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        y = F.one_hot(probe.labels, probe.classes).to(seen.device, torch.float64)
        y = y - y.mean(0)
        return Reading(*cosine(seen, y @ y.T))
