"""The part of each argument in a call that maps examples by a weight: what is summed over.

    y = x @ W            W is inputs x outputs
    y = linear(x, W)     W is outputs x inputs
    y = conv(x, W)       W is outputs x inputs / groups x kernel
    y = einsum(., x, W)  inputs are the axes that y lacks

By name, which stands for a function, a method and an operator alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

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


class Part(NamedTuple):
    """The part of one argument in a call."""

    kind: Literal["map", "table", "bias", "other", "unclear"]
    arrange: Callable[[Tensor], Entries] | None = None
    "Of a map: from an array in the argument's shape to blocks, outputs and inputs."
    fan_in: float = 0
    fan_out: float = 0
    "Where they are not the numbers of inputs and outputs of a block."

    def use(self, index: Tensor | None) -> Use:
        """That of a parameter whose entries lie in the argument as `index` says, if it does."""
        if self.arrange is None:
            return Use(self.kind, self.fan_in, self.fan_out)
        if index is None:  # a weight that is computed from parameters
            return Use("unclear")
        arranged = self.arrange(index.cpu())
        _, outputs, inputs = arranged.shape
        return Use("map", self.fan_in or inputs, self.fan_out or outputs, arranged)


OTHER, UNCLEAR = Part("other"), Part("unclear")
Parts = Iterator[tuple[Tensor, Part]]


def parts_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Parts:
    """Each argument that a call treats in a way of its own, and how."""
    if name in LAYERS and args:
        yield args[0], OTHER
    if name in MAPS:
        yield from MAPS[name](*args, **kwargs)


def _axes(weight: Tensor, inputs: Sequence[int], blocks: Sequence[int] = ()) -> Part:
    """The part of a weight that is summed over `inputs`, one map for each entry of `blocks`."""
    inner = [axis % weight.ndim for axis in inputs]
    outer = [axis for axis in range(weight.ndim) if axis not in (*inner, *blocks)]

    def arrange(array: Tensor) -> Tensor:
        shape = [prod(array.shape[axis] for axis in axes) for axes in (blocks, outer, inner)]
        return array.permute(*blocks, *outer, *inner).reshape(shape)

    return Part("map", arrange)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Parts:
    yield weight, _axes(weight, [-1])
    if bias is not None:
        yield bias, Part("bias", fan_in=weight.shape[-1])


def _product(input: Tensor, other: Tensor, **_: Any) -> Parts:
    yield input, _axes(input, [-1], range(input.ndim - 2))
    yield other, _axes(other, [max(other.ndim - 2, 0)], range(other.ndim - 2))


def _added_product(input: Tensor, mat1: Tensor, mat2: Tensor, **_: Any) -> Parts:
    inputs = mat2.shape[max(mat2.ndim - 2, 0)]
    yield input, Part("bias", fan_in=inputs) if input.ndim < 2 else OTHER
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
        yield tensor, _axes(tensor, inputs, shared) if inputs else OTHER


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2, **_: Any) -> Parts:
    if isinstance(dims, int):
        dims = range(a.ndim - dims, a.ndim), range(dims)
    yield a, _axes(a, dims[0])
    yield b, _axes(b, dims[1])


def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Parts:
    yield weight, _axes(weight, [1, 2])
    if bias is not None:
        yield bias, Part("bias", fan_in=weight.shape[1])


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
    yield weight, Part("map", _grouped(groups), fan_in, fan_out)
    if bias is not None:
        yield bias, Part("bias", fan_in=fan_in)


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
    yield weight, Part("map", _grouped(groups), fan_in, prod(weight.shape[1:]))
    if bias is not None:
        yield bias, Part("bias", fan_in=fan_in)


def _grouped(groups: int) -> Callable[[Tensor], Tensor]:
    return lambda array: array.reshape(groups, len(array) // groups, -1)


def _looked_up(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Parts:
    yield weight, Part("table", fan_in=1, fan_out=prod(weight.shape[1:]))


def _indexed(input: Tensor, *args: Any, **kwargs: Any) -> Parts:
    yield input, Part("table", fan_in=1, fan_out=prod(input.shape[1:]))


MAPS: dict[str, Callable[..., Parts]] = {
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
LAYERS = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"}
    | {"conv_transpose3d", "bilinear", "layer_norm", "group_norm", "rms_norm"}
    | {"batch_norm", "multi_head_attention_forward"}
)
# Calls whose results hold the entries of a parameter at other places. `T` is an attribute.
RESHAPING = frozenset(
    {"get", "t", "transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "adjoint"}
    | {"view", "reshape", "view_as", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"}
    | {"getitem", "select", "narrow", "index_select", "chunk", "split", "tensor_split", "unbind"}
    | {"expand", "expand_as", "broadcast_to", "contiguous", "clone", "detach"}
)
# Calls that leave every entry where it is: other types, and products with masks and constants.
SCALING = frozenset(
    {"to", "float", "double", "half", "bfloat16", "type", "type_as", "dropout", "weight_norm"}
    | {"mul", "rmul", "div", "truediv"}
)
# Calls that take the parameter entry by entry.
ENTRYWISE = frozenset(
    {f"{kind}{name}" for kind in ("", "r", "i") for name in ("add", "sub", "mul", "div", "pow")}
    | {"truediv", "rtruediv", "itruediv", "addcmul", "addcdiv", "lerp", "where", "masked_fill"}
    | {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "copy", "setitem"}
    | {"maximum", "minimum", "clamp", "prelu", "scaled_dot_product_attention"}
    | {"layer_norm", "group_norm", "rms_norm", "batch_norm", "instance_norm"}
    | {"expand_as", "view_as", "reshape_as", "type_as", "to", "eq", "ne", "lt", "le", "gt", "ge"}
    | {"new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like", "empty_like"}
)
