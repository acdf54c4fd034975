"""AZ-NAS: expressivity, progressivity and trainability, read off the features between blocks.

One forward and backward pass serves the three. Its fourth is `macs`, and its combination the sum
of logarithms of ranks, `untrained.tables.combining.log_rank_sum`. Blocks and the features between
them are those of `untrained.networks.blocks`: the stem's output is the first.

Source: Lee & Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR
2024, https://arxiv.org/abs/2403.19232, which takes whole networks.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import policy_mode
from untrained.networks.blocks import blocks_of, features_between
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.interception import gradients
from untrained.networks.unwrapping import unwrapped
from untrained.scores.loss_gradient import differentiating
from untrained.scores.score import Reading, View, ViewScore


class Coupling(NamedTuple):
    """How the gradient passes one block."""

    norm: float | None
    "s, the spectral norm of E[g_in^T g_out]; None where `reason` says why."
    reason: str = ""


class Seen(NamedTuple):
    """What is read off the features between blocks."""

    entropies: tuple[float | None, ...]
    "H_l of the spectrum of each feature's covariance; None where it does not vary."
    couplings: tuple[Coupling, ...]
    "Of each block."


@dataclass(frozen=True)
class BlocksView(View):
    """Entropies of the features, and couplings of the gradients of two that follow each other."""

    batchnorm: Policy

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Seen:
        model, x = unwrapped(network), probe.inputs
        blocks, policy = blocks_of(model), policy_mode(self.batchnorm, model)
        with foreign(x), differentiating(model, policy):
            with features_between(blocks) as features:
                model(x.clone().requires_grad_().clone())  # a leaf must not change in place
            couplings = [coupling(*pair, generator) for pair in pairwise(features)]
        entropies = tuple(entropy(feature.detach()) for feature in features)
        return Seen(entropies, tuple(couplings))


@dataclass(frozen=True)
class AZNASScore(ViewScore):
    """A number that features between blocks give."""

    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(count=64)
    weights: ClassVar = "kaiming_fan_in"

    @property
    def view(self) -> BlocksView:
        return BlocksView(self.batchnorm)


@dataclass(frozen=True)
class Expressivity(AZNASScore):
    """sum_l H_l, H_l = -sum_i p_i log(p_i + 1e-8), p the eigenvalues of the covariance over tr."""

    meaning: ClassVar = (
        "Sum over blocks of the entropy of their features' principal components (AZ-NAS). Where "
        "it is high, features use all their dimensions about equally."
    )

    def of(self, seen: Seen, probe: Probe) -> Reading:
        values = [h for h in seen.entropies if h is not None]
        return Reading(sum(values)) if len(values) == len(seen.entropies) else Reading(None, DEAD)


@dataclass(frozen=True)
class Progressivity(AZNASScore):
    """min_l (H_l - H_{l-1}), H_l as of Expressivity: that deeper features say more."""

    meaning: ClassVar = (
        "Smallest growth, from one block to the next, in the entropy of the features (AZ-NAS)."
    )

    def of(self, seen: Seen, probe: Probe) -> Reading:
        values = [h for h in seen.entropies if h is not None]
        if len(values) < len(seen.entropies):
            return Reading(None, DEAD)
        return Reading(min(b - a for a, b in pairwise(values)))


@dataclass(frozen=True)
class Trainability(AZNASScore):
    """mean_l (-s_l - 1 / (s_l + 1e-6) + 2), zero where every s_l is 1 and less elsewhere.

    s_l is the spectral norm of E[g_in^T g_out], the mean over images and positions for a g_out of
    random signs at the end of block l, and g_in its gradient at the start. Where the block has a
    stride, the positions that fall together count as channels. A block that passes gradients on
    as they are is -inf to the authors, and one that passes none has no s; here neither has a
    value, and so ranks last as well.
    """

    meaning: ClassVar = (
        "How well blocks preserve the size of gradients: 0 at best, negative otherwise (AZ-NAS)."
    )

    def of(self, seen: Seen, probe: Probe) -> Reading:
        for number, (_, reason) in enumerate(seen.couplings):
            if reason:
                return Reading(None, f"block {number} {reason}")
        norms = torch.tensor([c.norm for c in seen.couplings], dtype=torch.float64)
        return Reading((2 - norms - 1 / (norms + 1e-6)).mean().item())


DEAD = "the features between some blocks do not vary, or are not finite: they have no spectrum"


def entropy(feature: Float[Tensor, "n c ..."]) -> float | None:
    """H of the spectrum of the covariance of channels, over images and positions."""
    rows = feature.flatten(2).transpose(1, 2).flatten(0, 1) if feature.ndim > 2 else feature
    centred = rows.double() - rows.double().mean(0)
    sigma = centred.T @ centred / len(rows)
    varies = bool((rows.amax(0) > rows.amin(0)).any())  # the mean is rounded, so sigma is too
    if not sigma.isfinite().all() or not varies:
        return None
    values = torch.linalg.eigvalsh(sigma).clamp(min=0)
    p = values / values.sum()
    return -(p * (p + 1e-8).log()).sum().item()


def coupling(start: Tensor, end: Tensor, generator: torch.Generator) -> Coupling:
    """How gradients at `end` arrive at `start`."""
    signs = torch.randint(2, end.shape, generator=generator).to(end)
    g_out = 2 * signs - 1
    if not (start.requires_grad and end.requires_grad):
        return Coupling(None, "has an output that does not depend on its input")
    (g_in,) = gradients(end, [start], [g_out], retain_graph=True, allow_unused=True)
    if g_in is None or not g_in.any():
        return Coupling(None, "passes no gradient on")
    if g_in.shape == g_out.shape and torch.equal(g_in, g_out):
        return Coupling(None, "is the identity: it passes gradients on as they are")
    if not g_in.isfinite().all():
        return Coupling(None, "makes gradients NaN or infinite")
    before, after = g_in.shape[2:], g_out.shape[2:]
    if not after:
        g_in = g_in.flatten(1)
    elif before != after:
        stride = before[0] // after[0]
        if len(before) != 2 or before != tuple(stride * size for size in after):
            return Coupling(None, f"has no stride from {tuple(before)} to {tuple(after)}")
        g_in = F.pixel_unshuffle(g_in, stride)
    columns_in, columns_out = _by_channel(g_in), _by_channel(g_out)
    product = columns_in @ columns_out.T / columns_out.shape[1]
    return Coupling(torch.linalg.matrix_norm(product.double(), 2).item())


def _by_channel(g: Float[Tensor, "n c ..."]) -> Float[Tensor, "c m"]:
    return g.transpose(0, 1).flatten(1)
