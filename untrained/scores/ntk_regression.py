"""What kernel regression with the NTK says of the images' labels; at initialisation.

They cost one kernel together with the scores of `kernel`. Targets are one-hot less 1 / K, and
ridges are in units of tr Theta / n, as in `untrained.analysis.regression`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from untrained.analysis.blocks import split
from untrained.analysis.regression import regression
from untrained.analysis.spectrum import spectrum
from untrained.analysis.validation import validate
from untrained.images.probe import Probe
from untrained.scores.kernel import NTKScore
from untrained.scores.score import Reading, finite


@dataclass(frozen=True)
class NTKLogMarginalLikelihood(NTKScore):
    """log p(Y) of all images under a Gaussian process with the NTK, per image and class, in nats.

    At its best ridge and with its scale fitted; see `untrained.analysis.regression`.

    Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4; of
    the NTK, Immer et al., "Stochastic Marginal Likelihood Gradients using Neural Tangent
    Kernels", ICML 2023, https://arxiv.org/abs/2306.03968.
    """

    meaning: ClassVar = (
        "Log marginal likelihood of the images' labels, per image and class, under a Gaussian "
        "process with the NTK."
    )
    unit: ClassVar = "nats"

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        if len(seen) < 2:
            return Reading(None, f"expected a probe of 2 images or more, got {len(seen)}")
        labels = probe.labels.to(seen.device)
        found = validate(
            split(seen, len(seen)),
            labels,
            labels[:0],
            classes=probe.classes,
            by="log_marginal_likelihood",
        )
        return Reading(found.log_marginal_likelihood, found.reason)


@dataclass(frozen=True)
class LabelComplexity(NTKScore):
    """sum_k y_k^T (Theta + e I)^-1 y_k / n, e = ridge tr Theta / n; lower generalises better.

    Its square root bounds the excess risk of gradient descent in the kernel's regime. It is in
    the kernel's units: where gradients are larger, it is smaller.

    Source: Oymak, Li & Soltanolkotabi, "Generalization Guarantees for Neural Architecture Search
    with Train-Validation Split", ICML 2021, https://arxiv.org/abs/2104.14132.
    """

    meaning: ClassVar = (
        "Complexity of the labels for the NTK: how far weights must move to fit them, which "
        "bounds the excess risk."
    )
    ridge: float = 1e-3
    "In units of tr Theta / n."
    higher_is_better: ClassVar = False

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        labels = probe.labels.to(seen.device)
        fit = regression(seen, labels, classes=probe.classes, ridges=(self.ridge,))
        if not len(fit.ridges):
            return Reading(None, fit.skipped[-1])
        return finite(fit.scale.item() * fit.targets.shape[1])


@dataclass(frozen=True)
class SplitNTKScore(NTKScore):
    """A number of how the first half of the images predicts the second."""

    higher_is_better: ClassVar = False

    def halves(self, seen: Tensor) -> int:
        """Images of the first half."""
        return len(seen) // 2


@dataclass(frozen=True)
class NTKRegressionError(SplitNTKScore):
    """Mean squared error of the second half of the images, by kernel regression on the first.

    The mean is over images and classes, the ridge that of least leave-one-out error on the first
    half. The published error has none: that is `tegnas:mse`.

    Source: Chen et al., "Understanding and Accelerating Neural Architecture Search with
    Training-Free and Theory-Grounded Metrics", 2021, https://arxiv.org/abs/2108.11939.
    """

    meaning: ClassVar = (
        "Mean squared error, on held-out images, of kernel regression with the NTK before "
        "training."
    )

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        n = self.halves(seen)
        if n < 2:
            return Reading(None, f"expected a probe of 4 images or more, got {len(seen)}")
        labels = probe.labels.to(seen.device)
        found = validate(split(seen, n), labels[:n], labels[n:], classes=probe.classes)
        return Reading(found.squared_error, found.reason)


@dataclass(frozen=True)
class ReleasedRegressionError(SplitNTKScore):
    """mean_i ||Theta_vt Theta_tt^-1 Y_t - Y_v||^2, with Y one-hot less the mean of its half.

    As the code of TEG-NAS has it: no ridge, a sum over classes, and the validation targets
    centred by their own mean. Where that code gives -1, for a kernel that cannot be inverted,
    this gives the reason. Its kernel is of the parameters that have "cell" in their name; here it
    is that of `parameters`, all weights below the classifier.

    Source: code of Chen et al., 2021, https://arxiv.org/abs/2108.11939.
    """

    meaning: ClassVar = (
        "Squared error, on held-out images, of kernel regression with the NTK and no ridge, as "
        "the code of TEG-NAS computes it."
    )

    def of(self, seen: Tensor, probe: Probe) -> Reading:
        n = self.halves(seen)
        reason = spectrum(seen[:n, :n]).reason
        if reason:
            return Reading(None, reason)
        theta = seen.as_subclass(Tensor)
        y = F.one_hot(probe.labels, probe.classes).to(theta)
        fitted, held_out = y[:n] - y[:n].mean(0), y[n:] - y[n:].mean(0)
        predicted = theta[n:, :n] @ torch.linalg.solve(theta[:n, :n], fitted)
        return finite((predicted - held_out).square().sum(1).mean().item())
