"""What a network does with its parameters: which axes of a weight are inputs, and which outputs.

A shape does not tell: (8, 4) is a linear layer of 4 inputs in `F.linear(x, W)`, of 8 in `x @ W`,
and none at all in `x + W`. The calls of one forward pass do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from untrained.kernels.batchnorm import evaluating
from untrained.kernels.interception import Function, Interception
from untrained.kernels.sites import name_of, tensors_in

Entries = Int[Tensor, "blocks outputs inputs"]


class Use(NamedTuple):
    """One way in which a parameter meets the examples."""

    kind: Literal["map", "table", "bias", "other", "unclear"]
    """Sums over inputs; looked up by the examples; added to what a map gives; met entry by entry,
    as scales, class tokens and tables of positions are; or beyond what is followed here."""
    fan_in: float = 0
    "Of a map; of a bias, that of the map beside it."
    fan_out: float = 0
    entries: Entries | None = None
    "Of a map: which entry of the parameter multiplies which input of which output."

    @property
    def shape(self) -> tuple[int, ...]:
        """Outputs and inputs of a block."""
        return () if self.entries is None else tuple(self.entries.shape[1:])

    def same(self, other: "Use") -> bool:
        """Whether both ask for the same draw."""
        if self[:3] != other[:3]:
            return False
        return self.entries is None or (
            other.entries is not None and torch.equal(self.entries, other.entries)
        )


Uses = dict[str, list[Use]]


def uses_on(model: nn.Module, x: Tensor, names: Sequence[str]) -> tuple[Uses, str]:
    """The uses of parameters of these names in one pass over x, and why it ended early, if so.

    The model is left as it was, and so is the random state.
    """
    parameters, x = dict(model.named_parameters(remove_duplicate=False)), x.clone()
    watch = _Watch({name: parameters[name] for name in names}, x)
    devices = [x.device] if x.is_cuda else []
    try:
        with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices), watch:
            model(x)
    except Exception as error:  # anybody's network; what was seen until then is true
        return watch.uses, f"{type(error).__name__}: {error}"
    return watch.uses, ""


def has_influence(model: nn.Module, x: Tensor, name: str) -> bool:
    """Whether the outputs for x depend on a parameter, by a backward pass; True if that fails."""
    parameter = model.get_parameter(name)
    devices = [x.device] if x.is_cuda else []
    try:
        with evaluating(model), torch.enable_grad(), torch.random.fork_rng(devices):
            outputs = [t for t in tree_leaves(model(x.clone())) if isinstance(t, Tensor)]
            total = torch.stack([t.sum().real for t in outputs if t.requires_grad]).sum()
            return torch.autograd.grad(total, parameter, allow_unused=True)[0] is not None
    except Exception:  # anybody's network
        return True


def uses_alone(model: nn.Module, name: str) -> list[Use]:
    """The uses of one parameter when the module that has it is tried on inputs that may fit.

    Of the modules around it, innermost first, the first that use it on inputs of sizes that its
    parameters have: in the first pass that succeeds or, where sizes never fit as those of images
    often do not, in what passes do until they fail. Empty if there are none.
    """
    path = name.split(".")[:-1]
    # A vector is a scale or a slope unless its own module says more.
    least = len(path) if model.get_parameter(name).ndim < 2 else 0
    for depth in range(len(path), least - 1, -1):
        prefix = ".".join(path[:depth])
        module, inner = model.get_submodule(prefix), name[len(prefix) + 1 if prefix else 0 :]
        owner = module.get_submodule(".".join(path[depth:]))
        seen: list[Use] = []
        for x in _inputs([*owner.parameters(recurse=False), *module.parameters()]):
            uses, failure = uses_on(module, x, [inner])
            found = uses.get(inner, [])
            if found and not failure:
                return found
            _add(seen, found)
        if seen:
            return seen
    return []


def _add(known: list[Use], found: Sequence[Use]) -> None:
    known += [use for use in found if not any(use.same(other) for other in known)]


BATCH = 7
"Examples of an input that is tried: a number that no other size is likely to be."


def _inputs(parameters: Sequence[Tensor]) -> Iterator[Tensor]:
    """Vectors, sequences of them, signals, images and words, in sizes that parameters have."""
    like, sizes = parameters[0], dict.fromkeys(size for p in parameters for size in p.shape)
    few = [size for size in sizes if size > 1][:6]
    for d in few:
        for shape in ((d,), (5, d), (d, 16), (d, 16, 16)):
            yield like.new_ones((BATCH, *shape))
    yield torch.zeros(BATCH, 5, dtype=torch.long, device=like.device)
    for pair in product(few, repeat=2):
        yield like.new_ones((BATCH, *pair))


class _Watch(Interception):
    """Follows parameters through changes of shape to the calls where they meet the examples."""

    def __init__(self, parameters: Mapping[str, Tensor], x: Tensor):
        super().__init__()
        self.uses: Uses = {}
        # By id, with the tensors themselves: a freed tensor's id may come again.
        self.examples: dict[int, Tensor] = {id(x): x}
        self.made: dict[int, tuple[Tensor, frozenset[str], Tensor | None]] = {}
        for name, p in parameters.items():
            index = torch.arange(p.numel()).view(p.shape)
            shared = self.made[id(p)][1] if id(p) in self.made else frozenset[str]()
            self.made[id(p)] = p, shared | {name}, index

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        ours = [t for t in tensors if id(t) in self.made]
        meets = any(id(t) in self.examples for t in tensors)
        name = name_of(func).strip("_")
        if ours and not meets:  # a token that a layer sees is an example like others
            meets = name in _LAYERS and [id(t) for t in ours] == [id(t) for t in args[:1]]
        if ours and (meets or (len(ours) > 1 and name in _MAPS)):
            self.meet(name, args, kwargs, ours)
        result = func(*args, **kwargs)
        found = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if meets:
            changed = [args[0]] if name == "setitem" else []
            self.examples |= {id(t): t for t in [*found, *changed]}
        elif ours:
            self.derive(name, func, args, kwargs, result)
        return result

    def derive(
        self,
        name: str,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        """From now on, what was made of parameters alone is known, and where its entries lie."""
        found = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        sources = [self.made[id(t)] for t in tensors if id(t) in self.made]
        names = frozenset[str]().union(*(source[1] for source in sources))
        indices: list[Tensor | None] = [None] * len(found)
        if len(sources) == 1 and (index := sources[0][2]) is not None:
            if name in _RESHAPING:
                args, kwargs = tree_map_only(
                    Tensor, lambda t: index if t is sources[0][0] else t, (args, kwargs)
                )
                again = func(*args, **kwargs)
                indices = [t for t in tree_leaves(again) if isinstance(t, Tensor)]
            elif name in _SCALING and found[0].shape == index.shape:
                indices = [index]
        for t, index in zip(found, indices, strict=True):
            self.made[id(t)] = t, names, index

    def meet(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], ours: Sequence[Tensor]
    ) -> None:
        """Notes how each parameter in a call with examples is used."""
        try:
            parts = {id(tensor): part for tensor, part in _parts(name, args, kwargs)}
        except (TypeError, ValueError, KeyError, IndexError):  # called as no formula foresees
            parts = {id(t): _UNCLEAR for t in ours}
        for t in ours:
            _, names, index = self.made[id(t)]
            part = parts.get(id(t), _OTHER if name in _ENTRYWISE else _UNCLEAR)
            for source in names:
                _add(self.uses.setdefault(source, []), [part.use(index)])


class _Part(NamedTuple):
    """The part of one argument in a call."""

    kind: Literal["map", "table", "bias", "other", "unclear"]
    arrange: Callable[[Tensor], Entries] | None = None
    "Of a map: from an array in the argument's shape to blocks, outputs and inputs."
    fan_in: float = 0
    fan_out: float = 0
    "Where they are not the numbers of inputs and outputs of a block."

    def use(self, index: Tensor | None) -> Use:
        if self.arrange is None:
            return Use(self.kind, self.fan_in, self.fan_out)
        if index is None:  # a weight that is computed from parameters
            return Use("unclear")
        arranged = self.arrange(index)
        _, outputs, inputs = arranged.shape
        return Use("map", self.fan_in or inputs, self.fan_out or outputs, arranged)


_OTHER, _UNCLEAR = _Part("other"), _Part("unclear")
Parts = Iterator[tuple[Tensor, _Part]]


def _parts(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Parts:
    """Each argument that a call treats in a way of its own, and how."""
    if name in _LAYERS and args:
        yield args[0], _OTHER
    if name in _MAPS:
        yield from _MAPS[name](*args, **kwargs)


def _axes(weight: Tensor, inputs: Sequence[int], blocks: Sequence[int] = ()) -> _Part:
    """The part of a weight that is summed over `inputs`, one map for each entry of `blocks`."""
    inner = [axis % weight.ndim for axis in inputs]
    outer = [axis for axis in range(weight.ndim) if axis not in (*inner, *blocks)]

    def arrange(array: Tensor) -> Tensor:
        shape = [prod(array.shape[axis] for axis in axes) for axes in (blocks, outer, inner)]
        return array.permute(*blocks, *outer, *inner).reshape(shape)

    return _Part("map", arrange)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Parts:
    yield weight, _axes(weight, [-1])
    if bias is not None:
        yield bias, _Part("bias", fan_in=weight.shape[-1])


def _product(input: Tensor, other: Tensor, **_: Any) -> Parts:
    yield input, _axes(input, [-1], range(input.ndim - 2))
    yield other, _axes(other, [max(other.ndim - 2, 0)], range(other.ndim - 2))


def _added_product(input: Tensor, mat1: Tensor, mat2: Tensor, **_: Any) -> Parts:
    inputs = mat2.shape[max(mat2.ndim - 2, 0)]
    yield input, _Part("bias", fan_in=inputs) if input.ndim < 2 else _OTHER
    yield from _product(mat1, mat2)


def _einsum(equation: str, *operands: Any) -> Parts:
    tensors = operands[0] if isinstance(operands[0], list | tuple) else operands
    left, arrow, right = equation.replace(" ", "").partition("->")
    if not arrow:  # then what occurs once stays
        right = "".join(letter for letter in left if left.count(letter) == 1)
    terms = left.split(",")
    for k, (tensor, term) in enumerate(zip(tensors, terms, strict=True)):
        if "..." in term:
            continue  # axes without a name
        elsewhere = "".join(terms[:k] + terms[k + 1 :])
        inputs = [axis for axis, letter in enumerate(term) if letter not in right]
        shared = [a for a, letter in enumerate(term) if letter in right and letter in elsewhere]
        # Without a sum, entries meet those of the examples one by one.
        yield tensor, _axes(tensor, inputs, shared) if inputs else _OTHER


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, **_: Any) -> Parts:
    if isinstance(dims, int):
        dims = range(a.ndim - dims, a.ndim), range(dims)
    yield a, _axes(a, dims[0])
    yield b, _axes(b, dims[1])


def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Parts:
    yield weight, _axes(weight, [1, 2])
    if bias is not None:
        yield bias, _Part("bias", fan_in=weight.shape[1])


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Parts:
    fan_in, fan_out = prod(weight.shape[1:]), prod(weight.shape[:1]) * prod(weight.shape[2:])
    yield weight, _Part("map", _grouped(groups), fan_in, fan_out)
    if bias is not None:
        yield bias, _Part("bias", fan_in=fan_in)


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Parts:
    kernel = weight.shape[2:]
    strides = [stride] * len(kernel) if isinstance(stride, int) else [*stride] * len(kernel)
    steps = prod(strides[: len(kernel)])
    fan_in = len(weight) // groups * prod(kernel) / steps
    yield weight, _Part("map", _grouped(groups), fan_in, prod(weight.shape[1:]))
    if bias is not None:
        yield bias, _Part("bias", fan_in=fan_in)


def _grouped(groups: int) -> Callable[[Tensor], Tensor]:
    return lambda array: array.reshape(groups, len(array) // groups, -1)


def _looked_up(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Parts:
    yield weight, _Part("table", fan_in=1, fan_out=prod(weight.shape[1:]))


def _indexed(input: Tensor, *args: Any, **kwargs: Any) -> Parts:
    yield input, _Part("table", fan_in=1, fan_out=prod(input.shape[1:]))


_MAPS: dict[str, Callable[..., Parts]] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **{f"conv_transpose{d}d": _transposed for d in (1, 2, 3)},
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _product),
    "rmatmul": lambda other, input: _product(input, other),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _added_product),
    "einsum": _einsum,
    "tensordot": _tensordot,
    "bilinear": _bilinear,
    **dict.fromkeys(("embedding", "embedding_bag"), _looked_up),
    **dict.fromkeys(("getitem", "index_select"), _indexed),
}

# Calls whose first argument is no weight.
_LAYERS = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"}
    | {"conv_transpose3d", "bilinear", "layer_norm", "group_norm", "rms_norm"}
    | {"batch_norm", "multi_head_attention_forward"}
)
# Calls whose results hold the entries of a parameter at other places. `T` is an attribute.
_RESHAPING = frozenset(
    {"get", "t", "transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "adjoint"}
    | {"view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"}
    | {"getitem", "select", "narrow", "index_select", "chunk", "split", "tensor_split", "unbind"}
    | {"expand", "expand_as", "broadcast_to", "contiguous", "clone", "detach"}
)
# Calls that leave every entry where it is: other types, and products with masks and constants.
_SCALING = frozenset(
    {"to", "float", "double", "half", "bfloat16", "type", "type_as", "dropout", "weight_norm"}
    | {"mul", "rmul", "div", "truediv"}
)
# Calls that take the parameter entry by entry.
_ENTRYWISE = frozenset(
    {f"{kind}{name}" for kind in ("", "r", "i") for name in ("add", "sub", "mul", "div", "pow")}
    | {"truediv", "rtruediv", "itruediv", "addcmul", "addcdiv", "lerp", "where", "masked_fill"}
    | {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "copy", "setitem"}
    | {"maximum", "minimum", "clamp", "prelu", "scaled_dot_product_attention"}
    | {"layer_norm", "group_norm", "rms_norm", "batch_norm", "instance_norm"}
    | {"expand_as", "view_as", "reshape_as", "type_as", "to", "eq", "ne", "lt", "le", "gt", "ge"}
    | {"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like", "empty_like"}
)
