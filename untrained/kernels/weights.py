"""Weight draws: a network's random initial weights, from an explicit generator.

Each parameter has a random stream of its own, seeded by one number from the generator and by the
parameter's name. So two networks that share a layer share its weights on the same draw: a supernet
and the same supernet without one operation differ by that operation alone.

    kaiming_fan_out   W ~ N(0, 2 / fan_out)
    kaiming_fan_in    W ~ N(0, 2 / fan_in)
    lecun_normal      W ~ N(0, 1 / fan_in), cut off at two standard deviations of the uncut law
    orthogonal        W W^T = 2 I or W^T W = 2 I, whichever is the smaller: the gain of ReLU
                      networks is sqrt 2
    torch_default     W ~ U(-1, 1) / sqrt(fan_in), biases too; in recurrent layers / sqrt(hidden);
                      W ~ N(0, 1) in embeddings
    ntk               W, b ~ N(0, 1), for networks in `ntk_parametrisation`

Biases are zero where no law is given for them; normalisation layers are always gamma = 1,
beta = 0. An embedding is a linear layer on one-hot inputs: its fan_in is 1.

Source: LeCun et al., "Efficient BackProp", 1998; He et al., "Delving Deep into Rectifiers", ICCV
2015, https://arxiv.org/abs/1502.01852; Saxe, McClelland & Ganguli, "Exact
solutions to the nonlinear dynamics of learning", ICLR 2014, https://arxiv.org/abs/1312.6120;
Jacot, Gabriel & Hongler, NeurIPS 2018, https://arxiv.org/abs/1806.07572.
"""

import hashlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from difflib import get_close_matches
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from untrained.kernels.unwrapping import unwrapped


def draw_weights(model: nn.Module, method: str, generator: torch.Generator) -> None:
    """Redraws every parameter of `model` in place, and resets its buffers of statistics.

    Parameters of two or more dimensions are weights, of shape (outputs, inputs / groups, kernel).
    One-dimensional ones called bias are zero, or drawn as the weight beside them under
    `torch_default`; normalisation layers start anew; other one-dimensional ones, such as the
    slope of PReLU, stay as they are.

    Raises:
        ValueError: unknown method; or `ntk` for a network that is not in that parametrisation,
            or another for one that is.
    """
    check_weights(method)
    slots = list(_slots(unwrapped(model)))
    for slot in slots:
        if slot.standard != (method == "ntk"):
            raise ValueError(
                "weights N(0, 1) and NTK parametrisation go together: expected weights='ntk' and "
                f"a network from ntk_parametrisation, got {method!r} and {slot.name!r} "
                f"{'in' if slot.standard else 'not in'} that parametrisation"
            )
    base = int(torch.randint(2**62, (), generator=generator))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, _NORMALISATION):
                module.reset_parameters()
        for slot in slots:
            drawn = WEIGHTS[method](slot, _stream(base, slot.name))
            if slot.padding is not None:
                drawn[slot.padding] = 0
            slot.parameter.copy_(drawn)


def stacked_weights(
    model: nn.Module, method: str, generator: torch.Generator, draws: int
) -> dict[str, Tensor]:
    """All parameters of many draws: name -> (draws, ...), for `functional_call` under `vmap`.

    Row m holds, bit for bit, what the m-th of successive `draw_weights` with the same generator
    gives. The model is left as it was.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> weights = stacked_weights(model, "kaiming_fan_in", torch.Generator(), 8)
        >>> weights["weight"].shape
        torch.Size([8, 2, 3])
        >>> one = lambda theta: torch.func.functional_call(model, theta, torch.ones(5, 3))
        >>> torch.vmap(one)(weights).shape
        torch.Size([8, 5, 2])
    """
    if draws < 1:
        raise ValueError(f"expected at least one draw, got draws={draws!r}")
    model = deepcopy(model)
    rows = []
    for _ in range(draws):
        draw_weights(model, method, generator)
        rows.append({name: p.detach().clone() for name, p in model.named_parameters()})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def check_weights(method: str) -> None:
    """Refuse an unknown method, naming the nearest."""
    if method not in WEIGHTS:
        near = get_close_matches(str(method), WEIGHTS, n=1, cutoff=0)
        raise ValueError(
            f"unknown weight draw: expected one of {', '.join(WEIGHTS)}, got {method!r}; "
            f"did you mean {near[0]}?"
        )


def ntk_parametrisation(
    model: nn.Module, *, sigma_w: float | int = 2**0.5, sigma_b: float | int = 0.0
) -> nn.Module:
    """A copy of `model` whose weights and biases are scaled standard normal numbers.

        W = sigma_w / sqrt(fan_in) w,    b = sigma_b beta,    w, beta ~ N(0, 1)

    The trainable parameters are w and beta, so the copy's `ntk` is that of theory, which has a
    limit in infinite width. Draw them by `draw_weights(copy, "ntk", generator)`; until then the
    copy computes what the model does, less its biases if `sigma_b` is 0. On the same draw and
    with both scales as they stand, it computes what `kaiming_fan_in` gives the model.
    Normalisation layers stay as they are.

    Raises:
        ValueError: a weight that two layers share, or a recurrent layer that keeps its weights
            where no parametrisation reaches them (cells are fine).

    Example:
        >>> model = ntk_parametrisation(nn.Linear(4, 3), sigma_w=1)
        >>> draw_weights(model, "ntk", torch.Generator())
        >>> [name for name, _ in model.named_parameters()]
        ['parametrizations.weight.original', 'parametrizations.bias.original']
    """
    model = deepcopy(model)
    slots = list(_slots(model))
    if len({id(slot.parameter) for slot in slots}) < len(slots):
        raise ValueError(
            "two layers share a weight, which no parametrisation of one of them can follow: "
            "expected a network without shared weights"
        )
    for slot in slots:
        if slot.standard or isinstance(slot.module, nn.RNNBase):
            raise ValueError(
                f"{slot.name!r} cannot be parametrised: expected a plain parameter of a layer "
                f"other than nn.RNN, LSTM and GRU; try their cells"
            )
        scale = sigma_b if slot.is_bias else sigma_w / slot.fan_in**0.5
        register_parametrization(slot.module, slot.name.rpartition(".")[2], _Scaled(scale))
    return model


class _Scaled(nn.Module):
    """w -> scale w."""

    def __init__(self, scale: float | int):
        super().__init__()
        self.scale = scale

    def forward(self, w: Tensor) -> Tensor:
        return self.scale * w

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.scale if self.scale else weight


class Slot(NamedTuple):
    """A parameter to be drawn, and the linear map that it belongs to."""

    module: nn.Module
    name: str
    "Names its random stream; the same in either parametrisation."
    parameter: nn.Parameter
    fan_in: float
    "Inputs that reach one output."
    fan_out: float
    "Outputs that one input reaches; of grouped convolutions, as if there were one group."
    blocks: int
    "Equal blocks of rows that are maps of their own: groups, gates, or query, key and value."
    torch_fan: float
    "1 / variance of torch's own draw, up to a third."
    standard: bool
    "Whether the parameter is a w of `ntk_parametrisation`."

    @property
    def is_bias(self) -> bool:
        return self.parameter.ndim < 2

    @property
    def padding(self) -> int | None:
        """The row of a table that stands for no word, and is zero."""
        module = self.module
        return module.padding_idx if isinstance(module, nn.Embedding | nn.EmbeddingBag) else None

    @property
    def is_table(self) -> bool:
        return isinstance(self.module, nn.Embedding | nn.EmbeddingBag)


# The abstract ancestors of these layers have no public names.
_NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def _slots(model: nn.Module) -> Iterator[Slot]:
    """The parameters that a draw is about: weights and biases outside normalisation layers."""
    modules = dict(model.named_modules())
    for prefix, module in modules.items():
        if isinstance(module, _NORMALISATION):
            continue
        standard = isinstance(module, ParametrizationList) and isinstance(module[0], _Scaled)
        for key, parameter in module.named_parameters(recurse=False):
            path, name, owner = prefix, key, module
            if standard:  # the w of layer.weight is layer.parametrizations.weight.original
                path, _, name = prefix.rpartition("parametrizations.")
                path = path.removesuffix(".")
                owner = modules[path]
            if parameter.ndim >= 2 or "bias" in name:  # else a slope or a scale
                yield _slot(owner, path, name, parameter, standard)


def _slot(
    module: nn.Module, path: str, name: str, parameter: nn.Parameter, standard: bool
) -> Slot:
    beside = getattr(module, name.replace("bias", "weight"), None)
    shape = beside.shape if isinstance(beside, Tensor) else parameter.shape
    fan_in: float = prod(shape[1:])
    fan_out: float = prod(shape[:1]) * prod(shape[2:])
    torch_fan, blocks = fan_in, getattr(module, "groups", 1)
    if isinstance(module, _TRANSPOSED):
        # (inputs, outputs / groups, kernel): a stride spreads the kernel over as many outputs
        fan_in = shape[0] // module.groups * prod(shape[2:]) / prod(module.stride)
        fan_out = prod(shape[1:])
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        fan_in, fan_out = 1, shape[1]
    elif isinstance(module, _RECURRENT):
        torch_fan = int(module.hidden_size)
        blocks = max(shape[0] // int(module.hidden_size), 1)
    elif name == "in_proj_weight":
        blocks = 3
    name = f"{path}.{name}"
    return Slot(module, name, parameter, fan_in, fan_out, blocks, torch_fan, standard)


def _stream(base: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{base}/{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def _kaiming(fan: Callable[[Slot], float]) -> Callable[[Slot, torch.Generator], Tensor]:
    def draw(slot: Slot, stream: torch.Generator) -> Tensor:
        if slot.is_bias:
            return torch.zeros(slot.parameter.shape)
        return torch.randn(slot.parameter.shape, generator=stream) * (2 / fan(slot)) ** 0.5

    return draw


_kaiming_fan_in = _kaiming(lambda slot: slot.fan_in)


def _lecun_normal(slot: Slot, stream: torch.Generator) -> Tensor:
    if slot.is_bias:
        return torch.zeros(slot.parameter.shape)
    std = slot.fan_in**-0.5 / 0.87962566  # the share that the cut leaves
    weight = torch.empty(slot.parameter.shape)
    return nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std, generator=stream)


def _orthogonal(slot: Slot, stream: torch.Generator) -> Tensor:
    if slot.is_bias or slot.is_table:  # a table's rows never meet in one sum
        return _kaiming_fan_in(slot, stream)
    weight = torch.empty(slot.parameter.shape)
    for block in weight.chunk(slot.blocks):
        nn.init.orthogonal_(block, gain=2**0.5, generator=stream)
    return weight


def _torch_default(slot: Slot, stream: torch.Generator) -> Tensor:
    if slot.is_table:
        return torch.randn(slot.parameter.shape, generator=stream)
    bound = max(slot.torch_fan, 1) ** -0.5
    return (2 * torch.rand(slot.parameter.shape, generator=stream) - 1) * bound


def _standard(slot: Slot, stream: torch.Generator) -> Tensor:
    return torch.randn(slot.parameter.shape, generator=stream)


WEIGHTS: dict[str, Callable[[Slot, torch.Generator], Tensor]] = {
    "kaiming_fan_out": _kaiming(lambda slot: slot.fan_out),
    "kaiming_fan_in": _kaiming_fan_in,
    "lecun_normal": _lecun_normal,
    "orthogonal": _orthogonal,
    "torch_default": _torch_default,
    "ntk": _standard,
}
