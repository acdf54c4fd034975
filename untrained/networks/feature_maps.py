"""Feature maps: everything with channels and positions that a network computes from its examples.

A map is what a call of a torch function gives, whether a module or plain code makes it: a
convolution, a normalisation, an activation, pooling, a sum of branches. What only looks at a map
in another shape is no other map, and neither is what is made of parameters alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
    model: nn.Module, x: Tensor, *, batchnorm: Policy = "running"
) -> tuple[Float[Tensor, "n _ _"], ...]:
    """Every feature map of the inputs, in the order of the network's own program.

    The model is left as it was. Dropout is off.

    Args:
        model: any network whose first argument is a batch.
        x: n inputs.
        batchnorm: `batch` or `frozen`, here the same, by the statistics of `x`; or `running`.

    Returns:
        Maps of c channels at p positions, two or more.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
        >>> [tuple(found.shape) for found in feature_maps(model, torch.ones(1, 3, 4, 4))]
        [(1, 8, 4), (1, 8, 4)]
    """
    model = unwrapped(model)
    found: list[Tensor] = []
    seen = _Maps(model, len(x), lambda computed: found.append(computed.flatten(2).clone()))
    tracked = torch.inference_mode(False)  # under it, changes in place would leave no trace
    with tracked, evaluating(model), torch.no_grad(), foreign(x):
        x = x.clone()  # a network may change its input in place
        with seen, policy_mode(batchnorm, model):
            model(x)
    return tuple(found)


class _Maps(Interception):
    """Calls `see` with each map."""

    def __init__(self, model: nn.Module, inputs: int, see: Callable[[Map], None]):
        super().__init__()
        self.inputs, self.see = inputs, see
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
        elif is_map(result, self.inputs) and _memory(result) not in self.known:
            self.known[_memory(result)] = result
            self.see(result)
        return result


def is_map(value: Any, inputs: int) -> bool:
    """Whether it has channels at several positions for each of so many inputs."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 2
        and len(value) == inputs
        and value.numel() > inputs * value.shape[1]
    )


def _memory(tensor: Tensor) -> tuple[int, int]:
    return tensor.untyped_storage()._cdata, tensor._version


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
