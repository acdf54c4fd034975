"""Scores of the gradients of single examples, of something that depends on their labels.

    h(x_i, y_i) = head(f(x_i), y_i),    g_i = d h(x_i, y_i) / d theta

A network with such a head is a network of one output, whose inputs hold the labels: its kernel
is that of `untrained.kernels`, by whichever method is the fastest there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from untrained.analysis.alignment import normalised
from untrained.analysis.kernel import Kernel, is_finite
from untrained.images.probe import Probe, ProbeSpec
from untrained.kernels.ntk import ntk
from untrained.networks.batchnorm import FrozenStatistics, evaluating, policy_mode
from untrained.networks.choices import Named, Policy
from untrained.networks.jacobian import Jacobian, per_example
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import unwrapped
from untrained.scores.loss_gradient import trainable_weights
from untrained.scores.score import Reading, Score, View, ViewScore, finite

Head = Callable[[Float[Tensor, "n k"], Float[Tensor, "n k"]], Float[Tensor, " n"]]
"From outputs and one-hot labels to a number for each example."


def cross_entropy(f: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """-log softmax(f)[y], the loss."""
    return -(F.log_softmax(f, 1) * y).sum(1)


def label_signs(f: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """sum_k s_k f_k / sqrt K, s = 1 for the label and -1 for the others."""
    return ((2 * y - 1) * f).sum(1) / f.shape[1] ** 0.5


HEADS: dict[str, Head] = {"cross_entropy": cross_entropy, "label_signs": label_signs}


class Labelled(nn.Module):
    """h of a network; a row of its input is x_i, flattened, and then y_i, one-hot."""

    def __init__(self, network: nn.Module, shape: Sequence[int], head: Head) -> None:
        super().__init__()
        self.network, self.shape, self.head = network, tuple(shape), head

    def forward(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
        """h of every row."""
        d = prod(self.shape)
        x, y = rows[:, :d].unflatten(1, self.shape), rows[:, d:]
        return self.head(flattened(self.network(x), len(x)), y)[:, None]


def labelled(network: nn.Module, probe: Probe, head: Head) -> tuple[Labelled, Tensor]:
    """The network under a head, and the probe as its input."""
    y = F.one_hot(probe.labels, probe.classes).to(probe.inputs)
    model = Labelled(network, probe.inputs.shape[1:], head).train(network.training)
    return model, torch.cat([probe.inputs.flatten(1), y], 1)


@dataclass(frozen=True)
class LabelledNTKView(View):
    """The kernel <g_i, g_j> of the examples of the probe."""

    head: str
    parameters: Named
    batchnorm: Policy

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Kernel:
        model, rows = labelled(unwrapped(network), probe, HEADS[self.head])
        return ntk(model, rows, parameters=self.parameters, batchnorm=self.batchnorm)


@dataclass(frozen=True)
class KNAS(ViewScore):
    """mean_ij <g_i, g_j>, with g_i the gradient of the loss of example i.

    The mean of the Gram matrix of gradients: how far the examples of a batch pull together. Where
    examples do not influence each other it is ||mean_i g_i||^2, and so what `nasi` has for one
    batch. The code of KNAS computes something else, `knas:mgm`.

    Source: Xu et al., "KNAS: Green Neural Architecture Search", ICML 2021,
    https://arxiv.org/abs/2111.13293.
    """

    meaning: ClassVar = (
        "Mean over pairs of images of the inner product of their loss gradients (KNAS): how far "
        "images agree on what to learn."
    )
    parameters: Named = "all"
    "Whose gradients they are; see `untrained.kernels.ntk`."
    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(64)

    @property
    def view(self) -> LabelledNTKView:
        return LabelledNTKView("cross_entropy", self.parameters, self.batchnorm)

    def of(self, seen: Kernel, probe: Probe) -> Reading:
        return finite(seen.as_subclass(Tensor).mean().item())


@dataclass(frozen=True)
class LabelledContrast(ViewScore):
    """Mean similarity of images of one class less that of images of two, by the lpNTK.

        k((x, y), (x', y')) = 1/K s(y)^T Theta(x, x') s(y'),    s(y)_c = 1 if c = y else -1

    with Theta(x, x') the K x K block of the NTK; a similarity is k_ij / sqrt(k_ii k_jj), so that
    the scale of gradients does not count, and pairs of an image with itself do not either.

    Source: Guo et al., "lpNTK: Better Generalisation with Less Data via Sample Interaction During
    Learning", ICLR 2024 (the kernel; the contrast is ours).
    """

    meaning: ClassVar = (
        "How much more alike two images of one class are than two of different classes, in what "
        "is learnt from them, by the labelled pseudo-NTK (lpNTK)."
    )
    parameters: Named = "all"
    "Whose kernel it is; see `untrained.kernels.ntk`."
    batchnorm: Policy = "frozen"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "small"
    probe: ClassVar = ProbeSpec(64)
    weights: ClassVar = "kaiming_fan_out"

    @property
    def view(self) -> LabelledNTKView:
        return LabelledNTKView("label_signs", self.parameters, self.batchnorm)

    def of(self, seen: Kernel, probe: Probe) -> Reading:
        if not is_finite(seen) or not (seen.diagonal() > 0).all():
            return Reading(None, "the kernel is not finite, or zero for an image")
        similarity = normalised(seen.as_subclass(Tensor))
        same = probe.labels[:, None] == probe.labels
        others = ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        if same.all() or not (same & others).any():
            return Reading(
                None,
                f"expected two images of one class and two of different classes, got {len(same)} "
                f"of {len(probe.labels.unique())} classes; set count",
            )
        contrast = similarity[same & others].mean() - similarity[~same].mean()
        return finite(contrast.item())


@dataclass(frozen=True)
class GradSign(Score):
    """sum_w |sum_i sign g_i[w]|, with g_i the gradient of the loss of example i.

    Weights w are the trainable parameters of two dimensions or more. As in the authors' code, an
    image is a batch of its own, whose statistics BatchNorm takes, under `batchnorm="batch"`.

    Source: Zhang & Jia, "GradSign: Model Performance Inference with Theoretical Insights", ICLR
    2022, https://arxiv.org/abs/2110.08616, which takes whole networks.
    """

    meaning: ClassVar = (
        "Sum over weights of |images that would raise it minus images that would lower it| "
        "(GradSign): how far images agree on where each weight should go."
    )
    batchnorm: Policy = "batch"
    "How BatchNorm is treated, an image at a time; `frozen` takes the statistics of all."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(64)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        signs: dict[str, Tensor] = {}
        for rows in loss_gradients(unwrapped(network), probe, self.batchnorm):
            for name, g in rows.items():
                if not is_finite(g):
                    return Reading(None, "the gradient of an image holds NaN or infinity")
                signs[name] = signs.get(name, 0) + g.double().sign().sum((0, 1))
        return finite(sum(each.abs().sum().item() for each in signs.values()))


NUMBERS = 2**24
"Of gradients that are held at once."


def loss_gradients(network: nn.Module, probe: Probe, batchnorm: Policy) -> Iterator[Jacobian]:
    """Gradients of the loss by the weights, of some examples at a time, each shown alone."""
    with torch.inference_mode(False), evaluating(network):
        model, rows = labelled(network, probe, cross_entropy)
        weights = trainable_weights(model)
        together = max(1, NUMBERS // sum(p.numel() for p in weights.values()))
        policy = policy_mode(batchnorm, model)
        if isinstance(policy, FrozenStatistics):
            policy.calibrate(model, [rows])
        readout = rows.new_ones(1, 1)
        for start in range(0, len(rows), together):
            some = range(start, min(start + together, len(rows)))
            yield per_example(model, rows, some, readout, policy, list(weights), together)
