"""Scores of the network's size alone: the baselines that every other must beat."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.backends import unfused_attention
from untrained.networks.batchnorm import evaluating
from untrained.networks.sites import constant_parameters
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class Parameters(Score):
    """Number of trainable parameters."""

    meaning: ClassVar = "Number of trainable parameters."
    higher_is_better: ClassVar = True
    is_count: ClassVar = True
    is_size: ClassVar = True
    of_function: ClassVar = False  # unreachable operations count, as in the benchmarks' tables
    weights: ClassVar = None
    is_sum: ClassVar = True
    probe: ClassVar = ProbeSpec(count=1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(sum(p.numel() for p in network.parameters() if p.requires_grad)))


@dataclass(frozen=True)
class MultiplyAdds(Score):
    """Multiply-adds of convolutions and matrix products for one image: half the FLOPs.

    Operations that no path leads to count as if they ran, where the network names them: a module
    may have a method `unreached_operations() -> list[nn.Module]`, of what its `forward` skips,
    each of which takes what the module takes. So they do in NAS-Bench-201's table, which counts
    one addition more for each class, the classifier's bias.
    """

    meaning: ClassVar = "Multiply-adds of convolutions and matrix products for one image."
    higher_is_better: ClassVar = True
    is_count: ClassVar = True
    is_size: ClassVar = True
    of_function: ClassVar = False  # unreachable operations count, as in the benchmarks' tables
    weights: ClassVar = None
    is_sum: ClassVar = True
    probe: ClassVar = ProbeSpec(count=1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        counter = FlopCounterMode(display=False)
        with (
            evaluating(network),
            torch.no_grad(),
            constant_parameters(network.parameters()),  # torch's counter asks of a token its graph
            _running_unreached(network),
            unfused_attention(),  # the counter knows nothing of what is fused
            counter,
        ):
            network(probe.inputs[:1])
        return Reading(counter.get_total_flops() / 2)


@contextmanager
def _running_unreached(network: nn.Module) -> Iterator[None]:
    """Runs what each module skips, on the module's own input."""

    def run(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for operation in module.unreached_operations():  # type: ignore[operator]
            operation(*inputs)

    skipping = [module for module in network.modules() if hasattr(module, "unreached_operations")]
    hooks = [module.register_forward_pre_hook(run) for module in skipping]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class TrainableLayers(Score):
    """Number of convolutions and linear layers.

    Source: baseline of Tybl & Neumann, "Training-free Neural Architecture Search through Variance
    of Knowledge of Deep Network Weights", CVPR 2025, https://arxiv.org/abs/2502.04975.
    """

    meaning: ClassVar = "Number of convolutions and linear layers."
    higher_is_better: ClassVar = True
    is_count: ClassVar = True
    is_size: ClassVar = True
    of_function: ClassVar = False  # unreachable operations count, as in the benchmarks' tables
    weights: ClassVar = None
    is_sum: ClassVar = True
    probe: ClassVar = ProbeSpec(count=1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        layers = (nn.Linear, nn.modules.conv._ConvNd)
        return Reading(float(sum(isinstance(m, layers) for m in network.modules())))
