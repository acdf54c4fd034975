"""What is known of a network after a few of its examples: its survey, and checks of rows of J.

Rows are checked against autograd, which knows no formula,

    sum_i c_i J_i = d sum_i c_i s_i / d theta    for random c

A use of a parameter that was missed, a formula that does not hold, an example taken for another,
a coupling of examples: each makes them differ.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from untrained.kernels.batchnorm import BatchNormPolicy, Policy, policy_mode
from untrained.kernels.collector import Collector
from untrained.kernels.jacobian import per_example
from untrained.kernels.layers import LAYERS
from untrained.kernels.places import SEEN, Unstructured
from untrained.kernels.plan import packed
from untrained.kernels.readout import Readout, flattened
from untrained.kernels.sites import Site
from untrained.kernels.structured import Recorder, run_pass
from untrained.kernels.survey import Survey, survey

INDEPENDENT = ("structured", "vmap")
"Methods for independent examples alone."
TOGETHER = 2**25
"Bytes of rows that a check holds at a time, in float64, where a parameter has no more."


def surveyed(
    model: nn.Module, x: Tensor, batchnorm: Policy, chosen: Mapping[str, nn.Parameter]
) -> tuple[Survey, dict[str, str]]:
    """What a few examples show of the network, and why some methods do not apply to it."""
    key = (batchnorm, x.shape[1:], x.dtype, *((name, p.shape) for name, p in chosen.items()))
    known = _surveys.setdefault(model, {})
    if key in known:
        found, why = known[key]
        return found, dict(why)
    policy = policy_mode(batchnorm)
    found = survey(model, x, policy, LAYERS)
    why = {}
    if found.coupled:
        why = dict.fromkeys(INDEPENDENT, "the examples of a batch influence each other")
    elif found.obstacle:
        why["structured"] = found.obstacle
    elif not found.complete:
        try:
            verify(model, x[:SEEN], policy, found.sites, chosen)
        except Unstructured as error:
            why["structured"] = str(error)
    if found.coupled or not why:  # anything else may be the fault of these weights or examples
        known[key] = found, dict(why)
    return found, why


# How a network's program goes is a matter of its code, not of its weights: each network object is
# asked once for a policy and a shape of input.
_surveys: WeakKeyDictionary[nn.Module, dict[object, tuple[Survey, dict[str, str]]]] = (
    WeakKeyDictionary()
)


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

    def rows(group: Sequence[str], outputs: int) -> Iterable[Tensor | None]:
        collector = Collector({name: parameters[name] for name in group}, {}, [len(x)])
        collector.begin([0])
        like = parameters[group[0]]
        ones = Readout(like.new_ones(outputs, 1), False)
        run_pass(model, x, ones, policy, Recorder(model, sites, len(x), collector, 0))
        collector.pulled_back()
        return (collector.rows(name, 0) for name in group)

    _check(model, x, policy, parameters, rows)


def check_rows(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, parameters: Mapping[str, nn.Parameter]
) -> None:
    """Checks the rows of `vmap` on the first examples.

    Raises:
        Unstructured: rows and autograd differ.
    """
    x = x[:SEEN]

    def rows(group: Sequence[str], outputs: int) -> Iterable[Tensor | None]:
        ones = parameters[group[0]].new_ones(outputs, 1)
        found = per_example(model, x, range(len(x)), ones, policy, group)
        return (found.pop(name)[:, 0] for name in group)

    _check(model, x, policy, parameters, rows)


Rows = Callable[[Sequence[str], int], Iterable[Tensor | None]]
"From names of parameters, and how many outputs there are, to rows (n, p); None for no gradient."


def _check(
    model: nn.Module,
    x: Tensor,
    policy: BatchNormPolicy,
    parameters: Mapping[str, nn.Parameter],
    rows: Rows,
) -> None:
    """Some parameters at a time; of each, two numbers are kept."""
    generator = torch.Generator().manual_seed(0)
    c = (torch.rand(len(x), generator=generator, dtype=torch.float64) + 0.5).to(x.device)
    names, errors, sizes = [], [], []
    for group in packed(
        {name: 8 * len(x) * p.numel() for name, p in parameters.items()}, TOGETHER
    ):
        truth, outputs = _truth(model, x, policy, [parameters[name] for name in group], c)
        for name, gradient, j in zip(group, truth, rows(group, outputs), strict=True):
            found = 0.0 if j is None else c @ j.detach().double()
            names.append(name)
            errors.append((found - gradient.flatten().double()).norm())
            sizes.append(gradient.double().norm())
    error, size = torch.stack(errors), torch.stack(sizes)
    # Where the truth is not finite there is nothing to compare with: the kernel will be NaN, and
    # say so. The second term is for gradients that are zero but for rounding.
    known = size.isfinite()
    wrong = ~(error <= 1e-3 * size + 1e-6 * size.where(known, 0).max()) & known
    for name, bad in zip(names, wrong.tolist(), strict=True):
        if bad:
            raise Unstructured(f"the use of parameter {name!r} was not understood")


def _truth(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, tensors: Sequence[Tensor], c: Tensor
) -> tuple[Sequence[Tensor], int]:
    """The right side for each parameter, and how many outputs there are."""
    with policy, torch.enable_grad():
        f = flattened(model(x.clone()), len(x))
        asked = (f.double().sum(1) * c).sum()
        if not asked.requires_grad:
            return [torch.zeros_like(p) for p in tensors], f.shape[1]
        return torch.autograd.grad(asked, tensors, materialize_grads=True), f.shape[1]
