"""A survey of a network: where it uses parameters, and where its examples lie.

The network sees a few examples twice, the second time with the first of them exchanged. Whatever
differs depends on that example. So each tensor tells in which dimension its examples lie, whether
batch first, sequence first or merged with other dimensions; and an output that differs for
another example shows that examples are coupled. Any dtype will do, words too.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.kernels import attention
from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.interception import Function, Interception
from untrained.kernels.readout import flattened

SEEN = 3
"Examples that a survey shows."
RICH = 16
"Channels from which a convolution is faster on a CPU with its channels last in memory."
DERIVED = "#"
"Begins the names of tensors made of parameters alone."


class Place(NamedTuple):
    """Where n examples lie in a tensor: in a dimension of n m numbers."""

    dim: int
    minor: bool = False
    "Whether examples vary fastest in it: as (m n), not as (n m)."

    def front(self, x: Tensor, n: int) -> Tensor:
        """x as (n, ...), with m where the dimension was."""
        m = x.shape[self.dim] // n
        if self.minor:
            return x.unflatten(self.dim, (m, n)).movedim(self.dim + 1, 0)
        return x.unflatten(self.dim, (n, m)).movedim(self.dim, 0)


class Unstructured(ValueError):
    """A network, or one of its calls, that the structured method cannot follow."""


class Site(NamedTuple):
    """One call that uses parameters, in the order of the network's own program."""

    name: str
    "Of the function."
    kind: Literal["layer", "derived", "spread"]
    "Of examples and parameters; of parameters alone; a parameter repeated for each example."
    places: tuple[Place | None, ...]
    "Of the examples in each tensor among the arguments, in order; None where there are none."
    outputs: tuple[Place | None, ...]


class ParameterCalls(Interception, ABC):
    """Sees every call that uses a parameter, or what was made of parameters alone."""

    def __init__(self, model: nn.Module):
        super().__init__()
        # By id, with the tensors themselves: a freed tensor's id may come again.
        self.known: dict[int, Tensor] = {id(p): p for p in model.parameters()}
        self.constant = {id(b): b for b in model.buffers()}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if not any(id(t) in self.known for t in tensors):
            return self.other(func(*args, **kwargs))
        if name_of(func) in _READS:
            value = func(*args, **kwargs)
            if not isinstance(value, Tensor):  # a shape, a type; but `weight.T` is a use
                return value
        if func is F.multi_head_attention_forward and attention.fits(*args, **kwargs):
            with self:  # its own calls are seen in turn
                return attention.self_attention(*args, **kwargs)
        return self.use(func, args, kwargs, tensors)

    @abstractmethod
    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        """What a call that uses a parameter shall give."""

    def other(self, value: Any) -> Any:
        """What any other call shall give."""
        return value

    def derive(self, outputs: Any) -> None:
        """From now on, these count as parameters."""
        self.known |= {id(t): t for t in tree_leaves(outputs) if isinstance(t, Tensor)}


def name_of(func: Function) -> str:
    """A function's own name."""
    return getattr(func, "__name__", str(func))


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
    kept_bytes: Mapping[str, int]
    "For one example, of what each parameter's rows can be made from, or of its rows if smaller."
    macs: int
    "Multiply-adds of the layers of one example's forward pass."
    calls: int
    "Torch functions in a forward pass."
    rich: bool
    "Whether there are convolutions of enough channels to lay these last in memory."


def survey(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, layers: Container[Function]
) -> Survey:
    """Shows the network a few examples of x, twice.

    Args:
        layers: functions whose rows have a formula.

    Raises:
        ValueError: inputs that the network does not take, or outputs that are not one tensor with
            a row for each example.
    """
    first, second = _pair(x)
    try:
        watch, before = _watch(model, first, policy, grad=True)
    except RuntimeError as error:
        return _fixed(model, x, policy, str(error).splitlines()[0])
    other, after = _watch(model, second, policy)
    shots, others = watch.shots, other.shots
    found = Survey(
        sites=(),
        outputs=before.shape[1],
        coupled=bool(_differ(before[1:], after[1:]).any()),
        uses=watch.uses,
        obstacle="",
        complete=False,
        forward_bytes=watch.bytes // SEEN,
        kept_bytes=_kept(model, shots, layers),
        macs=sum(map(_macs, shots)) // SEEN,
        calls=watch.calls,
        rich=any(shot.func is F.conv2d and shot.inputs[0].shape[1] >= RICH for shot in shots),
    )
    if found.coupled:
        return found
    if [shot.func for shot in shots] != [shot.func for shot in others]:
        return found._replace(obstacle="the network's program depends on its input")
    fewer = shots
    if any(map(_neutral, shots, others)):
        fewer = _watch(model, first[1:], policy)[0].shots
    try:
        sites = tuple(map(_site, shots, others, fewer))
    except Unstructured as error:
        return found._replace(obstacle=str(error))
    return found._replace(
        sites=sites,
        complete=all(shot.func in layers for shot in shots)
        and all(None not in site.outputs for site in sites if site.kind == "layer")
        and _edges(before) == {id(p): watch.uses.get(n, 0) for n, p in _trainable(model).items()},
    )


def _fixed(model: nn.Module, x: Tensor, policy: BatchNormPolicy, why: str) -> Survey:
    """What can be said of a network that takes batches of one size alone, or not these inputs."""
    try:
        watch, outputs = _watch(model, x, policy)
    except RuntimeError as error:
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
        kept_bytes={},
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


def _edges(outputs: Tensor) -> dict[int, int]:
    """How often autograd's graph of the outputs uses each parameter, by its id."""
    edges: dict[int, int] = {}
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
            else:
                edges[id(variable)] = edges.get(id(variable), 0) + 1
    return edges


def _macs(shot: _Shot) -> int:
    """Multiply-adds of a linear layer or convolution; of anything else, the numbers it gives."""
    numbers = sum(t.numel() for t in shot.outputs)
    if name_of(shot.func) == "linear" or name_of(shot.func).startswith("conv"):
        image, weight = shot.inputs[0], shot.inputs[1]
        many = image.numel() if "transpose" in name_of(shot.func) else numbers
        return many * weight.numel() // len(weight)
    return numbers


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


def _pair(x: Tensor) -> tuple[Tensor, Tensor]:
    """A few examples, and the same with another one in the first place."""
    seen = x[torch.arange(SEEN, device=x.device) % len(x)].clone()
    different = (x != x[0]).flatten(1).any(1).nonzero()
    other = seen.clone()
    if len(different):
        other[0] = x[different[0, 0]]
    elif x.is_floating_point():  # all are equal: noise of their own size
        noise = torch.randn(x[0].shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        other[0] += noise.to(x.device) * (x[0].abs().mean() + 1)
    return seen, other


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
        self.bytes = 0
        self.calls = 0

    def other(self, value: Any) -> Any:
        self.calls += 1
        if isinstance(value, Tensor) and not value._is_view():
            self.bytes += value.numel() * value.element_size()
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


def _site(a: _Shot, b: _Shot, fewer: _Shot) -> Site:
    places = tuple(
        _place(x, y) or _growing(x, less) if name is None else None
        for x, y, less, name in zip(a.inputs, b.inputs, fewer.inputs, a.names, strict=True)
    )
    outputs = (Place(0),) if a.kind == "spread" else tuple(map(_place, a.outputs, b.outputs))
    return Site(name_of(a.func), a.kind, places, outputs)


def _growing(x: Tensor, less: Tensor) -> Place | None:
    """The dimension that grows with the number of examples, though all are the same."""
    grown = [d for d, (a, b) in enumerate(zip(x.shape, less.shape, strict=True)) if a != b]
    return Place(grown[0]) if len(grown) == 1 else None


def _place(a: Tensor, b: Tensor) -> Place | None:
    """Where the first example lies, given that nothing else differs."""
    if a.shape != b.shape:
        raise Unstructured(f"shapes depend on the input: {tuple(a.shape)}, {tuple(b.shape)}")
    changed = _differ(a, b)
    if not changed.any():
        return None
    for dim, size in enumerate(a.shape):
        if size % SEEN:
            continue
        along = changed.movedim(dim, 0).flatten(1).any(1)
        if not along[size // SEEN :].any():
            return Place(dim)
        if not along.view(-1, SEEN)[:, 1:].any():
            return Place(dim, minor=True)
    raise Unstructured(f"examples mix in a tensor of shape {tuple(a.shape)}")


# How modules ask a parameter for its shape, type or device: as a property, or by a method.
_READS = frozenset({"__get__", "size", "dim", "__len__", "numel", "stride"})
SPREADING = frozenset({Tensor.expand, Tensor.repeat, torch.broadcast_to, Tensor.broadcast_to})
