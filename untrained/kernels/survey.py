"""A survey of a network: where it uses parameters, and where its examples lie.

The network sees a few examples twice, the second time with the first of them exchanged. Whatever
differs depends on that example. So each tensor tells in which dimension its examples lie, whether
batch first, sequence first or merged with other dimensions; and an output that differs for
another example shows that examples are coupled. Any dtype will do, words too.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.interception import Function
from untrained.kernels.readout import flattened
from untrained.kernels.sites import DERIVED, ParameterCalls, Place, Site, Unstructured, name_of

SEEN = 3
"Examples that a survey shows."
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
    """Shows the network a few examples of x, twice; `layers` are functions with a formula.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    seen, first_exchanged, others_exchanged, known = _examples(x)
    try:
        watch, before = _watch(model, seen, policy, grad=True)
    except (RuntimeError, IndexError) as error:
        return _fixed(model, x, policy, str(error).splitlines()[0])
    second, after = _watch(model, first_exchanged, policy)
    third, last = _watch(model, others_exchanged, policy)
    shots = watch.shots
    edges, hidden = _edges(before)
    found = Survey(
        sites=(),
        outputs=before.shape[1],
        coupled=bool(_differ(before[1:], after[1:]).any() or _differ(before[0], last[0]).any()),
        uses=watch.uses,
        obstacle=hidden if known else "all examples are equal",
        complete=False,
        forward_bytes=watch.bytes // SEEN,
        widest_bytes=watch.widest // SEEN,
        kept_bytes=_kept(model, shots, layers),
        weights=tuple(w for shot in shots if (w := _weight(shot)) is not None),
        macs=sum(map(_macs, shots)) // SEEN,
        calls=watch.calls,
        rich=any(shot.func is F.conv2d and shot.inputs[0].shape[1] >= RICH for shot in shots),
    )
    if found.coupled or found.obstacle:
        return found
    programs = [[shot.func for shot in each.shots] for each in (watch, second, third)]
    if any(program != programs[0] for program in programs):
        return found._replace(obstacle="the network's program depends on its input")
    fewer = shots
    if any(
        _neutral(a, b) for a, b in zip(shots, second.shots, strict=True) if a.func not in layers
    ):
        fewer = _watch(model, seen[1:], policy)[0].shots
    try:
        sites = tuple(map(_site, shots, second.shots, third.shots, fewer))
    except Unstructured as error:
        return found._replace(obstacle=str(error))
    return found._replace(
        sites=sites,
        complete=all(shot.func in layers for shot in shots)
        and all(None not in site.outputs for site in sites if site.kind == "layer")
        and edges == {id(p): watch.uses.get(n, 0) for n, p in _trainable(model).items()},
    )


def _fixed(model: nn.Module, x: Tensor, policy: BatchNormPolicy, why: str) -> Survey:
    """What can be said of a network that takes batches of one size alone, or not these inputs."""
    try:
        watch, outputs = _watch(model, x, policy)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"the network does not take inputs of shape {tuple(x.shape)} and type {x.dtype}: {why}"
        ) from error
    return Survey(
        sites=(),
        outputs=outputs.shape[1],
        coupled=True,
        uses={},
        obstacle="",
        complete=False,
        forward_bytes=watch.bytes // len(x),
        widest_bytes=watch.widest // len(x),
        kept_bytes={},
        weights=(),
        macs=sum(map(_macs, watch.shots)) // len(x),
        calls=watch.calls,
        rich=False,
    )


class _Shot(NamedTuple):
    """One call as seen: copies, since a network may change its tensors in place."""

    func: Function
    kind: Literal["layer", "derived", "spread"]
    inputs: list[Tensor]
    outputs: list[Tensor]
    names: list[str | None]
    "Of the inputs that are parameters or made of parameters; empty for buffers."


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


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


def _weight(shot: _Shot) -> tuple[int, int, int] | None:
    """(o, a, t) of a linear layer or convolution, for one example."""
    name = name_of(shot.func)
    if name != "linear" and not name.startswith("conv"):
        return None
    image, weight = shot.inputs[0], shot.inputs[1]
    sized = image if "transpose" in name else shot.outputs[0]
    return len(weight), weight.numel() // len(weight), sized.numel() // len(weight) // SEEN


def _macs(shot: _Shot) -> int:
    """Multiply-adds of a linear layer or convolution; of anything else, the numbers it gives."""
    weight = _weight(shot)
    if weight is None:
        return sum(t.numel() for t in shot.outputs)
    outs, ins, positions = weight
    return outs * ins * positions * SEEN


def _differ(a: Tensor, b: Tensor) -> Tensor:
    return (a != b) & ~(a.isnan() & b.isnan())


def _kept(model: nn.Module, shots: Sequence[_Shot], layers: Container[Function]) -> dict[str, int]:
    kept: dict[str, int] = {}
    sizes = {name: p.numel() * p.element_size() for name, p in model.named_parameters()}
    for shot in shots:
        factors = sum(t.numel() * t.element_size() for t in (shot.inputs[0], *shot.outputs))
        for name in {name for name in shot.names if name in sizes}:
            rows = sizes[name]
            least = min(rows, factors // SEEN) if shot.func in layers else rows
            kept[name] = kept.get(name, 0) + least
    return kept


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


def _watch(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, grad: bool = False
) -> tuple["_Watch", Tensor]:
    watch = _Watch(model, len(x))
    devices = [x.device] if x.is_cuda else []
    with torch.set_grad_enabled(grad), torch.random.fork_rng(devices), watch, policy:
        torch.manual_seed(0)  # a network that draws noise draws the same twice
        outputs = model(x.clone())
    return watch, flattened(outputs, len(x))


class _Watch(ParameterCalls):
    def __init__(self, model: nn.Module, examples: int):
        super().__init__(model)
        self.examples = examples
        self.shots: list[_Shot] = []
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.uses: dict[str, int] = {}
        self.bytes = self.widest = 0
        self.calls = 0

    def other(self, value: Any) -> Any:
        self.calls += 1
        if isinstance(value, Tensor) and not value._is_view():
            size = value.numel() * value.element_size()
            self.bytes, self.widest = self.bytes + size, max(self.widest, size)
        return value

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        inputs = [t.detach().clone() for t in tensors]
        names = [self.names.get(id(t), "" if id(t) in self.constant else None) for t in tensors]
        outputs = func(*args, **kwargs)
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        kind: Literal["layer", "derived", "spread"] = "layer"
        if None not in names:
            kind = "derived"
            if func in SPREADING and self._spreads(outputs, tensors[0]):
                kind = "spread"
            else:
                self.derive(outputs)
                self.names |= {
                    id(t): f"{DERIVED}{len(self.shots)}.{k}" for k, t in enumerate(found)
                }
        for name in names:
            if name:
                self.uses[name] = self.uses.get(name, 0) + 1
        copies = [self.other(t).detach().clone() for t in found]
        self.shots.append(_Shot(func, kind, inputs, copies, names))
        return outputs

    def _spreads(self, output: Tensor, parameter: Tensor) -> bool:
        """Whether a parameter is repeated once for each example, as a class token is."""
        return len(output) == self.examples and (
            output.numel() == self.examples * parameter.numel()
        )


def _neutral(a: _Shot, b: _Shot) -> bool:
    """Whether the call takes a tensor that is the same for all examples, such as a first state."""
    return any(
        name is None and torch.equal(x, y)
        for x, y, name in zip(a.inputs, b.inputs, a.names, strict=True)
    )


def _site(a: _Shot, b: _Shot, c: _Shot, fewer: _Shot) -> Site:
    places = tuple(
        _place(x, y, z) or _growing(x, less) if name is None else None
        for x, y, z, less, name in zip(
            a.inputs, b.inputs, c.inputs, fewer.inputs, a.names, strict=True
        )
    )
    spread = a.kind == "spread"
    outputs = (Place(0),) if spread else tuple(map(_place, a.outputs, b.outputs, c.outputs))
    return Site(name_of(a.func), a.kind, places, outputs)


def _growing(x: Tensor, less: Tensor) -> Place | None:
    """The dimension that grows with the number of examples, though all are the same."""
    if x.ndim != less.ndim:
        return None
    grown = [d for d, (a, b) in enumerate(zip(x.shape, less.shape, strict=True)) if a != b]
    return Place(grown[0]) if len(grown) == 1 else None


def _place(seen: Tensor, first: Tensor, others: Tensor) -> Place | None:
    """Where examples lie: what differs where the first, or where all others were exchanged."""
    if not seen.shape == first.shape == others.shape:
        raise Unstructured(
            f"shapes depend on the input: {tuple(seen.shape)}, {tuple(first.shape)}"
        )
    of_first, of_others = _differ(seen, first), _differ(seen, others)
    if not of_first.any() and not of_others.any():
        return None
    found = []
    for dim, size in enumerate(seen.shape):
        if size % SEEN:
            continue
        a, b = (x.movedim(dim, 0).reshape(size, -1).any(1) for x in (of_first, of_others))
        m = size // SEEN
        if not a[m:].any() and not b[:m].any():
            found.append(Place(dim))
        elif not a.view(m, SEEN)[:, 1:].any() and not b.view(m, SEEN)[:, 0].any():
            found.append(Place(dim, minor=True))
    if len(found) == 1:
        return found[0]
    raise Unstructured(f"examples are not told apart in a tensor of shape {tuple(seen.shape)}")


SPREADING = frozenset({Tensor.expand, Tensor.repeat, torch.broadcast_to, Tensor.broadcast_to})
