"""How the gradient of the loss changes from batch to batch.

    g_b = d L_b / dw,    b = 1, ..., N batches,    mean and std over them (1/N, as in NumPy)

Weights w are those of `loss_gradient`. The probe is cut into N batches in its order.

The published codes of ZiCo and xi-GSNR never clear gradients between batches: what they call the
gradient of batch b is g_1 + ... + g_b. `zico:zico` and `xigsnr:xi_gsnr` repeat that, as the
published numbers rest on it. All of these, and the code of KNAS, take whole networks; here they
are narrow unless a run says otherwise.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import policy_mode
from untrained.networks.choices import Policy
from untrained.networks.interception import gradients
from untrained.networks.unwrapping import differentiable
from untrained.scores.loss_gradient import differentiating, loss_of, trainable, trainable_weights
from untrained.scores.score import Reading, View, ViewScore, finite

Gradients = Mapping[str, Float[Tensor, "b p"]]
"The gradients of N batches by each parameter that the loss depends on, by its name."


@dataclass(frozen=True)
class BatchGradientsView(View):
    """The gradients of each of some batches; None where the probe has fewer images than those."""

    batches: int
    batchnorm: Policy
    biases: bool = False
    "Whether of all trainable parameters, or of weights alone."
    entries: int | None = None
    "How many numbers of each parameter are kept, the first ones; None for all."

    def __call__(
        self, network: nn.Module, probe: Probe, generator: torch.Generator
    ) -> Gradients | None:
        if self.batches < 2:
            raise ValueError(f"expected two batches or more, got batches={self.batches!r}")
        if len(probe.inputs) < self.batches:
            return None
        network = differentiable(network, self.batchnorm)
        theta = trainable(network) if self.biases else trainable_weights(network)
        batches = zip(
            probe.inputs.tensor_split(self.batches),
            probe.labels.tensor_split(self.batches),
            strict=True,
        )
        found = [self._gradients(network, theta, x, y) for x, y in batches]
        return {name: torch.stack([each[name] for each in found]) for name in found[0]}

    def _gradients(
        self, network: nn.Module, theta: Mapping[str, nn.Parameter], x: Tensor, labels: Tensor
    ) -> dict[str, Float[Tensor, " p"]]:
        with differentiating(network, policy_mode(self.batchnorm, network)):
            loss = loss_of(network, x, labels)
            found = gradients(loss, list(theta.values()), allow_unused=True)
        return {
            name: g.flatten()[: self.entries]
            for name, g in zip(theta, found, strict=True)
            if g is not None
        }


@dataclass(frozen=True)
class GradientNoise(ViewScore):
    """A number that the gradients of some batches give."""

    batches: int = 2
    "N, parts of the probe."
    batchnorm: Policy = "batch"
    "How BatchNorm is treated, in each batch; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar[Literal["full", "narrow"]] = "narrow"
    probe: ClassVar = ProbeSpec(128)

    @property
    def view(self) -> BatchGradientsView:
        return BatchGradientsView(self.batches, self.batchnorm)

    def of(self, seen: Gradients | None, probe: Probe) -> Reading:
        if seen is None:
            return Reading(
                None,
                f"expected a probe of {self.batches} images or more, one for each batch, got "
                f"{len(probe.inputs)}; set count",
            )
        return self.noise({name: g.double() for name, g in seen.items()})

    @abstractmethod
    def noise(self, g: Gradients) -> Reading:
        """The number, from gradients in float64."""


@dataclass(frozen=True)
class ZiCo(GradientNoise):
    """sum_l log sum_{w in l} mean |g_w| / std g_w, over layers l; higher learns faster.

    Weights whose gradient does not change at all do not count, nor do layers of such.

    Source: Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients",
    ICLR 2023, https://arxiv.org/abs/2301.11300.
    """

    meaning: ClassVar = (
        "Sum over layers of the logarithm of the sum over weights of mean |gradient| over its "
        "standard deviation between batches (ZiCo). Where it is high, batches agree."
    )

    def noise(self, g: Gradients) -> Reading:
        return zico(g)


@dataclass(frozen=True)
class ReleasedZiCo(ZiCo):
    """`zico` of gradients added up over batches, as the authors' code has them.

    With 2 batches: mean |g| = (|g_1| + |g_1 + g_2|) / 2 and std g = |g_2| / 2.
    """

    meaning: ClassVar = (
        "ZiCo of gradients that add up from batch to batch, as its authors' code computes it."
    )
    network: ClassVar = "full"

    def noise(self, g: Gradients) -> Reading:
        return zico(added_up(g))


@dataclass(frozen=True)
class GradientSignalToNoise(GradientNoise):
    """sum_w (mean g_w)^2 / (var g_w + xi), the xi-GSNR; higher generalises better.

    Layers whose gradients do not change at all do not count.

    Source: Sun et al., "Unleashing the Power of Gradient Signal-to-Noise Ratio for Zero-Shot
    NAS", ICCV 2023.
    """

    meaning: ClassVar = (
        "Sum over weights of the squared mean of the loss gradient over its variance between "
        "batches (xi-GSNR). Where it is high, batches agree."
    )
    batches: int = 8
    "N, parts of the probe."
    xi: float = 1e-8
    "Added to the variance."

    probe: ClassVar = ProbeSpec(512)

    def noise(self, g: Gradients) -> Reading:
        return signal_to_noise(g, self.xi)


@dataclass(frozen=True)
class ReleasedSignalToNoise(GradientSignalToNoise):
    """`xi_gsnr` of gradients added up over batches, as the authors' code has them.

    On NAS-Bench-101 that code takes 8 images one by one, and does clear gradients.
    """

    meaning: ClassVar = (
        "xi-GSNR of gradients that add up from batch to batch, as its authors' code computes it."
    )
    network: ClassVar = "full"

    def noise(self, g: Gradients) -> Reading:
        return signal_to_noise(added_up(g), self.xi)


@dataclass(frozen=True)
class ReleasedKNAS(GradientNoise):
    """sum_w <a_w - mean a_w, b_w - mean b_w> / N^2, as the code of KNAS has it.

    With a_w and b_w the gradients of the first and of the second half of the batches, for the
    first 50 numbers of the first 11 parameters that have so many, biases and scales included. It
    is a covariance of batches that have nothing to do with each other, about zero and of either
    sign, where the paper has the mean of a Gram matrix: that is `knas`.

    Source: https://github.com/Jingjing-NLP/KNAS, code of Xu et al., ICML 2021.
    """

    meaning: ClassVar = (
        "Covariance of the gradients of one half of some batches with those of the other, for a "
        "few hundred weights, as the code of KNAS computes it."
    )
    batches: int = 50
    "N, parts of the probe."

    probe: ClassVar = ProbeSpec(800)
    network: ClassVar = "full"

    @property
    def view(self) -> BatchGradientsView:
        return BatchGradientsView(self.batches, self.batchnorm, biases=True, entries=ENTRIES)

    def noise(self, g: Gradients) -> Reading:
        half, total = self.batches // 2, 0.0
        for each in [each for each in g.values() if each.shape[1] == ENTRIES][:TENSORS]:
            a, b = each[:half], each[half : 2 * half]
            total += ((a - a.mean(0)) * (b - b.mean(0))).sum().item()
        return finite(total / self.batches**2)


ENTRIES, TENSORS = 50, 11
"Numbers of a parameter, and parameters, that the code of KNAS takes."


def zico(g: Gradients) -> Reading:
    """sum_l log sum_{w in l} mean |g_w| / std g_w."""
    layers = []
    for each in g.values():
        std = each.std(0, correction=0)
        ratio = (each.abs().mean(0) / std)[std != 0].sum().item()
        if ratio != 0:
            layers.append(log(ratio) if ratio > 0 else ratio)  # else NaN
    if not layers:
        return Reading(None, "no gradient changes from batch to batch")
    return finite(sum(layers))


def signal_to_noise(g: Gradients, xi: float) -> Reading:
    """sum_w (mean g_w)^2 / (var g_w + xi)."""
    total = 0.0
    for each in g.values():
        var = each.var(0, correction=0)
        if var.any():
            total += (each.mean(0).square() / (var + xi)).sum().item()
    return finite(total)


def added_up(g: Gradients) -> Gradients:
    """g_1, g_1 + g_2, ..., g_1 + ... + g_N."""
    return {name: each.cumsum(0) for name, each in g.items()}
