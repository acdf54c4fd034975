"""A survey of a network: where it uses parameters, and where its examples lie.

The network sees a few examples three times, some of them exchanged for others (see `places`). So
each tensor that a parameter meets tells in which dimension its examples lie, whether batch first,
sequence first or merged with other dimensions; and an output that changes with another example
shows that examples are coupled. Any dtype will do, words too.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.interception import Function
from untrained.kernels.places import (
    SEEN,
    Place,
    Print,
    Unstructured,
    differ,
    growing,
    place_of,
    take_print,
)
from untrained.kernels.readout import flattened
from untrained.kernels.sites import DERIVED, ParameterCalls, Site, name_of

RICH = 16
"Channels from which a convolution is faster on a CPU with its channels last in memory."


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
    """Shows the network a few examples of x; `layers` are functions with a formula.

    Takes the memory of a forward pass of three examples with its graph.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    seen, first_exchanged, others_exchanged, exchanged = _examples(x)
    watch = _Watch(model, SEEN, layers)
    try:
        before = watch.run(seen, policy, grad=True)
    except (RuntimeError, IndexError) as error:
        return _fixed(model, x, policy, layers, str(error).splitlines()[0])
    edges, hidden = _edges(before)
    before = before.detach()  # its graph is let go
    second, third = (_Watch(model, SEEN, layers) for _ in range(2))
    after, last = second.run(first_exchanged, policy), third.run(others_exchanged, policy)
    found = watch.survey(before)._replace(
        coupled=bool(differ(before[1:], after[1:]).any() or differ(before[0], last[0]).any()),
        obstacle=hidden if exchanged else "all examples are equal",
    )
    if found.coupled or found.obstacle:
        return found
    programs = [[shot.func for shot in each.shots] for each in (watch, second, third)]
    if any(program != programs[0] for program in programs):
        return found._replace(obstacle="the network's program depends on its input")
    fewer = watch
    if any(shot.neutral(other) for shot, other in zip(watch.shots, second.shots, strict=True)):
        fewer = _Watch(model, SEEN - 1, layers)
        fewer.run(seen[1:], policy)
    try:
        sites = tuple(map(_site, watch.shots, second.shots, third.shots, fewer.shots))
    except Unstructured as error:
        return found._replace(obstacle=str(error))
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return found._replace(
        sites=sites,
        complete=all(shot.formula for shot in watch.shots)
        and all(None not in site.outputs for site in sites if site.kind == "layer")
        and edges == {id(p): watch.uses.get(name, 0) for name, p in trainable.items()},
    )


def _fixed(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, layers: Container[Function], why: str
) -> Survey:
    """What can be said of a network that takes batches of one size alone, or not these inputs."""
    watch = _Watch(model, len(x), layers)
    try:
        outputs = watch.run(x, policy)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the network does not take inputs of shape {tuple(x.shape)} and type {x.dtype}: {why}"
        ) from error
    return watch.survey(outputs)._replace(coupled=True)


class _Shot(NamedTuple):
    """One call as seen."""

    func: Function
    kind: Literal["layer", "derived", "spread"]
    formula: bool
    inputs: list[Print | None]
    "None for parameters, what is made of them, and buffers."
    outputs: list[Print]

    def neutral(self, other: "_Shot") -> bool:
        """Whether it takes a tensor that is the same for all examples, such as a first state.

        A layer with a formula knows its tensors.
        """
        pairs = zip(self.inputs, other.inputs, strict=True)
        return not self.formula and any(
            a is not None and b is not None and not differ(a.whole, b.whole) for a, b in pairs
        )


def _site(a: _Shot, b: _Shot, c: _Shot, fewer: _Shot) -> Site:
    def place(
        x: Print | None, y: Print | None, z: Print | None, less: Print | None
    ) -> Place | None:
        if x is None or y is None or z is None or less is None:
            return None
        return place_of(x, y, z) or growing(x.shape, less.shape)

    places = map(place, a.inputs, b.inputs, c.inputs, fewer.inputs)
    spread = a.kind == "spread"
    outputs = (Place(0),) if spread else tuple(map(place_of, a.outputs, b.outputs, c.outputs))
    return Site(name_of(a.func), a.kind, tuple(places), outputs)


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


class _Watch(ParameterCalls):
    """One forward pass: prints of what parameters meet, and the amounts of its work."""

    def __init__(self, model: nn.Module, examples: int, layers: Container[Function]):
        super().__init__(model)
        self.model = model
        self.examples = examples
        self.layers = layers
        self.shots: list[_Shot] = []
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.uses: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self.weights: list[tuple[int, int, int]] = []
        self.bytes = self.widest = self.calls = self.macs = 0
        self.rich = False

    def run(self, x: Tensor, policy: BatchNormPolicy, grad: bool = False) -> Tensor:
        """The outputs for x, a row for each example."""
        devices = [x.device] if x.is_cuda else []
        with torch.set_grad_enabled(grad), torch.random.fork_rng(devices), self, policy:
            torch.manual_seed(0)  # a network that draws noise draws the same every time
            outputs = self.model(x.clone())
        return flattened(outputs, len(x))

    def survey(self, outputs: Tensor) -> Survey:
        """The amounts of what was seen; nothing yet of examples."""
        n = self.examples
        return Survey(
            sites=(),
            outputs=outputs.shape[1],
            coupled=False,
            uses=self.uses,
            obstacle="",
            complete=False,
            forward_bytes=self.bytes // n,
            widest_bytes=self.widest // n,
            kept_bytes=self.kept,
            weights=tuple(self.weights),
            macs=self.macs // n,
            calls=self.calls,
            rich=self.rich,
        )

    def other(self, value: Any) -> Any:
        self.calls += 1
        if isinstance(value, Tensor) and not value._is_view():
            self.bytes += value.nbytes
            self.widest = max(self.widest, value.nbytes)
        return value

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        names = [self.names.get(id(t), "" if id(t) in self.constant else None) for t in tensors]
        # Taken before the call, which may change its arguments in place.
        inputs = [
            take_print(t.detach()) if name is None else None
            for t, name in zip(tensors, names, strict=True)
        ]
        outputs = func(*args, **kwargs)
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        kind: Literal["layer", "derived", "spread"] = "layer"
        if None not in names:
            kind = "derived"
            if func in SPREADING and self._spreads(outputs, tensors[0]):
                kind = "spread"
            else:
                self.derive(outputs)
                number = len(self.shots)
                self.names |= {id(t): f"{DERIVED}{number}.{k}" for k, t in enumerate(found)}
        self._measure(func, tensors, names, found)
        prints = [take_print(self.other(t).detach()) for t in found]
        self.shots.append(_Shot(func, kind, func in self.layers, inputs, prints))
        return outputs

    def _measure(
        self,
        func: Function,
        tensors: Sequence[Tensor],
        names: Sequence[str | None],
        outputs: Sequence[Tensor],
    ) -> None:
        n = self.examples
        factors = sum(t.nbytes for t in (tensors[0], *outputs)) // n
        for tensor, name in zip(tensors, names, strict=True):
            if not name:
                continue
            self.uses[name] = self.uses.get(name, 0) + 1
            least = min(tensor.nbytes, factors) if func in self.layers else tensor.nbytes
            self.kept[name] = self.kept.get(name, 0) + least
        if func not in CONTRACTING:
            self.macs += sum(t.numel() for t in outputs)
            return
        image, weight = tensors[0], tensors[1]
        outs, numbers = len(weight), weight.numel()
        positions = (image if CONTRACTING[func] else outputs[0]).numel() // outs
        self.weights.append((outs, numbers // outs, positions // n))
        self.macs += numbers * positions
        self.rich |= func is F.conv2d and image.shape[1] >= RICH

    def _spreads(self, output: Tensor, parameter: Tensor) -> bool:
        """Whether a parameter is repeated once for each example, as a class token is."""
        return len(output) == self.examples and (
            output.numel() == self.examples * parameter.numel()
        )


SPREADING = frozenset({Tensor.expand, Tensor.repeat, torch.broadcast_to, Tensor.broadcast_to})
# Functions that multiply a weight (o x a) at every position; whether positions are the input's.
CONTRACTING: dict[Function, bool] = {
    F.linear: False,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), False),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), True),
}
