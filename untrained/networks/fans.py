"""The linear map that a parameter belongs to: its inputs, its outputs, and torch's own law."""

from math import prod
from typing import Literal, NamedTuple

from torch import Size, nn

from untrained.networks.maps import Entries


class Own(NamedTuple):
    """The law by which torch draws a parameter of a new layer."""

    kind: Literal["uniform", "normal"]
    scale: float
    "U(-scale, scale), or N(0, scale^2)."


ZERO = Own("uniform", 0)


class Fans(NamedTuple):
    """The part that a tensor plays in a network."""

    role: Literal["weight", "table", "bias", "scale", "stays"]
    """Of a linear map; of an embedding; added to what a map gives; multiplied with what has been
    normalised; or none that is drawn."""
    fan_in: float = 1
    "Inputs that reach one output."
    fan_out: float = 1
    "Outputs that one input reaches; of grouped convolutions, as if there were one group."
    own: Own = ZERO
    blocks: int = 1
    "Equal blocks of rows that are maps of their own: groups, gates, or query, key and value."
    entries: Entries | None = None
    "Which entries make the maps, if not rows."


# The abstract ancestors of these layers have no public names.
NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
MAPS = (nn.Linear, nn.modules.conv._ConvNd)
_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def layer_fans(module: nn.Module, key: str, shape: Size) -> Fans | None:
    """What a tensor is to a layer of `torch.nn`; None if no such layer has one of this name.

    Args:
        module: the layer, or one of a class derived from it.
        key: the tensor's name.
        shape: its shape.
    """
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module, key, shape)
    if isinstance(module, _RECURRENT):
        return _recurrent(module, key, shape) if key.startswith(("weight_", "bias_")) else None
    if key not in ("weight", "bias"):
        return None
    if isinstance(module, NORMALISATION):
        return Fans("scale" if key == "weight" else "bias")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Fans("table", 1, shape[1], Own("normal", 1))
    if isinstance(module, nn.PReLU):
        return Fans("stays")
    if not isinstance(module, (*MAPS, nn.Bilinear)):
        return None
    weight = module.weight.shape
    # A bilinear form's own law counts the inputs of its first argument.
    own = uniform(weight[1] if isinstance(module, nn.Bilinear) else prod(weight[1:]))
    if key == "bias":
        return Fans("bias", own=own)
    if isinstance(module, _TRANSPOSED):
        # (inputs, outputs / groups, kernel): a stride spreads the kernel over as many outputs
        steps = prod(int(step) for step in module.stride)
        fan_in = shape[0] // module.groups * prod(shape[2:]) / steps
        return Fans("weight", fan_in, prod(shape[1:]), own, module.groups)
    blocks = module.groups if isinstance(module, nn.modules.conv._ConvNd) else 1
    return Fans("weight", prod(shape[1:]), shape[0] * prod(shape[2:]), own, blocks)


def _attention(module: nn.MultiheadAttention, key: str, shape: Size) -> Fans | None:
    if key == "in_proj_bias":
        return Fans("bias")
    if key in ("bias_k", "bias_v"):  # (1, 1, d)
        return Fans("bias", own=Own("normal", shape[2] ** -0.5))
    if key not in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
        return None
    blocks = 3 if key == "in_proj_weight" else 1
    return Fans("weight", shape[1], shape[0], xavier(shape), blocks)


def _recurrent(module: nn.Module, key: str, shape: Size) -> Fans:
    hidden = int(module.hidden_size)  # type: ignore[arg-type]  # an attribute of every such class
    if key.startswith("bias_"):
        return Fans("bias", own=uniform(hidden))
    gates = max(shape[0] // hidden, 1)
    return Fans("weight", shape[1], shape[0], uniform(hidden), gates)


def uniform(fan: float | int) -> Own:
    """torch's law for most layers, U(-1, 1) / sqrt(fan)."""
    return Own("uniform", fan**-0.5 if fan else 0)


def xavier(shape: Size) -> Own:
    """Glorot's uniform law, of attention and of `nn.Transformer`."""
    fans = prod(shape[1:]) + shape[0] * prod(shape[2:])
    return Own("uniform", (6 / fans) ** 0.5 if fans else 0)


def is_own_forward(module: nn.Module) -> bool:
    """Whether a layer of `torch.nn` does what torch wrote, and not what a subclass does."""
    return str(getattr(module.forward, "__module__", "")).startswith("torch.nn.")
