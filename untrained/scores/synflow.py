"""Synaptic flow: the weight of all paths from input to output."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import BatchNormCall, BatchNormPolicy, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.jacobian import parameters_kept
from untrained.networks.readout import flattened
from untrained.networks.unwrapping import unwrapped
from untrained.scores.loss_gradient import derivatives, differentiating, trainable_weights
from untrained.scores.score import Reading, Score, finite


class Omitted(BatchNormPolicy):
    """Lets what comes to BatchNorm pass as it is."""

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        zero = asked.input.new_zeros(asked.input.shape[1])
        return BatchNormCall(asked.input, zero, zero, eps=1.0)  # / sqrt(0 + 1), exactly


@dataclass(frozen=True)
class SynFlow(Score):
    """log sum_w |w dR / dw|,    R = sum_k f_k(1) with |theta| in place of theta.

    Weights w are the trainable parameters of two dimensions or more, and 1 one image of ones. In
    a network of positive weights and ReLUs, w dR / dw is the weight of all paths through w, so no
    image and no label is seen. Computed in float64, as the sum is a product over layers; an
    overflow there is a failure with its reason.

    As in the published code, BatchNorm is left out: `synflow_bn` has it. The sum is that of
    Abdelfattah et al., and its logarithm, which changes no rank, that of NAS-Bench-Suite-Zero.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving
    synaptic flow", NeurIPS 2020, https://arxiv.org/abs/2006.05467; Abdelfattah et al., ICLR 2021,
    https://arxiv.org/abs/2101.08134, which takes whole networks.
    """

    meaning: ClassVar = (
        "Logarithm of synaptic flow: the absolute weights along every path from input to output, "
        "multiplied and summed."
    )

    higher_is_better: ClassVar = True
    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        network = unwrapped(network)
        return logarithm(flow(network, torch.ones_like(probe.inputs[:1]), self.policy(network)))

    def policy(self, network: nn.Module) -> BatchNormPolicy:
        """What BatchNorm does."""
        return Omitted(network)


@dataclass(frozen=True)
class SynFlowWithBatchNorm(SynFlow):
    """`synflow` with BatchNorm, which takes the statistics of the one image of ones.

    Source: `synflow_bn` of the code of Abdelfattah et al.
    """

    meaning: ClassVar = "Logarithm of synaptic flow, with BatchNorm."
    batchnorm: Policy = "batch"
    "How BatchNorm is treated; see `untrained.networks.batchnorm`."

    def policy(self, network: nn.Module) -> BatchNormPolicy:
        return policy_mode(self.batchnorm, network)


def flow(network: nn.Module, ones: Tensor, policy: BatchNormPolicy) -> Iterable[Tensor]:
    """|w dR / dw| of each weight."""
    with parameters_kept(network), differentiating(network, policy):
        theta = {name: p.detach().double().abs() for name, p in network.named_parameters()}
        weights = [theta[name].requires_grad_() for name in trainable_weights(network)]
        buffers = {
            name: buffer.double() if buffer.is_floating_point() else buffer
            for name, buffer in network.named_buffers()
        }
        policy.own.add(theta)
        r = flattened(functional_call(network, {**theta, **buffers}, (ones.double(),)), 1)
        found = derivatives(r.sum(), weights)
    return [(w.detach() * g).abs() for w, g in zip(weights, found, strict=True)]


def logarithm(flows: Iterable[Tensor]) -> Reading:
    """The logarithm of the sum of all flows."""
    total = sum(each.sum().item() for each in flows)
    if total == 0:
        return Reading(None, "no path through the weights leads from input to output")
    return finite(log(total) if total > 0 else total)
