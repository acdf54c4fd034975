"""Features: what a network gives to its readout, the linear layer that makes the outputs.

    f(x) = W z(x) + b

The readout is found by following the network's own calls, without names of layers: the last
linear layer, convolution that sees one position at a time, or product with a parameter, whose
result reaches the output through nothing but changes of shape, dropout at rest, constant factors,
softmax, a bias, and means over positions. A mean over positions commutes with the readout, so the
features of a network that ends in a 1x1 convolution and a global mean are the means of what enters
it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from untrained.networks.batchnorm import BatchNormPolicy, evaluating, policy_mode
from untrained.networks.called import Call, Inputs
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.interception import Function, Interception
from untrained.networks.noise import same_noise
from untrained.networks.unwrapping import unwrapped


@dataclass(frozen=True)
class Features:
    """What a network gives to its readout, a row for each example."""

    z: Float[Tensor, "n d"]
    readout: str
    """The operation that makes the outputs of `z`, such as `linear`; empty if none was found, and
    `z` is the outputs themselves."""


def features(
    model: Callable[..., Any],
    x: Inputs,
    *,
    batchnorm: Policy = "running",
    chunk: int | None = None,
    params: Any = None,
    select: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Features:
    """The features of `x` before the readout.

    The model is left as it was. Dropout is off.

    Args:
        model: any network; or a function f(params, x), with its `params`.
        x: n inputs: a batch; several, as a tuple of arguments or a dictionary of named ones; or
            an iterable of batches, as a data loader, whose labels are left aside.
        batchnorm: `batch` or `frozen`, here the same, by the statistics of `x`; or `running`.
        chunk: examples to pass at a time; None means all. A batch whose statistics are taken
            passes whole, as does one whose examples influence each other.
        params: of a function: tensors in any structure of dictionaries, lists and tuples.
        select: what of the outputs is meant, such as `lambda found: found["logits"]`.
        dtype: to compute in, such as `torch.float64`, with a copy of the network.
        device: to compute on, with a copy of the network.

    Raises:
        ValueError: an output that is not one real tensor with a row for each example.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))
        >>> found = features(model, torch.ones(5, 3))
        >>> found.z.shape, found.readout
        (torch.Size([5, 8]), 'linear')
    """
    called, rows, _ = Call(params, select, dtype, device).on(model, x, None)
    model = unwrapped(called)
    policy = policy_mode(batchnorm, model)
    if batchnorm != "running":
        chunk = None
    with evaluating(model), foreign(rows):
        found = pass_through(model, rows, policy, chunk)
        if chunk is None or len(rows) <= chunk or not coupled(model, rows, policy, found):
            return found
        return pass_through(model, rows, policy)


def pass_through(
    model: nn.Module, x: Tensor, policy: BatchNormPolicy, chunk: int | None = None
) -> Features:
    """The features of `x` from a network in `eval` mode, under a policy that may hold statistics.

    Raises:
        ValueError: as `features`.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"expected a chunk of at least one example, got chunk={chunk!r}")
    if not len(x):
        raise ValueError(f"expected at least one example, got inputs of shape {tuple(x.shape)}")
    parts = [_features(model, part, policy) for part in x.split(chunk or len(x))]
    return Features(torch.cat([part.z for part in parts]), parts[0].readout)


def coupled(model: nn.Module, x: Tensor, policy: BatchNormPolicy, found: Features) -> bool:
    """Whether the first of the examples x has other features alone than among others."""
    alone = _features(model, x[:1], policy).z
    if alone.shape != found.z[:1].shape:
        return True
    rounding = torch.finfo(alone.dtype).eps ** 0.5 if alone.is_floating_point() else 0
    return bool((alone - found.z[:1]).norm() > rounding * found.z[:1].norm())


def _features(model: nn.Module, x: Tensor, policy: BatchNormPolicy) -> Features:
    # A network may change its input in place: it gets a copy of its own. One that draws noise
    # draws the same every time. Under inference_mode, changes in place would leave no trace.
    tracked = torch.inference_mode(False)
    with tracked, same_noise(x), torch.no_grad(), _Follower() as follower, policy:
        outputs = model(x.clone())
    if not isinstance(outputs, Tensor) or not outputs.ndim or len(outputs) != len(x):
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(
            f"expected outputs as one tensor whose first dimension is the batch of {len(x)}, got "
            f"{got}; wrap the network in one that returns such"
        )
    if outputs.is_complex():
        raise ValueError(
            f"expected real outputs, got {outputs.dtype}; wrap the network in one that gives real "
            f"and imaginary parts, as torch.view_as_real does"
        )
    made = follower.known(outputs)
    if made is None or made.z.numel() % len(x):
        return Features(outputs.reshape(len(x), -1), "")
    return Features(made.z.reshape(len(x), -1), made.readout)


class _Made(NamedTuple):
    """What is known of a tensor that a readout made."""

    z: Tensor
    readout: str
    channels: int | None
    "The dimension that the readout maps, in the tensor as in `z`; None once shapes differ."


class _Follower(Interception):
    """Knows the results of readouts, and what has become of them since."""

    def __init__(self) -> None:
        super().__init__()
        # Weak: what a deep network no longer needs is let go.
        self.made = WeakTensorKeyDictionary()

    def keep(self, tensor: Tensor, made: _Made) -> None:
        self.made[tensor] = made, (tensor._version, made.z._version)

    def known(self, tensor: Any) -> _Made | None:
        """What is known of `tensor`, unless it or its features were changed in place since."""
        if not isinstance(tensor, Tensor) or tensor not in self.made:
            return None
        made, versions = self.made[tensor]
        return made if versions == (tensor._version, made.z._version) else None

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        # Asked before the call: a change in place returns the very tensor that went in.
        source = self.known(args[0]) if args else None
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if not isinstance(result, Tensor):
            return result
        if name in READOUTS:
            channels = READOUTS[name](result, *args, **kwargs)
            if channels is not None:
                place, keyword = ENTERING.get(name, (0, "input"))
                entered = args[place] if len(args) > place else kwargs[keyword]
                self.keep(result, _Made(entered, name, channels))
        elif source is not None:
            made = _followed(name, func, source, args, kwargs)
            if made is not None:
                self.keep(result, made)
        return result


def _followed(
    name: str, func: Function, source: _Made, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> _Made | None:
    """What is known after a call on what `source` tells of; None if the call is not understood."""
    (tensor, *rest), channels = args, source.channels
    if (
        name in POOLING
        and channels is not None
        and POOLING[name](tensor.ndim, channels % tensor.ndim, *rest, **kwargs)
    ):
        return source._replace(z=func(source.z, *rest, **kwargs))
    constant = all(isinstance(factor, int | float) for factor in (*rest, *kwargs.values()))
    bias = name == "add" and not kwargs and _is_parameter(rest[0]) and rest[0].ndim < 2
    if name in ELEMENTWISE or (name in SCALING and constant) or bias:
        return source
    # What is pooled from here on is no longer what the readout makes, or where is not known.
    return source._replace(channels=None) if name in RESHAPING or "softmax" in name else None


def _linear(output: Tensor, input: Tensor, *args: Any, **kwargs: Any) -> int:
    return -1


def _convolution(
    output: Tensor, input: Tensor, weight: Tensor, *args: Any, **kwargs: Any
) -> int | None:
    """The channels' dimension of a convolution that is linear in one position's features."""
    kernel, positions = weight.shape[2:], input.shape[2:]
    pointwise = set(kernel) == {1} and output.shape[2:] == positions
    whole = kernel == positions and set(output.shape[2:]) == {1}
    alone = weight.shape[1] == input.shape[1]  # in one group
    return 1 if alone and (pointwise or whole) else None


def _product(output: Tensor, input: Tensor, other: Any) -> int | None:
    """The same of a product, if it is one with a parameter or its transpose."""
    return -1 if _is_parameter(other) and other.ndim == 2 else None


def _added_product(
    output: Tensor, input: Any, mat1: Tensor, mat2: Any, **kwargs: Any
) -> int | None:
    """The same of a product to which a bias is added."""
    bias = _is_parameter(input) and input.ndim < 2
    return _product(output, mat1, mat2) if bias and not kwargs else None


def _is_parameter(value: Any) -> bool:
    """Whether it is a parameter or a view of one, such as its transpose."""
    base = getattr(value, "_base", None)
    return isinstance(value, nn.Parameter) or isinstance(base, nn.Parameter)


def _means(
    dimensions: int,
    channels: int,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    **kwargs: Any,
) -> bool:
    """Whether a mean or sum over `dim` is one over positions."""
    if dim is None:
        return False
    over = {d % dimensions for d in ([dim] if isinstance(dim, int) else dim)}
    return not over & {0, channels}


def _pools(dimensions: int, channels: int, *args: Any, **kwargs: Any) -> bool:
    return channels == 1


def _flattens(dimensions: int, channels: int, start_dim: int = 0, end_dim: int = -1) -> bool:
    return channels == 1 and start_dim % dimensions > 1


def _picks(dimensions: int, channels: int, index: Any) -> bool:
    """Whether an index leaves examples and channels alone."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, int | slice) for i in index):
        return False
    return all(i == slice(None) for d, i in enumerate(index) if d in (0, channels))


# Name -> the dimension that a call maps linearly, given its result and arguments; None if it is
# no readout this time. Names stand for a function and a method alike.
READOUTS: dict[str, Callable[..., int | None]] = {
    "linear": _linear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "matmul": _product,
    "mm": _product,
    "addmm": _added_product,
}

# Where the features are among the arguments, if not first, and their name.
ENTERING = {"addmm": (1, "mat1")}

# Name -> whether a call, given its arguments, works on positions alone: the same can be done to
# the features.
POOLING: dict[str, Callable[..., bool]] = {
    **{f"{kind}avg_pool{d}d": _pools for kind in ("", "adaptive_") for d in (1, 2, 3)},
    "mean": _means,
    "sum": _means,
    "flatten": _flattens,
    "__getitem__": _picks,
}

RESHAPING = frozenset({"flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"})
SCALING = frozenset({"mul", "div"})
ELEMENTWISE = frozenset(
    {"contiguous", "clone", "detach"}
    | {"to", "type", "type_as", "float", "double", "half", "bfloat16"}
    | {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
)
