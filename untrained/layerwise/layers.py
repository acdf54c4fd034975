"""Layers that turn the gradient of their output into rows of J by a formula.

    linear         J_i = sum_t D_i[t] X_i[t]^T
    convolution    J_i = sum_t D_i[t] U_i[t]^T          (U: patches of X)
    embedding      J_i = sum_t e(word_i[t]) D_i[t]^T    (e: one-hot)
    normalisation  J_i = sum_t D_i[t] (X_i[t] - mean) / sqrt(var + eps)

and J_i = sum_t D_i[t] for a bias; see `entrywise` for sums and products.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_flatten

from untrained.layerwise.entrywise import added, multiplied, subtracted
from untrained.layerwise.operation import Operation, versions
from untrained.layerwise.outer import (
    ConvolutionOuter,
    EmbeddingOuter,
    LinearOuter,
    Outer,
    ProductOuter,
)
from untrained.layerwise.terms import Layer, Term
from untrained.networks.batchnorm import BatchNormCall
from untrained.networks.few_channels import ConvolutionCall, convolution
from untrained.networks.patches import Window, patches
from untrained.networks.places import Place, Unstructured
from untrained.networks.provenance import SPREADING
from untrained.networks.sites import Site


def _front(x: Tensor, place: Place | None, n: int) -> Tensor:
    if place is None:
        raise Unstructured("a layer's input or output does not depend on the example")
    return place.front(x, n)


def _alike(site: Site) -> tuple[Place | None, ...]:
    """Where the output holds the examples, for a layer whose input must hold them there too."""
    if site.places[:1] != site.outputs:
        raise Unstructured("a layer's input and output do not hold examples alike")
    return site.outputs


def _features(x: Tensor, place: Place | None, n: int) -> Float[Tensor, "n t a"]:
    """Rows of features, whatever lies between examples and them."""
    if place is not None and place.dim == x.ndim - 1:
        raise Unstructured("examples lie where features should")
    x = _front(x, place, n)
    return x[:, None] if x.ndim == 2 else x.flatten(1, -2)


def _channels(x: Tensor, place: Place | None, n: int) -> Float[Tensor, "n m c t"]:
    """Channels of images, m of them an example, if examples are merged with other images."""
    if place is None or place.dim != 0 or place.minor:
        raise Unstructured("images do not lie in the first dimension, one example after another")
    return x.reshape(n, len(x) // n, x.shape[1], -1)


def _linear(
    site: Site, n: int, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Layer:
    kept = input.detach()
    (place,) = _alike(site)
    outer = LinearOuter(_features(kept, place, n), len(weight))

    def as_features(d: Tensor) -> Tensor:
        return _features(d, place, n)

    terms = [Term(weight, as_features, outer)]
    if bias is not None:
        terms.append(Term(bias, lambda d: as_features(d).sum(1)))
    return Layer(F.linear(input, weight, bias), kept, tuple(terms))


def _product(site: Site, n: int, input: Tensor, other: Tensor) -> Layer:
    """x W, with one matrix W for all examples."""
    if other.ndim != 2:
        raise Unstructured("a product with more than one matrix")
    kept = input.detach()
    (place,) = _alike(site)
    outer = ProductOuter(_features(kept, place, n), other.shape[1])
    term = Term(other, lambda d: _features(d, place, n), outer)
    return Layer(torch.matmul(input, other), kept, (term,))


def _biased_product(
    site: Site,
    n: int,
    input: Tensor,
    mat1: Tensor,
    mat2: Tensor,
    *,
    beta: float | int = 1,
    alpha: float | int = 1,
) -> Layer:
    """b + x W, the bias being the first argument."""
    if beta != 1 or alpha != 1 or input.ndim != 1:
        raise Unstructured("a product that is scaled, or added to a matrix")
    product = _product(site._replace(places=site.places[1:]), n, mat1, mat2)
    bias = Term(input, lambda d: _features(d, site.outputs[0], n).sum(1))
    return product._replace(output=torch.addmm(input, mat1, mat2), terms=(*product.terms, bias))


def _convolution(convolve: Callable[..., Tensor]) -> Callable[..., Layer]:
    def layer(site: Site, n: int, *args: Any, **kwargs: Any) -> Layer:
        asked = _explicit(ConvolutionCall(*args, **kwargs))
        input, weight, bias, *_, groups = asked
        kept, window = input.detach(), asked.window
        output = convolution(convolve, asked)
        images = _channels(output, site.outputs[0], n)
        _channels(kept, site.places[0], n)
        outer: Outer
        if images.shape[1] == 1:
            outer = ConvolutionOuter(
                kept, len(weight), kept.shape[1], window, tuple(output.shape[2:]), groups
            )
            terms = [Term(weight, lambda d: d, outer)]
        elif groups == 1:
            outer = _merged(patches(kept, window, tuple(output.shape[2:])), n, len(weight))
            terms = [Term(weight, lambda d: _positions(d.flatten(2), n), outer)]
        else:
            raise Unstructured("images merged with examples in a convolution of groups")
        return Layer(output, kept, (*terms, *_channel_bias(bias, site, n)))

    return layer


def _positions(x: Float[Tensor, "nm a t"], n: int) -> Float[Tensor, "n mt a"]:
    return x.unflatten(0, (n, -1)).transpose(2, 3).flatten(1, 2)


def _merged(u: Tensor, n: int, outs: int) -> LinearOuter:
    return LinearOuter(_positions(u, n), outs)


def _channel_bias(bias: Tensor | None, site: Site, n: int) -> tuple[Term, ...]:
    if bias is None:
        return ()
    return (Term(bias, lambda d: _channels(d, site.outputs[0], n).sum((1, 3))),)


def _explicit(asked: ConvolutionCall) -> ConvolutionCall:
    """Padding in words ("same", "valid") done beforehand."""
    if not isinstance(asked.padding, str):
        return asked
    words, asked = asked.padding, asked._replace(padding=0)
    if words == "valid":
        return asked
    margins, window = [], asked.window
    for kernel, d in zip(reversed(window.kernel), reversed(window.dilation), strict=True):
        total = d * (kernel - 1)
        margins += [total // 2, total - total // 2]
    return asked._replace(input=F.pad(asked.input, margins))


def _transposed(convolve: Callable[..., Tensor]) -> Callable[..., Layer]:
    def layer(
        site: Site,
        n: int,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        dilation: int | Sequence[int] = 1,
    ) -> Layer:
        kept = input.detach()
        window = Window.of(weight.shape[2:], stride, padding, dilation)
        output = convolve(input, weight, bias, stride, padding, output_padding, groups, dilation)
        if _channels(output, site.outputs[0], n).shape[1] > 1:
            raise Unstructured("images merged with examples in a transposed convolution")
        outer = ConvolutionOuter(
            kept, len(weight), output.shape[1], window, tuple(kept.shape[2:]), groups, True
        )
        terms = (Term(weight, lambda d: d, outer), *_channel_bias(bias, site, n))
        return Layer(output, kept, terms)

    return layer


def _embedding(
    site: Site,
    n: int,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Layer:
    if max_norm is not None or scale_grad_by_freq:
        raise Unstructured("an embedding that changes its vectors or their gradients by use")
    (place,) = _alike(site)
    words = _front(input, place, n).reshape(n, -1)
    if padding_idx is not None:
        padding_idx %= len(weight)
    outer = EmbeddingOuter(words, len(weight), weight.shape[1], padding_idx)
    output = F.embedding(input, weight, padding_idx)
    return Layer(output, words, (Term(weight, lambda d: _features(d, place, n), outer),))


def _batch_norm(site: Site, n: int, *args: Any, **kwargs: Any) -> Layer:
    asked = BatchNormCall(*args, **kwargs)
    kept, mean, variance = asked.input.detach(), asked.running_mean, asked.running_var
    if mean is None or variance is None or asked.training:
        raise Unstructured("BatchNorm over the batch at hand couples examples")
    scale = torch.rsqrt(variance + asked.eps)
    x = _channels(kept, site.places[0], n)

    def weight_rows(d: Tensor) -> Tensor:
        # sum_t d (x - mean) / sqrt(var + eps), without a normalised copy of x
        d = _channels(d, site.outputs[0], n)
        return ((d * x).sum((1, 3)) - mean * d.sum((1, 3))) * scale

    terms = [] if asked.weight is None else [Term(asked.weight, weight_rows)]
    return Layer(F.batch_norm(*asked), kept, (*terms, *_channel_bias(asked.bias, site, n)))


def _last_norm(
    site: Site,
    n: int,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Layer:
    """LayerNorm: y = w x' + b over the last dimensions, with x' the normalised input."""
    kept = input.detach()
    many = len(tuple(normalized_shape))
    (place,) = _alike(site)
    if place is not None and place.dim >= input.ndim - many:
        raise Unstructured("a normalisation over examples")

    def summed(rows: Tensor) -> Tensor:
        rows = _front(rows, place, n)
        return rows.reshape(n, -1, *rows.shape[-many:]).sum(1)

    terms = []
    if weight is not None:
        plain = F.layer_norm(kept, normalized_shape, eps=eps)
        terms.append(Term(weight, lambda d: summed(d * plain)))
    if bias is not None:
        terms.append(Term(bias, summed))
    output = F.layer_norm(input, normalized_shape, weight, bias, eps)
    return Layer(output, kept, tuple(terms))


def _group_norm(
    site: Site,
    n: int,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Layer:
    kept = input.detach()
    terms: list[Term] = []
    if weight is not None:
        plain = F.group_norm(kept, num_groups, eps=eps)
        terms.append(Term(weight, lambda d: _channels(d * plain, site.outputs[0], n).sum((1, 3))))
    output = F.group_norm(input, num_groups, weight, bias, eps)
    return Layer(output, kept, (*terms, *_channel_bias(bias, site, n)))


LAYERS: dict[Callable[..., Any], Callable[..., Layer]] = {
    F.linear: _linear,
    F.conv1d: _convolution(F.conv1d),
    F.conv2d: _convolution(F.conv2d),
    F.conv3d: _convolution(F.conv3d),
    F.conv_transpose1d: _transposed(F.conv_transpose1d),
    F.conv_transpose2d: _transposed(F.conv_transpose2d),
    F.conv_transpose3d: _transposed(F.conv_transpose3d),
    F.embedding: _embedding,
    F.batch_norm: _batch_norm,
    F.layer_norm: _last_norm,
    F.group_norm: _group_norm,
    **dict.fromkeys((torch.matmul, Tensor.matmul, torch.mm, Tensor.mm), _product),
    torch.addmm: _biased_product,
    **dict.fromkeys((torch.add, Tensor.add), added),
    **dict.fromkeys((torch.sub, Tensor.sub), subtracted),
    **dict.fromkeys((torch.mul, Tensor.mul), multiplied),
}


def spread(
    site: Site, n: int, func: Callable[..., Any], args: Sequence[Any], kwargs: Any
) -> Layer:
    """A parameter repeated for each example: J_i = D_i."""
    parameter, (place,) = args[0], site.outputs
    output = func(*args, **kwargs)
    if func not in SPREADING or output.numel() != n * parameter.numel():
        raise Unstructured("a parameter that is not repeated once for each example")

    def rows(d: Tensor) -> Tensor:
        return _front(d, place, n).reshape(n, *parameter.shape)

    return Layer(output, parameter, (Term(parameter, rows),))


def operation(
    site: Site,
    n: int,
    func: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Any,
    wanted: set[int],
) -> Operation:
    """Any other call, for the rows of those of its arguments whose ids are wanted."""
    whole, tree = tree_flatten((tuple(args), dict(kwargs)))
    leaves = list(whole)
    places = iter(site.places)
    batched = []
    for index, leaf in enumerate(leaves):
        place = next(places) if isinstance(leaf, Tensor) else None
        if place is not None:
            leaves[index] = place.front(leaf.detach(), n)
        batched.append(place is not None)
    asked = [index for index, leaf in enumerate(leaves) if id(leaf) in wanted]
    return Operation(func, leaves, tree, batched, asked, whole, versions(whole))
