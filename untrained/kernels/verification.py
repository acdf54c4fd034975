"""A check of rows of J against autograd, which knows no formula, on a few examples.

    sum_i c_i J_i = d sum_i c_i s_i / d theta    for random c

A use of a parameter that was missed, a formula that does not hold, an example taken for another,
a coupling of examples: each makes them differ.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.collector import Collector
from untrained.kernels.jacobian import per_example
from untrained.kernels.places import SEEN, Unstructured
from untrained.kernels.readout import Readout, flattened
from untrained.kernels.sites import Site
from untrained.kernels.structured import Recorder, run_pass

Rows = Callable[[str], Tensor | None]
"From a parameter's name to its rows (n, p); None if no gradient reaches it."


def verify(
    model: nn.Module,
    x: Tensor,
    policy: BatchNormPolicy,
    sites: Sequence[Site],
    parameters: Mapping[str, nn.Parameter],
) -> None:
    """Checks the structured method.

    Raises:
        Unstructured: rows and autograd differ.
    """
    weights, truth, outputs = _truth(model, x, policy, parameters)
    collector = Collector(parameters, {}, [len(x)])
    collector.begin([0])
    ones = Readout(x.new_ones(outputs, 1, dtype=truth[0].dtype), False)
    run_pass(model, x, ones, policy, Recorder(model, sites, len(x), collector, 0))
    collector.pulled_back()
    _compare(weights, dict(zip(parameters, truth, strict=True)), lambda n: collector.rows(n, 0))


def check_rows(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, parameters: Mapping[str, nn.Parameter]
) -> None:
    """Checks the rows of `vmap` on the first examples.

    Raises:
        Unstructured: rows and autograd differ.
    """
    x = x[:SEEN]
    weights, truth, outputs = _truth(model, x, policy, parameters)
    ones = truth[0].new_ones(outputs, 1)
    rows = per_example(model, x, range(len(x)), ones, policy, list(parameters))
    _compare(weights, dict(zip(parameters, truth, strict=True)), lambda n: rows[n][:, 0])


def _truth(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, parameters: Mapping[str, nn.Parameter]
) -> tuple[Float64[Tensor, " n"], list[Tensor], int]:
    """c, the right side for each parameter, and how many outputs there are."""
    generator = torch.Generator().manual_seed(0)
    c = (torch.rand(len(x), generator=generator, dtype=torch.float64) + 0.5).to(x.device)
    tensors = list(parameters.values())
    with policy, torch.enable_grad():
        f = flattened(model(x.clone()), len(x))
        asked = (f.double().sum(1) * c).sum()
        if not asked.requires_grad:
            return c, [torch.zeros_like(p) for p in tensors], f.shape[1]
        return c, list(torch.autograd.grad(asked, tensors, materialize_grads=True)), f.shape[1]


def _compare(c: Tensor, truth: Mapping[str, Tensor], rows: Rows) -> None:
    size = max(float(gradient.norm()) for gradient in truth.values())
    for name, gradient in truth.items():
        if not torch.isfinite(gradient).all():
            continue  # nothing to compare with: the kernel will be NaN, and say so
        j = rows(name)
        found = 0.0 if j is None else c @ j.detach().double()
        error = float((found - gradient.flatten().double()).norm())
        # The second term is for gradients that are zero but for rounding.
        if not error <= 1e-3 * float(gradient.norm()) + 1e-6 * size:
            raise Unstructured(f"the use of parameter {name!r} was not understood")
