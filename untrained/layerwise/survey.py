"""A survey of a network: where it uses parameters, and where its examples lie.

The network sees three examples. Where all that uses parameters has a formula, the graph of that
pass may tell where examples lie in each layer's output (see `independence`). Otherwise it sees two
of them; then all three; then the first of these exchanged; then the other two (see `places`). So
each tensor that a parameter meets tells in which dimension its examples lie, whether batch first,
sequence first or merged with other dimensions; and an output that changes with another example
shows that examples are coupled. Any dtype will do, words too.

A survey tells what to do, not whether that is right: every pass over the real batch is checked
(see `structured`).
"""

from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from untrained.layerwise.independence import Unproven, flow
from untrained.layerwise.watch import Call, Network, Places, Traced, Watch
from untrained.networks.batchnorm import BatchNormPolicy
from untrained.networks.called import in_words
from untrained.networks.foreign import DEVICE_ERRORS, first_line
from untrained.networks.interception import Function
from untrained.networks.places import SEEN, Exchanges, Place, Prints, Unstructured, differ
from untrained.networks.sites import Site, name_of


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
    """Shows the network a few examples of x; `layers` are functions with a formula.

    Takes the memory of a forward pass of three examples with its graph.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    seen = x[:SEEN] if len(x) >= SEEN else x[torch.arange(SEEN, device=x.device) % len(x)]
    network = Network(model, layers)
    try:
        return _traced(network, seen, policy)
    except DEVICE_ERRORS:
        raise
    except (Unproven, RuntimeError, IndexError):
        pass  # such as where torch.func takes no gradients from outside
    fewer = Watch(network, SEEN - 1)
    try:
        with torch.no_grad():  # in all of them: attention has other kernels with gradients
            fewer.run(seen[1:], policy)
    except DEVICE_ERRORS:
        raise
    except (RuntimeError, IndexError) as error:
        return _fixed(network, x, policy, first_line(error))
    first_exchanged, others_exchanged, exchanged = _examples(x, seen)
    watches = [Watch(network, SEEN, fewer.shapes, Prints()) for _ in range(3)]
    with torch.no_grad():
        before, after, last = (
            watch.run(examples, policy)
            for watch, examples in zip(
                watches, (seen, first_exchanged, others_exchanged), strict=True
            )
        )
    found = _amounts(watches[0])
    if not exchanged:
        return found._replace(obstacle="all examples are equal")
    if fewer.outputs != found.outputs:
        return _fixed(network, x, policy, "its outputs depend on the number of examples")
    if _differ(before[1:], after[1:]) or _differ(before[0], last[0]):
        return found._replace(coupled=True)
    try:
        return found._replace(sites=_exchanged(*watches))
    except Unstructured as error:
        return found._replace(obstacle=str(error))


def _traced(network: Network, seen: Tensor, policy: BatchNormPolicy) -> Survey:
    """What the graph of the outputs tells.

    Raises:
        Unproven: it does not tell where examples lie in all that parameters meet.
    """
    traced = Traced(network, SEEN)
    outputs = traced.run(seen, policy)
    if traced.doubtful:
        fewer = Traced(network, SEEN - 1)
        fewer.run(seen[1:], policy)
        if traced.grown(fewer):
            traced = Traced(network, SEEN, fewer.shapes)
            outputs = traced.run(seen, policy)
    shown = flow(outputs)
    if not shown.proven:
        raise Unproven

    def place(number: int) -> Place:
        found = shown.place(traced.keys[number])
        if found is None:
            raise Unproven
        return found

    sites = tuple(_site(_alike(call), place) for call in traced.calls)
    return _amounts(traced)._replace(sites=sites)


def _alike(call: Call) -> Call:
    """A layer with a formula has the examples of its input where it has those of its output."""
    if not call.formula or call.kind != "layer":
        return call
    return call._replace(inputs=tuple(k if k is None else call.outputs[0] for k in call.inputs))


def _exchanged(seen: Watch, first: Watch, others: Watch) -> tuple[Site, ...]:
    """Sites where layers hold examples, by what changes where some are exchanged."""
    if not seen.calls == first.calls == others.calls:
        raise Unstructured("the network's program depends on its input")
    prints = [watch.prints for watch in (seen, first, others) if watch.prints is not None]
    exchanges = Exchanges(*prints)
    return tuple(_site(call, exchanges.place) for call in seen.calls)


def _differ(a: Tensor, b: Tensor) -> bool:
    """Whether outputs differ by more than rounding."""
    size = torch.cat([a.flatten(), b.flatten()]).abs().nan_to_num().max()
    return bool(differ(a, b, size * torch.finfo(a.dtype).eps ** 0.5).any())


def _fixed(network: Network, x: Tensor, policy: BatchNormPolicy, why: str) -> Survey:
    """What can be said of a network that takes batches of one size alone, or not these inputs."""
    watch = Watch(network, len(x))
    try:
        with torch.no_grad():
            watch.run(x, policy)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the network does not take inputs of {in_words(network.model, x)}: {why}"
        ) from error
    return _amounts(watch)._replace(coupled=True)


def _amounts(watch: Watch) -> Survey:
    """The amounts of what was seen; nothing yet of examples."""
    n = watch.examples
    return Survey(
        sites=(),
        outputs=watch.outputs,
        coupled=False,
        uses=watch.uses,
        obstacle="",
        forward_bytes=watch.bytes // n,
        widest_bytes=watch.widest // n,
        kept_bytes=watch.kept,
        weights=tuple(watch.weights),
        macs=watch.macs // n,
        calls=watch.functions,
        rich=watch.rich,
    )


def _site(call: Call, placed: Callable[[int], Place | None]) -> Site:
    """What is the same for all examples, such as a first state, may be there once for each."""

    def place(number: int | None, grown: Place | None) -> Place | None:
        return grown if number is None else placed(number) or grown

    if call.kind == "derived":
        nowhere: Places = (None,) * len(call.inputs)
        return Site(name_of(call.func), call.kind, nowhere, (), call.parameters)
    inputs = tuple(map(place, call.inputs, call.grown_inputs))
    outputs = tuple(map(place, call.outputs, call.grown_outputs))
    return Site(name_of(call.func), call.kind, inputs, outputs, call.parameters)


def _examples(x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Examples with the first or with all others exchanged, and whether they are.

    Where x has no other example, floating-point numbers get noise of their own size; words are
    taken in another order, which may be no change.
    """
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
    return first, others, changed
