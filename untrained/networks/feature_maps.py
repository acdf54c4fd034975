"""Feature maps: everything with channels and positions that a network computes from its examples.

A map is what a call of a torch function gives, whether a module or plain code makes it: a
convolution, a normalisation, an activation, pooling, a sum of branches. What only looks at a map
in another shape is no other map, and neither is what is made of parameters alone.

Channels are the second dimension after a convolution, the last one after a linear layer or layer
normalisation, and elsewhere where they are in what the function was given; see `Channels`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.features import POOLING
from untrained.networks.foreign import foreign
from untrained.networks.interception import Function, Interception
from untrained.networks.provenance import Provenance
from untrained.networks.unwrapping import unwrapped

Map = Float[Tensor, "n c ..."]

POOLS = frozenset(POOLING) - {"flatten", "__getitem__"}
"Functions that take means or sums over positions."


def feature_maps(
    model: nn.Module, x: Tensor, *, batchnorm: Policy = "running", units: bool = False
) -> tuple[Float[Tensor, "n _ _"], ...]:
    """Every feature map of the inputs, in the order of the network's own program.

    The model is left as it was. Dropout is off.

    Args:
        model: any network whose first argument is a batch.
        x: n inputs.
        batchnorm: `batch` or `frozen`, here the same, by the statistics of `x`; or `running`.
        units: whether everything with channels alone is wanted instead, such as the units of a
            hidden layer, and the logits, which are the last.

    Returns:
        Maps of c channels at p positions: two or more, or one each with `units`.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        >>> [tuple(found.shape) for found in feature_maps(model, torch.ones(1, 3, 4, 4))]
        [(1, 8, 4), (1, 8, 4)]
    """
    model = unwrapped(model)
    found: list[Tensor] = []
    kind = is_units if units else is_map
    seen = _Maps(model, lambda value: kind(value, len(x)), found.append)
    tracked = torch.inference_mode(False)  # under it, changes in place would leave no trace
    with tracked, evaluating(model), torch.no_grad(), foreign(x):
        x = x.clone()  # a network may change its input in place
        with seen, policy_mode(batchnorm, model):
            model(x)
    return tuple(found)


class _Maps(Interception):
    """Calls `see` with a copy of each map, channels before positions."""

    def __init__(
        self, model: nn.Module, wanted: Callable[[Any], bool], see: Callable[[Tensor], None]
    ):
        super().__init__()
        self.wanted, self.see = wanted, see
        self.channels = Channels()
        self.own = Provenance((*model.parameters(), *model.buffers()))
        # Memory and its version -> a tensor that holds it, so that neither comes again.
        self.known: dict[tuple[int, int], Tensor] = {}

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        own = self.own.makes(func, args, kwargs)
        for given in args:
            if isinstance(given, Tensor):
                self.known.setdefault(_memory(given), given)
        result = func(*args, **kwargs)
        if own:
            self.own.add(result)
        elif isinstance(result, Tensor):
            axis = self.channels.of(func, args, result)
            if self.wanted(result) and _memory(result) not in self.known:
                self.known[_memory(result)] = result
                self.see(_channels_first(result, axis))
        return result


LAST = frozenset({"linear", "layer_norm", "rms_norm", "scaled_dot_product_attention"})
"Functions whose channels are the last dimension of what they give."
SECOND = frozenset(
    {f"{kind}{d}d" for kind in ("conv", "conv_transpose") for d in (1, 2, 3)}
    | {"batch_norm", "instance_norm", "group_norm"}
)
"Functions whose channels are the second one."


class Channels:
    """In which dimension a tensor has its channels.

    A view has them where it steps through memory as its base does along its channels. Any other
    result has them where the first argument has that is of as many dimensions; and in the second
    one if that is not known.
    """

    def __init__(self) -> None:
        # Memory -> a tensor that holds it, the step between channels, and their number.
        self.known: dict[int, tuple[Tensor, int, int]] = {}

    def of(self, func: Function, args: Sequence[Any], result: Tensor) -> int:
        """The dimension, of what a call gave; -1 where it has but one."""
        if result.ndim < 2:
            return -1
        axis = self._known(result)
        if axis is None:
            axis = self._made(getattr(func, "__name__", ""), args, result.ndim)
            memory = result.untyped_storage()._cdata
            self.known[memory] = result, result.stride(axis), result.shape[axis]
        return axis

    def _made(self, name: str, args: Sequence[Any], ndim: int) -> int:
        if name in LAST:
            return ndim - 1
        if name in SECOND:
            return 1
        given = (t for t in tree_leaves(args) if isinstance(t, Tensor) and t.ndim == ndim)
        return next((axis for t in given if (axis := self._known(t)) is not None), 1)

    def _known(self, tensor: Tensor) -> int | None:
        memory = tensor.untyped_storage()._cdata
        if memory not in self.known:
            return None
        _, step, number = self.known[memory]
        found = [
            axis
            for axis in range(1, tensor.ndim)
            if (tensor.stride(axis), tensor.shape[axis]) == (step, number)
        ]
        return found[0] if found else None


def is_map(value: Any, inputs: int) -> bool:
    """Whether it has channels at several positions for each of so many inputs."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 2
        and len(value) == inputs
        and value.numel() > inputs * value.shape[1]
    )


def _channels_first(value: Tensor, axis: int) -> Float[Tensor, "n c p"]:
    """A copy, whatever becomes of the tensor."""
    return value.movedim(axis, 1).reshape(len(value), value.shape[axis], -1).clone()


def _memory(tensor: Tensor) -> tuple[int, int]:
    return tensor.untyped_storage()._cdata, tensor._version


def is_units(value: Any, inputs: int) -> bool:
    """Whether it has channels and nothing else for each of so many inputs."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim == 2
        and len(value) == inputs
    )


class LastMap(Interception):
    """Keeps what enters the last pooling over all positions: the features before the readout."""

    def __init__(self, inputs: int):
        super().__init__()
        self.inputs = inputs
        self.map: Map | None = None
        "None where nothing was pooled so."

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        pools = getattr(func, "__name__", "") in POOLS and args and is_map(args[0], self.inputs)
        if pools and result.numel() == self.inputs * args[0].shape[1]:
            self.map = args[0]
        return result
