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

import torch
from jaxtyping import Float
from torch import Tensor, nn

from untrained.layerwise.collector import Collector
from untrained.layerwise.influence import Influence
from untrained.layerwise.recorder import Recorder
from untrained.networks.arguments import coarsest
from untrained.networks.batchnorm import BatchNormPolicy
from untrained.networks.readout import Readout, flattened, read
from untrained.networks.sites import Site, constant_parameters


def structured(
    model: nn.Module,
    chunks: Sequence[Tensor],
    readout: Readout,
    policy: BatchNormPolicy,
    sites: Sequence[Site],
    collector: Collector,
    columns: int,
    met: Callable[[int, Tensor], None],
) -> None:
    """Runs the passes over all chunks of examples, so many columns of the readout at a time.

    `met` is told the outputs of each chunk, by its number, and may refuse them.

    Raises:
        Unstructured: the network does not do what it did when it was surveyed, or changes the
            input of a layer in place.
    """
    for start in range(0, readout.columns, columns):
        collector.begin(range(readout.columns)[start : start + columns])
        for index, x in enumerate(chunks):
            recorder = Recorder(model, sites, len(x), collector, index)
            with constant_parameters(model, recorder.constants), torch.enable_grad():
                f = _forward(model, x, policy, recorder)
                met(index, f.detach())
                g = read(f, readout.matrix[:, start : start + columns])
                if g.requires_grad:  # else no parameter reaches the output
                    if not recorder.apart(f):
                        _weigh(model, g, recorder)
                    for k, q in enumerate(collector.columns):
                        recorder.q = q
                        _backward(g[:, k].sum(), recorder, last=k == g.shape[1] - 1)
                        recorder.flush()
                    recorder.check_influence()
            recorder.leaves.clear()  # whose hooks hold the recorder: a cycle
            del f, g, recorder  # else this chunk's tensors live on while the next one passes
        collector.finish_all()


def _forward(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, recorder: Recorder
) -> Float[Tensor, "n k"]:
    """The network's outputs, with the recorder's hooks in their graph."""
    own = x.clone()
    with recorder, policy:
        outputs = model(own)
    recorder.check_end()
    return flattened(outputs, len(x))


def _weigh(model: nn.Module, g: Float[Tensor, "n q"], recorder: Recorder) -> None:
    """A backward pass that shows whether examples are apart, where the graph does not prove it."""
    kind = coarsest([g, *model.parameters()])
    recorder.influence = Influence(len(g), g.shape[1], g, kind)
    _backward(g, recorder, recorder.influence.cotangent(g))
    recorder.influence.weighing = False


def _backward(
    outputs: Tensor, recorder: Recorder, weights: Tensor | None = None, last: bool = False
) -> None:
    torch.autograd.grad(
        outputs, recorder.leaves, weights, retain_graph=not last, allow_unused=True
    )
