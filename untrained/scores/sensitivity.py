"""How sensitive the loss of a batch is to weights and channels: scores of one backward pass.

    L = 1/n sum_i -log softmax(f(x_i))[y_i],    g = dL / dw,    w the weights

Weights and channels are those of `loss_gradient`. As in the published codes, BatchNorm takes the
statistics of the batch, and the network is the one to be trained, in full: gradients grow with
depth by way of BatchNorm, and shallow networks rank otherwise.

Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021,
https://arxiv.org/abs/2101.08134; Krishnakumar et al., "NAS-Bench-Suite-Zero", NeurIPS 2022,
https://arxiv.org/abs/2210.03230.
"""

from dataclasses import dataclass
from typing import ClassVar

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.choices import Policy
from untrained.scores.loss_gradient import ChannelGradient, LossGradient, LossGradientView
from untrained.scores.score import Reading, ViewScore, finite


@dataclass(frozen=True)
class LossGradientScore(ViewScore):
    """A number that the gradient of the loss gives."""

    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(64)

    @property
    def view(self) -> LossGradientView:
        return LossGradientView(self.batchnorm)


@dataclass(frozen=True)
class Plain(LossGradientScore):
    """sum_w w g, of either sign.

    Source: `plain` of the code of Abdelfattah et al.
    """

    meaning: ClassVar = "Sum over weights of weight times gradient of the loss."

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum((w * g).sum().item() for w, g in seen.pairs()))


@dataclass(frozen=True)
class SNIP(LossGradientScore):
    """sum_w |w g|: what the loss would change by, to first order, without each weight.

    Source: Lee, Ajanthan & Torr, "SNIP: Single-shot Network Pruning based on Connection
    Sensitivity", ICLR 2019, https://arxiv.org/abs/1810.02340; its sum, Abdelfattah et al.
    """

    meaning: ClassVar = (
        "Sum over weights of |weight times gradient of the loss|: how sensitive the loss is to "
        "the removal of single weights."
    )

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum((w * g).abs().sum().item() for w, g in seen.pairs()))


@dataclass(frozen=True)
class GradientNorm(LossGradientScore):
    """||g||_2, over all weights together."""

    meaning: ClassVar = "Euclidean norm of the gradient of the loss by the weights."

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum(g.square().sum().item() for _, g in seen.pairs()) ** 0.5)


@dataclass(frozen=True)
class ReleasedGradientNorm(LossGradientScore):
    """sum_l ||g_l||_2 over layers l, as the code of Abdelfattah et al. and NASLib have it.

    `grad_norm` is the norm of all layers' gradients together, which deep networks gain less by.
    """

    meaning: ClassVar = "Sum over layers of the norm of the gradient of the loss by its weight."

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum(g.norm().item() for _, g in seen.pairs()))


@dataclass(frozen=True)
class Fisher(LossGradientScore):
    """sum_a sum_c 1/(2n) sum_i (sum_t a[i, c, t] dL / da[i, c, t])^2.

    Over the outputs a of convolutions and linear layers, before BatchNorm, with channels c and
    positions t. L is the mean over the batch, as in the code of Abdelfattah et al.: with the
    gradient of each image's own loss, the number would be n^2 times as large.

    Source: Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018,
    https://arxiv.org/abs/1801.05787; Turner et al., "BlockSwap", ICLR 2020,
    https://arxiv.org/abs/1906.04113.
    """

    meaning: ClassVar = (
        "Fisher information, summed over channels: how much, to second order, the loss would "
        "change without the channel."
    )

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum(map(information, seen.channels)))


@dataclass(frozen=True)
class ReleasedFisher(LossGradientScore):
    """`fisher` with each channel's number counted once for every weight that leads to it.

    So the code of Abdelfattah et al. and NASLib add it up, for masks of weights.
    """

    meaning: ClassVar = (
        "Fisher information of channels, each counted once for every weight that leads to it."
    )

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        return finite(sum(each.weights * information(each) for each in seen.channels))


def information(channels: ChannelGradient) -> float:
    """sum_c 1/(2n) sum_i (sum_t a dL / da)^2."""
    return channels.products.double().square().mean(0).sum().item() / 2


@dataclass(frozen=True)
class NASI(LossGradientScore):
    """T - penalty max(0, T - ceiling), T = ||dL / d theta||_2^2 over all trainable parameters.

    The paper's stand-in, from one batch and up to a constant, for the trace norm of the NTK, which
    `ntk_trace` has exactly. It is the mean product of the loss gradients of two examples, and so
    `knas` where no statistics of a batch couple them. In the paper the ceiling is 100 or adapted
    to the search, and the penalty 1 or 2; without a ceiling, this is T.

    Source: Shu et al., "NASI: Label- and Data-agnostic Neural Architecture Search at
    Initialization", ICLR 2022, https://arxiv.org/abs/2109.00817.
    """

    meaning: ClassVar = (
        "Squared norm of the gradient of the loss of one batch, NASI's estimate of the trace of "
        "the NTK."
    )
    ceiling: float | None = None
    "nu, above which T counts against the network; None for no such value."
    penalty: float = 2.0
    "mu, of what exceeds the ceiling."

    def of(self, seen: LossGradient, probe: Probe) -> Reading:
        trace = sum(g.double().square().sum().item() for g in seen.gradients.values())
        excess = 0.0 if self.ceiling is None else max(0.0, trace - self.ceiling)
        return finite(trace - self.penalty * excess)
