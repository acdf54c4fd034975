"""Proof, from autograd's graph of a forward pass, that examples do not influence each other.

    d s_i / d y  is zero but where the tensor y holds example i

Outputs hold example i in row i. Each node that is known to work within examples, or to move them
as a whole, says where its inputs hold them. A node that is not known proves nothing, neither that
examples are apart nor that they are not: then gradients decide (see `influence`).
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.function import BackwardCFunction

from untrained.networks.few_channels import FewConvolution
from untrained.networks.places import Place

Node = Any
"Of autograd's graph; torch's own type does not have what is asked of it here."


class Layout(NamedTuple):
    """Where a tensor holds n examples: in a dimension of p n q numbers, example (k // q) % n."""

    dim: int
    inner: int = 1
    "q."

    def place(self, size: int, n: int) -> Place | None:
        """The same for a dimension of this size, if it is all of one example before another."""
        if size == n * self.inner:
            return Place(self.dim)
        return Place(self.dim, minor=True) if self.inner == 1 else None


class Flow(NamedTuple):
    """What a graph shows."""

    leaves: dict[int, Tensor]
    "The tensors that it ends in, by id."
    layouts: dict[object, tuple[Layout, int]]
    """By key, the layout of each node's outputs, or of a leaf, and the size of that dimension;
    what no output depends on is not there."""
    proven: bool
    "Whether that is known of all nodes: so no example influences another."
    n: int

    def place(self, key: object) -> Place | None:
        """Where the examples lie; None where that is not known, or no output depends on it."""
        known = self.layouts.get(key)
        return None if known is None else known[0].place(known[1], self.n)


def key_of(tensor: Tensor) -> object:
    """A tensor's node, or its id where it is a leaf."""
    return tensor.grad_fn or id(tensor)


class Unproven(Exception):
    """A node that is not known, or that mixes what lies in different slices."""


def flow(outputs: Tensor) -> Flow:
    """Follows the graph of outputs whose first dimension holds the examples."""
    leaves: dict[int, Tensor] = {}
    root = outputs.grad_fn
    if root is None:
        return Flow(
            {id(outputs): outputs} if outputs.requires_grad else {}, {}, True, len(outputs)
        )
    layouts: dict[object, tuple[Layout, int]] = {root: (Layout(0), len(outputs))}
    proven, stack = True, [root]
    seen = {root}
    while stack:
        node = stack.pop()
        if proven:
            try:
                for key, found in _inputs(node, layouts[node][0], len(outputs)):
                    if layouts.setdefault(key, found) != found:
                        raise Unproven
            except (Unproven, AttributeError, IndexError):  # torch's versions differ in nodes
                proven = False
        for following, _ in node.next_functions:
            variable = getattr(following, "variable", None)
            if variable is not None:
                leaves[id(variable)] = variable
            elif following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return Flow(leaves, layouts, proven, len(outputs))


class Meeting(NamedTuple):
    """A node with what is known of it."""

    node: Node
    dim: int
    inner: int
    "Where its output holds the examples; see `Layout`."
    shape: Sequence[int]
    "Of its output."
    inputs: Sequence[Sequence[int] | None]
    "Shapes of its inputs; None for what has no gradient."
    n: int

    def only(self, index: int) -> Sequence[int]:
        """The shape of this input, where no other has a gradient."""
        found = self.inputs[index]
        if found is None or sum(shape is not None for shape in self.inputs) > 1:
            raise Unproven
        return found

    def saved(self, name: str, rank: int) -> list[int]:
        """Dimensions, of so many, that the node keeps under this name."""
        found = getattr(self.node, f"_saved_{name}")
        found = [found] if isinstance(found, int) else list(found or ())
        # Torch gives -1 without its sign.
        return [(d - 2**64 if d >= 2**63 else d) % rank for d in found]


def _inputs(node: Node, layout: Layout, n: int) -> Iterator[tuple[object, tuple[Layout, int]]]:
    """Each input that has a gradient, and where it holds the examples."""
    name, known = type(node).__name__, True
    if isinstance(node, BackwardCFunction):  # of Python's; its name says nothing
        known, name = isinstance(node, FewConvolution._backward_cls), "ConvolutionBackward0"
    rule = RULES.get(name)
    if rule is None or not known:
        raise Unproven
    edges = [(each, getattr(each, "variable", None), at) for each, at in node.next_functions]
    shapes = [
        None if each is None else each._input_metadata[at].shape if leaf is None else leaf.shape
        for each, leaf, at in edges
    ]
    shape = node._input_metadata[0].shape
    at = Meeting(node, *layout, shape, shapes, n)
    for (each, leaf, _), found in zip(edges, shapes, strict=True):
        if found is None:
            continue
        dim, inner = rule(at, found), at.inner
        if rule is _view:
            inner = inner * prod(shape[layout.dim + 1 :]) // prod(found[dim + 1 :])
        if not 0 <= dim < len(found) or found[dim] % (n * inner) or not prod(found):
            raise Unproven
        yield (each if leaf is None else id(leaf)), (Layout(dim, inner), found[dim])


Rule = Callable[[Meeting, Sequence[int]], int]
"From what is known of a node, and the shape of one of its inputs, to where that has examples."


def _same(at: Meeting, shape: Sequence[int]) -> int:
    """Slice by slice of that dimension."""
    if len(shape) != len(at.shape) or shape[at.dim] != at.shape[at.dim]:
        raise Unproven
    return at.dim


def _first(at: Meeting, shape: Sequence[int]) -> int:
    """Slice by slice of the first dimension, by weights and constants that are no example's."""
    at.only(0)
    if at.dim != 0:
        raise Unproven
    return _same(at, shape)


def _batch_norm(at: Meeting, shape: Sequence[int]) -> int:
    if at.node._saved_training:
        raise Unproven
    return _first(at, shape)


def _layer_norm(at: Meeting, shape: Sequence[int]) -> int:
    at.only(0)
    if at.dim >= len(shape) - len(at.node._saved_normalized_shape):
        raise Unproven
    return _same(at, shape)


def _pad(at: Meeting, shape: Sequence[int]) -> int:
    if at.dim >= len(shape) - len(at.node._saved_pad) // 2:
        raise Unproven
    return _same(at, shape)


def _attention(at: Meeting, shape: Sequence[int]) -> int:
    if at.dim >= len(shape) - 2:
        raise Unproven
    return _same(at, shape)


def _rows(index: int) -> Rule:
    """A matrix that is multiplied by one that is no example's."""

    def rule(at: Meeting, shape: Sequence[int]) -> int:
        at.only(index)
        if at.dim != 0:
            raise Unproven
        return 0

    return rule


def _matrices(at: Meeting, shape: Sequence[int]) -> int:
    """(b, r, a) (b, a, c): both by their first dimension, or one by its own other."""
    if at.dim == 0:
        return 0
    at.only(at.dim - 1)
    return at.dim


def _view(at: Meeting, shape: Sequence[int]) -> int:
    """In the order of memory, as all before, n examples, and all after; split otherwise."""
    after = at.inner * prod(at.shape[at.dim + 1 :])
    for dim in range(len(shape)):
        inner, rest = divmod(after, prod(shape[dim + 1 :]))
        if inner and not rest and shape[dim] % (at.n * inner) == 0:
            return dim
    raise Unproven


def _along(name: str) -> Rule:
    """Along other dimensions than that, which stay or become one number."""

    def rule(at: Meeting, shape: Sequence[int]) -> int:
        dims, lost = at.saved(name, len(shape)), len(shape) - len(at.shape)
        if not dims:  # over all
            raise Unproven
        left = [d for d in range(len(shape)) if not lost or d not in dims]
        dim = left[at.dim]
        if dim in dims or shape[dim] != at.shape[at.dim]:
            raise Unproven
        return dim

    return rule


def _slice(at: Meeting, shape: Sequence[int]) -> int:
    """Along another dimension than that, or all of it: so is x[:, 0] in torch 2.6."""
    return _same(at, shape) if [*shape] == [*at.shape] else _along("dim")(at, shape)


def _unsqueeze(at: Meeting, shape: Sequence[int]) -> int:
    (new,) = at.saved("dim", len(at.shape))
    if at.dim == new:
        raise Unproven
    return at.dim - (at.dim > new)


def _pooled(at: Meeting, shape: Sequence[int]) -> int:
    """Means (n, c, 1, 1) of images whose channels lie last, which torch's pooling says again."""
    c = shape[1]
    strides = [c, 1, c, c]
    means = type(at.node.next_functions[0][0]).__name__ == "MeanBackward1"
    if not means or [*shape[2:]] != [1, 1] or [*at.node._saved_stride] != strides:
        raise Unproven
    return _same(at, shape)


def _transpose(at: Meeting, shape: Sequence[int]) -> int:
    a, b = at.saved("dim0", len(shape)) + at.saved("dim1", len(shape))
    return {a: b, b: a}.get(at.dim, at.dim)


def _permute(at: Meeting, shape: Sequence[int]) -> int:
    return at.saved("dims", len(shape))[at.dim]


def _swap(at: Meeting, shape: Sequence[int]) -> int:
    return 1 - at.dim


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"{name}Backward{k}": rule for name in names.split() for k in range(3)}


RULES: dict[str, Rule] = {
    **_named(
        _same,
        "Add Sub Mul Div Neg Abs Pow Exp Log Sqrt Rsqrt Reciprocal Sin Cos Erf Relu Sigmoid Tanh "
        " Gelu Silu Mish Elu LeakyRelu Hardtanh Hardswish Hardsigmoid Softplus LogSigmoid "
        "Clamp ClampMin ClampMax Threshold Where MaskedFill Maximum Minimum Clone ToCopy Alias "
        "NativeDropout Expand",
    ),
    **_named(
        _attention,
        "ScaledDotProductFlashAttentionForCpu ScaledDotProductEfficientAttention "
        "ScaledDotProductFlashAttention ScaledDotProductCudnnAttention",
    ),
    **_named(
        _first,
        "Convolution NativeGroupNorm MaxPool2DWithIndices MaxPool3DWithIndices "
        "AvgPool2D AvgPool3D MkldnnAdaptiveAvgPool2D AdaptiveAvgPool2D AdaptiveAvgPool3D "
        "AdaptiveMaxPool2D "
        "UpsampleNearest2D UpsampleBilinear2D ReflectionPad1D ReflectionPad2D ReplicationPad2D",
    ),
    **_named(_batch_norm, "NativeBatchNorm CudnnBatchNorm"),
    **_named(_layer_norm, "NativeLayerNorm"),
    **_named(_pad, "ConstantPadNd"),
    **_named(_rows(0), "Mm"),
    **_named(_rows(1), "Addmm"),
    **_named(_matrices, "Bmm"),
    **_named(_view, "View UnsafeView ReshapeAlias"),
    **_named(
        _along("dim"),
        "Mean Sum Amax Var Std LinalgVectorNorm Softmax SafeSoftmax LogSoftmax Cat "
        "Select Squeeze Split SplitWithSizes Unbind Cumsum Gather IndexSelect Glu Max",
    ),
    **_named(_slice, "Slice"),
    **_named(_along("dims"), "Flip Roll"),
    **_named(_unsqueeze, "Unsqueeze Stack"),
    **_named(_pooled, "AsStrided"),
    **_named(_transpose, "Transpose"),
    **_named(_permute, "Permute"),
    **_named(_swap, "T"),
}
