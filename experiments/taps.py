"""The NTK by taps under `vmap`: an alternative to surveys, measured by `taps_table`.

The network is shown one example, inside `vmap`, which says of every tensor where the examples lie.
A call that has a formula (see `untrained.layerwise.layers`) is lifted out: made once, on the whole
batch, with a hook on its output, as `structured` makes it. Any other call that uses a parameter is
given a copy of it for each example (`expand`, no memory), whose gradient is that example's row.
One backward pass outside `vmap` gives everything; the contraction is the library's own.

A pass so shows what the network does with an example alone: see `taps_checks`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from taps_checks import FORMULAS, Asked, Made, Replay, check_gradients, check_outputs, settings
from torch import Tensor, nn
from torch._C._functorch import _add_batch_dim, get_unwrapped, is_batchedtensor, maybe_get_bdim
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from untrained.kernels.planning import MOST_WORKSPACE
from untrained.layerwise.collector import Collector
from untrained.layerwise.contraction import SMALL, Tile
from untrained.layerwise.layers import LAYERS
from untrained.layerwise.terms import Layer
from untrained.networks import attention
from untrained.networks.arguments import chosen_parameters as select
from untrained.networks.batchnorm import BatchNormCall, BatchNormPolicy, policy_mode
from untrained.networks.interception import Function, Interception
from untrained.networks.jacobian import parameters_kept, quiet
from untrained.networks.places import Place, Unstructured
from untrained.networks.provenance import tensors_in
from untrained.networks.readout import Output, flattened, make_readout, read
from untrained.networks.sites import READS, Site, guarded

Check = Literal["none", "replayed", "few", "all"]
CHECKS: tuple[Check, ...] = get_args(Check)
FEW = 3
"Examples whose gradients are compared."
FRONT = Site("", "layer", (Place(0),), (Place(0),), ())
CONVOLUTIONS = {layer for layer in FORMULAS if layer.__name__.startswith("conv")}
IMAGES = CONVOLUTIONS | {F.batch_norm, F.group_norm}


class Lifted(torch.autograd.Function):
    """A call on (n, ...) tensors, made once, outside the `vmap` that it is written in."""

    @staticmethod
    def forward(*_: Any) -> Any:
        raise Unstructured("a call without examples")

    @staticmethod
    def setup_context(*_: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, dims: Any, call: Callable[..., Any], index: Any, *tensors: Any) -> Any:
        """The call on whole tensors, and where what it gives holds the examples."""
        n = info.batch_size
        pairs = zip(tensors, dims[2:], strict=True)
        found = call(*(t.expand(n, *t.shape) if d is None else t.movedim(d, 0) for t, d in pairs))
        return found, (0,) * len(found) if isinstance(found, tuple) else 0


def lowered(call: Callable[..., Tensor], index: Tensor, *tensors: Tensor) -> Tensor:
    """The same by torch's own parts of `vmap`, which are not public, and faster."""
    interpreter = retrieve_current_functorch_interpreter()
    given = []
    for t in tensors:
        if is_batchedtensor(t):
            given.append(get_unwrapped(t).movedim(maybe_get_bdim(t), 0))
        else:
            given.append(t.expand(interpreter.batch_size(), *t.shape))  # type: ignore[attr-defined]
    with interpreter.lower():
        found = call(*given)
    return _add_batch_dim(found, 0, interpreter.level())


class Taps(Interception):
    """Lifts the calls that have formulas, and hooks their outputs."""

    def __init__(self, collector: Collector, policy: BatchNormPolicy, public: bool):
        super().__init__()
        self.collector, self.policy = collector, policy
        self.lift = Lifted.apply if public else lowered
        self.names: dict[int, str] = {}
        self.constants: dict[int, Tensor] = {}
        self.leaves: list[Tensor] = []
        self.uses: Counter[str] = Counter()
        self.direct: set[str] = set()
        "Parameters that are used otherwise."
        self.made: list[Made] = []
        self.q = 0

    def begin(
        self, index: Tensor, theta: Mapping[str, Tensor], whole: Mapping[str, Tensor]
    ) -> None:
        """Parameters as this `vmap` has them, and as they are."""
        self.index, self.theta = index, theta
        self.names = {id(t): name for name, t in theta.items()}
        self.constants = {id(t): whole[name] for name, t in theta.items()}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func is F.multi_head_attention_forward and attention.fits(*args, **kwargs):
            with self:
                return attention.self_attention(*args, **kwargs)
        others = [*tensors_in(args[3:]), *tensors_in(kwargs.values())]
        if func is F.scaled_dot_product_attention and args[0].ndim > 3 and not others:
            return self._whole(func, args, kwargs)  # fused, it has no rule
        names = [n for t in tensors_in((*args, *kwargs.values())) if (n := self.names.get(id(t)))]
        if func in FORMULAS and (names or func is F.batch_norm):
            try:
                return self._layer(func, *args, **kwargs)
            except Unstructured:
                pass
        if func.__name__ not in READS:
            self.direct.update(names)
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if "Batching rule not implemented" not in str(error):
                raise
            return self._one_by_one(func, args, kwargs)

    def _whole(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        def whole(*tensors: Tensor) -> Tensor:
            found = func(*(t.flatten(0, 1) for t in tensors), *args[3:], **kwargs)
            return found.unflatten(0, (len(tensors[0]), -1))

        return self._lifted(whole, *args[:3])

    def _one_by_one(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        leaves, tree = tree_flatten((tuple(args), dict(kwargs)))
        tensors = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        shapes: list[Any] = []

        def each(*given: Tensor) -> tuple[Tensor, ...]:
            found = []
            for one in zip(*given, strict=True):
                for k, t in zip(tensors, one, strict=True):
                    leaves[k] = t
                args, kwargs = tree_unflatten(leaves, tree)
                made, shape = tree_flatten(func(*args, **kwargs))
                found.append(made)
                shapes.append(shape)
            return tuple(map(torch.stack, zip(*found, strict=True)))

        found = Lifted.apply(each, self.index, *(leaves[k] for k in tensors))
        return tree_unflatten(found, shapes[0])

    def _lifted(self, call: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        def plain(*given: Tensor) -> Tensor:
            with torch._C.DisableTorchFunction():
                return call(*given)

        return self.lift(plain, self.index, *tensors)

    def _layer(self, func: Function, x: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        held = [t for t in tensors_in((*rest, *kwargs.values())) if is_batchedtensor(t)]
        if id(x) in self.names or any(id(t) not in self.names for t in held):
            raise Unstructured("a weight that is made of others")
        names = {id(self.constants[id(t)]): self.names[id(t)] for t in held}
        rest = tuple(self.constants.get(id(t), t) for t in rest)
        kwargs = {key: self.constants.get(id(t), t) for key, t in kwargs.items()}
        fold = func in IMAGES and (func not in CONVOLUTIONS or x.ndim == rest[0].ndim)

        def whole(x: Tensor) -> Tensor:
            n, x = len(x), x.flatten(0, 1) if fold else x
            asked = rest, kwargs
            if func is F.batch_norm:
                asked = self.policy.altered(BatchNormCall(x, *rest, **kwargs))[1:], {}
            layer = LAYERS[func](FRONT, n, x, *asked[0], **asked[1])
            asks = settings(rest, kwargs)
            self.made.append(Made(func, asks, x.detach(), x._version, layer.output.detach()))
            output = self._tapped(layer, names)
            shape = (n, len(output) // n, *output.shape[1:]) if fold else output.shape
            return torch.ops.aten._unsafe_view(output, shape)  # the network may change it in place

        return self._lifted(whole, x)

    def _tapped(self, layer: Layer, names: Mapping[int, str]) -> Tensor:
        output, kept, terms = layer
        terms = tuple(term for term in terms if id(term.parameter) in names)
        if not terms or not torch.is_grad_enabled():
            return output
        if not output.requires_grad:
            self.leaves.append(output.requires_grad_())
        version, pieces = kept._version, []
        for k, term in enumerate(terms):
            name = names[id(term.parameter)]
            piece = self.collector.piece(name, (self.uses[name], k), 0, term.outer)
            pieces.append((name, term.gradient, piece))
            self.uses[name] += 1

        def add(d: Tensor) -> None:
            if kept._version != version:
                raise Unstructured("the input of a layer was changed in place")
            for name, gradient, piece in pieces:
                piece.add(self.q, gradient(d), last=self.q == self.collector.columns[-1])
                for take, share in self.collector.due(name):
                    take(share)

        output.register_hook(add)
        return guarded(output)


def kernel(asked: Asked, check: Check, public: bool) -> Tensor:
    """Theta, of all parameters."""
    n, rows = len(asked.x), asked.readout.rows
    parameters = select(asked.model, "all")
    size = n * rows
    tile = Tile(
        n, None, rows, asked.precision, torch.zeros(size, size, dtype=torch.float64), SMALL
    )
    collector = Collector(parameters, dict.fromkeys(parameters, tile), [n], {}, MOST_WORKSPACE)
    with torch.enable_grad(), quiet(), parameters_kept(asked.model):
        taps = Taps(collector, asked.policy, public)
        outputs = _passes(asked, collector, taps, check in ("replayed", "few"))
    for add, share in collector.rest():
        add(share)
    tile.settle()
    theta = tile.theta()
    if check in ("few", "all"):
        check_gradients(asked, theta, outputs, FEW if check == "few" else n)
    return theta


def _passes(asked: Asked, collector: Collector, taps: Taps, replayed: bool) -> Tensor:
    n = len(asked.x)
    others = {name: p.detach() for name, p in asked.model.named_parameters()}
    whole = {name: others.pop(name) for name in collector.names.values()}
    each = {name: p.expand(n, *p.shape).requires_grad_() for name, p in whole.items()}

    def f(index: Tensor, theta: dict[str, Tensor], x: Tensor) -> Tensor:
        taps.begin(index, theta, whole)
        swapped = {**others, **theta}
        asked.policy.own.add(swapped)
        with taps:
            return flattened(functional_call(asked.model, swapped, (x[None],)), 1)[0]

    with asked.policy:
        outputs = vmap(f)(torch.arange(n), each, asked.x.clone())
    if replayed:
        with torch.no_grad(), asked.policy, Replay(taps.made):
            real = flattened(asked.model(asked.x.clone()), n)
        check_outputs(real, outputs.detach())
    taps.made.clear()
    collector.expected = {name: taps.uses[name] + (name in taps.direct) for name in whole}
    collector.begin(range(asked.readout.columns))
    direct = sorted(taps.direct)
    inputs = [*taps.leaves, *(each[name] for name in direct)]
    g = read(outputs, asked.readout.matrix)
    for taps.q in collector.columns:
        last = taps.q == collector.columns[-1]
        found = torch.autograd.grad(
            g[:, taps.q].sum(), inputs, retain_graph=not last, allow_unused=True
        )
        for name, row in zip(direct, found[len(taps.leaves) :], strict=True):
            if row is not None:
                collector.piece(name, ("direct", 0), 0, None).add(taps.q, row)
                for add, share in collector.due(name):
                    add(share)
    taps.leaves.clear()
    return outputs.detach()


def asked_of(model: nn.Module, x: Tensor, output: Output, precision: str) -> Asked:
    """All that `kernel` needs; the network in `eval` mode."""
    with torch.no_grad():
        outputs = flattened(model(x[:1].clone()), 1).shape[1]
    like = next(model.parameters())
    readout = make_readout(output, outputs, like)
    return Asked(model, x, readout, policy_mode("frozen", model), precision)
