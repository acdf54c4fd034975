"""Checks of methods that pass fewer than all examples, or examples of two batches.

A method that passes the whole batch, as the truth does, needs none of these: `structured` has its
own checks, and autograd is the truth.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from untrained.layerwise.influence import TINY, Coupled, random_weights, tolerance
from untrained.layerwise.layers import LAYERS
from untrained.layerwise.watch import Network, Watch
from untrained.networks.batchnorm import BatchNormPolicy, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import DEVICE_ERRORS
from untrained.networks.jacobian import Jacobian, differentiated, row_of
from untrained.networks.places import SEEN, Unstructured
from untrained.networks.readout import Readout, flattened


def apart(model: nn.Module, x1: Tensor, x2: Tensor, batchnorm: Policy) -> bool:
    """Whether an example gives the same beside others of its own batch and of another."""
    policy = policy_mode(batchnorm, model)
    own = x1[torch.arange(SEEN, device=x1.device) % len(x1)]
    others = x2[-1 - torch.arange(SEEN - 1, device=x2.device) % len(x2)]
    network = Network(model, LAYERS)
    with torch.no_grad():
        first, second = (
            Watch(network, SEEN).run(x, policy)[:1] for x in (own, torch.cat([own[:1], others]))
        )
    return _same(first, second, model)


def outputs(
    model: nn.Module, pieces: Iterable[Tensor], policy: BatchNormPolicy
) -> Iterable[Tensor]:
    """What the network gives for each piece."""
    for x in pieces:
        with torch.no_grad(), policy:
            found = flattened(model(x.clone()), len(x))
        yield found


def beside(model: nn.Module, parts: Sequence[Tensor], policy: BatchNormPolicy) -> Tensor:
    """What the network gives for examples of several batches in one.

    Raises:
        Coupled: it does not take so many together.
    """
    with _taken():
        (found,) = outputs(model, [torch.cat(list(parts))], policy)
    return found


@contextmanager
def _taken() -> Iterator[None]:
    """A network that does not take a batch made of two is not asked for a kernel between them."""
    try:
        yield
    except DEVICE_ERRORS:
        raise
    except (RuntimeError, IndexError) as error:
        raise Coupled from error


def check_pieces(
    model: nn.Module, pieces: Sequence[Tensor], policy: BatchNormPolicy, size: int
) -> None:
    """Checks that pieces of a batch give what as many examples as `size` at a time give.

    Raises:
        Coupled: they do not.
    """
    if pieces and max(map(len, pieces)) < min(size, sum(map(len, pieces))):
        x = torch.cat(list(pieces))
        check_outputs(
            torch.cat(list(outputs(model, pieces, policy))),
            torch.cat(list(outputs(model, x.split(size), policy))),
            model,
        )


def check_outputs(found: Tensor, expected: Tensor, model: nn.Module) -> None:
    """Checks that examples in a smaller pass give what they give in a larger one.

    Raises:
        Coupled: they do not.
    """
    if not _same(found, expected, model):
        raise Coupled


def _same(a: Tensor, b: Tensor, model: nn.Module) -> bool:
    """Equal but for rounding; NaN is equal to NaN."""
    size = tolerance(a, *model.parameters()) * float(b.detach().abs().nan_to_num(posinf=0).max())
    return bool(torch.isclose(a, b, 0, size, equal_nan=True).all())


def check_rows(
    model: nn.Module,
    x: Tensor,
    some: range,
    readout: Tensor,
    policy: BatchNormPolicy,
    rows: Jacobian,
) -> None:
    """Checks rows of J of some examples of x against autograd on all of x, for random c:

        sum_i c_i J_i = d sum_i c_i g(x_i) / d theta

    A use of a parameter that was missed, or a coupling of examples, makes them differ.

    Raises:
        Unstructured: they differ.
    """
    parameters = dict(model.named_parameters())
    c = random_weights(len(some), readout)
    truth = _weighted(model, x, some, readout, policy, [parameters[name] for name in rows], c)
    found = {name: j.sum(1) for name, j in rows.items()}
    sizes = torch.stack([j.norm(dim=1).sum().double() for j in found.values()])
    weighted = [c.to(j) @ j for j in found.values()]
    errors = torch.stack([(a - b).norm().double() for a, b in zip(weighted, truth, strict=True)])
    # Where rows are not finite there is nothing to compare: the kernel will be NaN, and say so.
    # The second term is for gradients that are zero but for rounding.
    known = sizes.isfinite() & errors.isfinite()
    limit = tolerance(*model.parameters()) * sizes + TINY * sizes.where(known, 0).max()
    for name, bad in zip(rows, ((errors > limit) & known).tolist(), strict=True):
        if bad:
            raise Unstructured(
                f"rows of parameter {name!r} do not add up to its gradient: examples influence "
                f"each other, or a use of it was missed"
            )


def check_batches(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor,
    readout: Readout,
    policy: BatchNormPolicy,
    parameters: Mapping[str, nn.Parameter],
) -> None:
    """Checks that two batches have the same rows of J in one batch as each by itself.

    Raises:
        Coupled: they do not, for random sums of rows.
    """
    tensors = list(parameters.values())
    n, r = len(x1), readout.matrix
    both = torch.cat([x1, x2])
    for x, some in ((x1, range(n)), (x2, range(n, len(both)))):
        c = random_weights(len(x), r)
        alone = _weighted(model, x, range(len(x)), r, policy, tensors, c)
        with _taken():
            beside = _weighted(model, both, some, r, policy, tensors, c)
        size = max(a.norm() for a in alone)
        for a, b in zip(alone, beside, strict=True):
            if (a - b).norm() > tolerance(*tensors) * a.norm() + TINY * size:
                raise Coupled


def _weighted(
    model: nn.Module,
    x: Tensor,
    some: range,
    readout: Tensor,
    policy: BatchNormPolicy,
    tensors: Sequence[Tensor],
    c: Tensor,
) -> Sequence[Tensor]:
    """d sum_i c_i g(x_i) / d theta for some examples of a batch, a row for each parameter."""
    with differentiated(model, x, readout, policy) as (g, derivatives):
        asked = (g[some.start : some.stop].sum(1).double() * c).sum()
        found = (
            derivatives(asked, tensors) if asked.requires_grad else map(torch.zeros_like, tensors)
        )
        return [row_of(gradient) for gradient in found]
