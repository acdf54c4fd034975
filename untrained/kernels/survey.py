"""A survey of a network: where it uses parameters, and where its examples lie.

The network sees three examples; then the first of them exchanged; then the other two (see
`places`): three passes, and a fourth of two examples where a call takes what is the same for all,
such as a first state. So
each tensor that a parameter meets tells in which dimension its examples lie, whether batch first,
sequence first or merged with other dimensions; and an output that changes with another example
shows that examples are coupled. Any dtype will do, words too.
"""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.interception import Function
from untrained.kernels.places import (
    SEEN,
    Exchanges,
    Place,
    Unstructured,
    differ,
    growing,
)
from untrained.kernels.sites import Site, name_of
from untrained.kernels.watch import Call, Measure, Network, Watch


class Survey(NamedTuple):
    """What was found."""

    sites: tuple[Site, ...]
    outputs: int
    "Numbers that the network gives for one example."
    coupled: bool
    "Whether an example's output depends on another example."
    uses: Mapping[str, int]
    "How often each parameter is used, and each tensor made of parameters."
    obstacle: str
    "Why its calls cannot be followed; empty if they can."
    complete: bool
    "Whether autograd's graph has as many uses of parameters as were seen, all of known layers."
    forward_bytes: int
    "Of all tensors that a forward pass makes for one example."
    widest_bytes: int
    "Of the largest of these."
    kept_bytes: Mapping[str, int]
    "For one example, of what each parameter's rows can be made from, or of its rows if smaller."
    weights: tuple[tuple[int, int, int], ...]
    "(o, a, t) of each use of a linear layer's or a convolution's weight."
    macs: int
    "Multiply-adds of the layers of one example's forward pass."
    calls: int
    "Torch functions in a forward pass."
    rich: bool
    "Whether there are convolutions of enough channels to lay these last in memory."


def survey(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, layers: Container[Function]
) -> Survey:
    """Shows the network three examples of x three times; `layers` are functions with a formula.

    Takes the memory of a forward pass of three examples with its graph.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    seen, first_exchanged, others_exchanged, exchanged = _examples(x)
    network = Network(model, layers)
    watch = Measure(network, SEEN)
    try:
        before = watch.run(seen, policy, grad=True)
    except (RuntimeError, IndexError) as error:
        return _fixed(network, x, policy, str(error).splitlines()[0])
    edges, hidden = _edges(before)
    before = before.detach()  # its graph is let go
    second, third, fewer = (Watch(network, n) for n in (SEEN, SEEN, SEEN - 1))
    after, last = second.run(first_exchanged, policy), third.run(others_exchanged, policy)
    found = _amounts(watch, before)._replace(
        coupled=bool(differ(before[1:], after[1:]).any() or differ(before[0], last[0]).any()),
        obstacle=hidden if exchanged else "all examples are equal",
    )
    if found.coupled or found.obstacle:
        return found
    try:
        if not watch.calls == second.calls == third.calls:
            raise Unstructured(DEPENDS)
        exchanges = Exchanges(watch.prints, second.prints, third.prints)
        shapes = watch.prints.shapes
        if any(_neutral(call, exchanges) for call in watch.calls):
            fewer.run(seen[1:], policy)
            if fewer.calls != watch.calls:
                raise Unstructured(DEPENDS)
            shapes = fewer.prints.shapes
        sites = tuple(_site(call, exchanges, shapes) for call in watch.calls)
    except Unstructured as error:
        return found._replace(obstacle=str(error))
    return found._replace(
        sites=sites,
        complete=all(call.formula for call in watch.calls)
        and all(None not in site.outputs for site in sites if site.kind == "layer")
        and edges
        == {
            id(p): watch.uses.get(name, 0)
            for name, p in network.parameters.items()
            if p.requires_grad
        },
    )


DEPENDS = "the network's program depends on its input"


def _fixed(network: Network, x: Tensor, policy: BatchNormPolicy, why: str) -> Survey:
    """What can be said of a network that takes batches of one size alone, or not these inputs."""
    watch = Measure(network, len(x))
    try:
        outputs = watch.run(x, policy)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the network does not take inputs of shape {tuple(x.shape)} and type {x.dtype}: {why}"
        ) from error
    return _amounts(watch, outputs)._replace(coupled=True)


def _amounts(watch: Measure, outputs: Tensor) -> Survey:
    """The amounts of what was seen; nothing yet of examples."""
    n = watch.examples
    return Survey(
        sites=(),
        outputs=outputs.shape[1],
        coupled=False,
        uses=watch.uses,
        obstacle="",
        complete=False,
        forward_bytes=watch.bytes // n,
        widest_bytes=watch.widest // n,
        kept_bytes=watch.kept,
        weights=tuple(watch.weights),
        macs=watch.macs // n,
        calls=watch.functions,
        rich=watch.rich,
    )


def _neutral(call: Call, exchanges: Exchanges) -> bool:
    """Whether it takes a tensor that is the same for all examples, such as a first state.

    A layer with a formula knows its tensors.
    """
    return not call.formula and any(
        number is not None and not exchanges.moved(number) for number in call.inputs
    )


def _site(call: Call, exchanges: Exchanges, fewer: Sequence[torch.Size]) -> Site:
    def place(number: int | None) -> Place | None:
        if number is None:
            return None
        return exchanges.place(number) or growing(exchanges.shapes[number], fewer[number])

    spread = call.kind == "spread"
    outputs = (Place(0),) if spread else tuple(map(exchanges.place, call.outputs))
    return Site(name_of(call.func), call.kind, tuple(map(place, call.inputs)), outputs)


def _edges(outputs: Tensor) -> tuple[dict[int, int], str]:
    """How often autograd's graph of the outputs uses each parameter, by its id.

    And whether a custom function, which nobody can look into, is among the users.
    """
    edges: dict[int, int] = {}
    hidden = ""
    stack, seen = [outputs.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            variable = getattr(following, "variable", None)
            if variable is None:
                stack.append(following)
                continue
            edges[id(variable)] = edges.get(id(variable), 0) + 1
            if isinstance(node, torch.autograd.function.BackwardCFunction):
                hidden = f"a function of its own, {node.name()}, uses a parameter"
    return edges, hidden


def _examples(x: Tensor) -> tuple[Tensor, Tensor, Tensor, bool]:
    """A few examples, the same with the first or with all others exchanged, and whether they are.

    Where x has no other example, floating-point numbers get noise of their own size; words are
    taken in another order, which may be no change.
    """
    seen = x[torch.arange(SEEN, device=x.device) % len(x)].clone()
    different = (x != x[0]).reshape(len(x), -1).any(1).nonzero().flatten()
    if x.is_floating_point():
        noise = torch.randn(seen.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        other = seen + noise.to(x.device) * (seen.abs().mean() + 1)
    elif len(different):
        other = seen.clone()
        other[0] = x[different[0]]
        other[1:] = torch.where((seen[1:] == x[0]).all(), x[different[-1]], x[0])
    else:
        other = seen.reshape(SEEN, -1).flip(1).view_as(seen)
    first, others = seen.clone(), seen.clone()
    first[0], others[1:] = other[0], other[1:]
    changed = not torch.equal(first, seen) and not torch.equal(others, seen)
    return seen, first, others, changed
