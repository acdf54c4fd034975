"""The kernel from forward and backward passes of whole batches, without the n x p Jacobian.

Where examples do not influence each other, the gradient of sum_i g_q(x_i) with respect to a
layer's output holds each example's own gradient D_i. With the layer's input it gives that
example's rows of J (see `layers`), and those a share of the kernel,

    Theta[i, j] += J_i . J_j      from the rows J_i of this parameter, a part of them at a time, or
    Theta[i, j] += sum_{t, t'} (A_i[t] . A_j[t']) (D_i[t] . D_j[t'])

whichever is cheaper, as soon as the gradient is there. So n examples cost about as much as one
training step. A call that has no formula gets its rows from the call alone (see `operation`).

Each pass is checked, on the examples that it is given. Its graph must prove that they are apart
(see `independence`), or another backward pass must show it (see `influence`); a use of a parameter
that nobody saw leaves a trace in the graph; rows of a call without a formula must add up to its
gradient; and the program must be its survey's.

Source: Goodfellow, "Efficient Per-Example Gradient Computations", 2015,
https://arxiv.org/abs/1510.01799; Rochette et al., 2019, https://arxiv.org/abs/1912.06015; Novak
et al., "Fast Finite Width Neural Tangent Kernel", ICML 2022, https://arxiv.org/abs/2206.08720.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.layerwise.collector import Collector
from untrained.layerwise.influence import Influence
from untrained.layerwise.recorder import Recorder
from untrained.networks.arguments import coarsest
from untrained.networks.batchnorm import BatchNormPolicy
from untrained.networks.readout import Readout, flattened
from untrained.networks.sites import Site, constant_parameters


class Passes(NamedTuple):
    """Passes over all examples, for the shares of some parameters."""

    model: nn.Module
    chunks: Sequence[Tensor]
    "Examples that pass together."
    readout: Readout
    columns: int
    "Of the readout, so many at a time."
    policy: BatchNormPolicy
    sites: Sequence[Site]
    collector: Collector
    met: Callable[[int, Tensor], None]
    "Is told the outputs of each chunk, by its number, and may refuse them."


def structured(passes: Passes) -> None:
    """Adds the shares of the collector's parameters to their tiles.

    Raises:
        Unstructured: the network does not do what it did when it was surveyed, or changes the
            input of a layer in place.
    """
    collector, matrix = passes.collector, passes.readout.matrix
    parameters = dict(passes.model.named_parameters())
    for start in range(0, passes.readout.columns, passes.columns):
        collector.begin(range(passes.readout.columns)[start : start + passes.columns])
        for index, x in enumerate(passes.chunks):
            recorder = Recorder(parameters, passes.sites, len(x), collector, index)
            with constant_parameters(parameters.values(), recorder.constants), torch.enable_grad():
                f = _forward(passes.model, x, passes.policy, recorder)
                passes.met(index, f.detach())
                r = matrix[:, start : start + passes.columns].to(f.device)
                if f.requires_grad:  # else no parameter reaches the output
                    if not recorder.apart(f):
                        _weigh(f, r, recorder, coarsest(parameters.values()))
                    for recorder.q, column in zip(collector.columns, r.unbind(1), strict=True):
                        # d sum_i g_q(x_i) / d f
                        cotangent = column.to(f.dtype).repeat(len(f), 1)
                        last = recorder.q == collector.columns[-1]
                        torch.autograd.grad(
                            f, recorder.leaves, cotangent, not last, allow_unused=True
                        )
                        recorder.flush()
                    recorder.check_influence()
            recorder.leaves.clear()  # whose hooks hold the recorder: a cycle
            del f, recorder  # else this chunk's tensors live on while the next one passes
        for add, share in collector.rest():
            add(share)
            del share  # else it lives on while the next one is made
        for tile in set(collector.tiles.values()):
            tile.settle()


def _forward(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, recorder: Recorder
) -> Float[Tensor, "n k"]:
    """The network's outputs, with the recorder's hooks in their graph."""
    own = x.clone()
    with policy.over(recorder):
        outputs = model(own)
    recorder.check_end()
    return flattened(outputs, len(x))


def _weigh(
    f: Float[Tensor, "n k"], r: Float[Tensor, "k q"], recorder: Recorder, kind: torch.dtype
) -> None:
    """A backward pass that shows whether examples are apart, where the graph does not prove it."""
    recorder.influence = Influence(len(f), r.shape[1], f, kind)
    weighted = recorder.influence.weights().to(r) @ r.mT
    torch.autograd.grad(
        f, recorder.leaves, weighted.to(f.dtype), retain_graph=True, allow_unused=True
    )
    recorder.influence.weighing = False
