"""Weight draws: a network's random initial weights, from an explicit generator.

Each parameter has a random stream of its own, seeded by one number from the generator and by the
parameter's name. So two networks that share a layer share its weights on the same draw: a supernet
and the same supernet without one operation differ by that operation alone.

    kaiming_fan_out   W ~ N(0, 2 / fan_out)
    kaiming_fan_in    W ~ N(0, 2 / fan_in)
    lecun_normal      W ~ N(0, 1 / fan_in), cut off at two standard deviations of the uncut law
    orthogonal        W W^T = 2 I or W^T W = 2 I, whichever is the smaller: the gain of ReLU
                      networks is sqrt 2
    torch_default     as torch draws a new layer: W ~ U(-1, 1) / sqrt(fan_in), biases too; in
                      recurrent layers / sqrt(hidden); W ~ N(0, 1) in embeddings; Glorot's law in
                      attention and in `nn.Transformer`; a module of another's making by its own
                      `reset_parameters`, where it has one
    normal            W ~ N(0, 1), whatever the fans, as the Zen score and SWAP ask for
    ntk               W, b ~ N(0, 1), for networks in `ntk_parametrisation`
    as_built          none is drawn: weights and statistics are those that the network was built
                      with, such as those that it has learnt, whatever has become of them since

Biases are zero where no law is given for them; normalisation layers are always gamma = 1,
beta = 0. An embedding is a linear layer on one-hot inputs: its fan_in is 1. Weights under weight
norm are drawn as without, masks of pruning stay, spectral and orthogonal norms are taken of what
was drawn (`reparametrised.py`). What is no weight of a map stays: scales, slopes, class tokens,
tables of positions that are plain parameters (`slots.py`). A weight that layers share is drawn for
the last of them.

Source: LeCun et al., "Efficient BackProp", 1998; He et al., "Delving Deep into Rectifiers", ICCV
2015, https://arxiv.org/abs/1502.01852; Saxe, McClelland & Ganguli, "Exact
solutions to the nonlinear dynamics of learning", ICLR 2014, https://arxiv.org/abs/1312.6120;
Jacot, Gabriel & Hongler, NeurIPS 2018, https://arxiv.org/abs/1806.07572.
"""

import hashlib
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from operator import is_

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from untrained.networks.borrowed import borrowed
from untrained.networks.called import Called, own_name
from untrained.networks.fans import NORMALISATION
from untrained.networks.reparametrised import Scaled
from untrained.networks.slots import Slot, find_slots
from untrained.networks.unwrapping import unwrapped


def draw_weights(
    model: nn.Module,
    method: str,
    generator: torch.Generator,
    *,
    x: Tensor | None = None,
    keep: Collection[str] = (),
) -> None:
    """Redraws every parameter of `model` in place, and resets its buffers of statistics.

    Layers of `torch.nn` are known. What parameters are to other modules is seen from what these do
    with `x` or, without it, with made-up inputs. A network that is not understood is left as it
    was.

    Args:
        model: any network.
        method: one of `WEIGHTS`, or `as_built`.
        generator: of the draw.
        x: an example or more.
        keep: names of parameters that stay as they are.

    Raises:
        ValueError: unknown method; a parameter that is not understood; or `ntk` for a network that
            is not in that parametrisation, or another for one that is.
    """
    Initialisation.of(model, method, x, keep).draw(generator)


@dataclass(frozen=True)
class Initialisation:
    """What there is to draw of a network: the same for any number of draws."""

    method: str
    slots: tuple[Slot, ...]
    statistics: tuple[nn.Module, ...]
    "Layers whose running statistics begin anew."
    resets: tuple[tuple[str, nn.Module], ...]
    "Modules, by name, that draw themselves."
    parts: tuple[nn.Module | nn.Parameter, ...]
    "Modules and parameters of the network, all of them."
    kept: tuple[tuple[Tensor, Tensor], ...] = ()
    "Parameters and buffers with the values that they had, where these are what is drawn."

    @classmethod
    def of(
        cls, model: nn.Module, method: str, x: Tensor | None = None, keep: Collection[str] = ()
    ) -> "Initialisation":
        """That of a network; arguments and errors are those of `draw_weights`."""
        check_weights(method)
        model = unwrapped(model)
        if method == AS_BUILT:
            kept = tuple((t, t.detach().clone()) for t in (*model.parameters(), *model.buffers()))
            return cls(method, (), (), (), _parts_of(model), kept)
        modules = dict(model.named_modules())
        resets = {p: m for p, m in modules.items() if method == "torch_default" and _resets(m)}
        if isinstance(model, Called):  # so that streams have the names that the network gives
            keep = [f"network.{name}" for name in keep]
        slots = find_slots(model, x, keep, without=resets)
        if isinstance(model, Called):
            slots = [slot._replace(path=own_name(slot.path)) for slot in slots]
            resets = {own_name(path): module for path, module in resets.items()}
        for slot in slots:
            plain = isinstance(slot.module, NORMALISATION)
            if not plain and slot.held.standard != (method == "ntk"):
                raise ValueError(
                    "weights N(0, 1) and NTK parametrisation go together: expected weights='ntk' "
                    f"and a network from ntk_parametrisation, got {method!r} and "
                    f"{slot.parameter!r} {'in' if slot.held.standard else 'not in'} that "
                    f"parametrisation"
                )
        statistics = [m for m in modules.values() if isinstance(m, _BATCH)]
        return cls(
            method, tuple(slots), tuple(statistics), tuple(resets.items()), _parts_of(model)
        )

    def holds(self, model: nn.Module) -> bool:
        """Whether the network still consists of the same objects, so that this is of it."""
        parts = _parts_of(model)
        return len(parts) == len(self.parts) and all(map(is_, parts, self.parts))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """The next draw."""
        base = int(torch.randint(2**62, (), generator=generator))
        for tensor, value in self.kept:
            tensor.copy_(value)
        for module in self.statistics:
            module.reset_running_stats()  # type: ignore[operator]  # a method of _BATCH
        for path, module in self.resets:
            _reset(module, _stream(base, f"{path}.reset_parameters").initial_seed())
        for slot in self.slots:
            if isinstance(slot.module, NORMALISATION):
                drawn = torch.full(slot.shape, float(slot.fans.role == "scale"))
            else:
                drawn = WEIGHTS[self.method](slot, _stream(base, slot.name))
            if slot.padding is not None:
                drawn[slot.padding] = 0
            slot.held.write(drawn)


AS_BUILT = "as_built"
"The law that draws nothing, and puts back what was there."
_BATCH = nn.modules.batchnorm._NormBase


def _parts_of(model: nn.Module) -> tuple[nn.Module | nn.Parameter, ...]:
    return *model.modules(), *model.parameters()


def _resets(module: nn.Module) -> bool:
    """Whether a module has a `reset_parameters` that is somebody else's than torch's."""
    reset = getattr(type(module), "reset_parameters", None)
    return callable(reset) and not reset.__module__.startswith("torch.")


def _reset(module: nn.Module, seed: int) -> None:
    """Has a module draw its parameters, which it does by the global random state."""
    devices = {p.device for p in module.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        module.reset_parameters()  # type: ignore[operator]  # see _resets


def stacked_weights(
    model: nn.Module,
    method: str,
    generator: torch.Generator,
    draws: int,
    *,
    x: Tensor | None = None,
    keep: Collection[str] = (),
) -> dict[str, Tensor]:
    """All parameters of many draws: name -> (draws, ...), for `functional_call` under `vmap`.

    Row m holds, bit for bit, what the m-th of successive `draw_weights` with the same generator
    gives; arguments are those. The model is left as it was.

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
    model, rows = unwrapped(model), []
    with borrowed(model):
        initialisation = Initialisation.of(model, method, x, keep)
        for _ in range(draws):
            initialisation.draw(generator)
            rows.append({name: p.detach().clone() for name, p in model.named_parameters()})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def check_weights(method: str) -> None:
    """Refuse an unknown method, naming the nearest."""
    known = (*WEIGHTS, AS_BUILT)
    if method not in known:
        near = get_close_matches(str(method), known, n=1, cutoff=0)
        raise ValueError(
            f"unknown weight draw: expected one of {', '.join(known)}, got {method!r}; "
            f"did you mean {near[0]}?"
        )


def ntk_parametrisation(
    model: nn.Module,
    *,
    sigma_w: float | int = 2**0.5,
    sigma_b: float | int = 0.0,
    x: Tensor | None = None,
    keep: Collection[str] = (),
) -> nn.Module:
    """A copy of `model` whose weights and biases are scaled standard normal numbers.

        W = sigma_w / sqrt(fan_in) w,    b = sigma_b beta,    w, beta ~ N(0, 1)

    The trainable parameters are w and beta, so the copy's `ntk` is that of theory, which has a
    limit in infinite width. Draw them by `draw_weights(copy, "ntk", generator)`; until then the
    copy computes what the model does, less its biases if `sigma_b` is 0. On the same draw and
    with both scales as they stand, it computes what `kaiming_fan_in` gives the model.
    Normalisation layers stay as they are, as does what is no weight of a map. `x` and `keep` are
    those of `draw_weights`.

    Raises:
        ValueError: a network that is not understood, or cannot be copied; a weight that two layers
            share, or that is parametrised already; or a recurrent layer that keeps its weights
            where no parametrisation reaches them (cells are fine).

    Example:
        >>> model = ntk_parametrisation(nn.Linear(4, 3), sigma_w=1)
        >>> draw_weights(model, "ntk", torch.Generator())
        >>> [name for name, _ in model.named_parameters()]
        ['parametrizations.weight.original', 'parametrizations.bias.original']
    """
    model = unwrapped(model)
    slots = [s for s in find_slots(model, x, keep) if not isinstance(s.module, NORMALISATION)]
    if len({id(model.get_parameter(slot.parameter)) for slot in slots}) < len(slots):
        raise ValueError(
            "two layers share a weight, which no parametrisation of one of them can follow: "
            "expected a network without shared weights"
        )
    for slot in slots:
        if not slot.held.plain or isinstance(slot.module, nn.RNNBase):
            raise ValueError(
                f"{slot.parameter!r} cannot be parametrised: expected a plain parameter of a "
                f"layer other than nn.RNN, LSTM and GRU; try their cells"
            )
    try:
        scaled = deepcopy(model)
    except (RuntimeError, TypeError) as error:  # a tensor that was computed, a lock, a file
        raise ValueError(
            f"expected a network that can be copied, got {type(error).__name__}: {error}"
        ) from error
    for slot in slots:
        scale = sigma_b if slot.fans.role == "bias" else sigma_w / slot.fans.fan_in**0.5
        register_parametrization(scaled.get_submodule(slot.path), slot.held.key, Scaled(scale))
    return scaled


def _stream(base: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{base}/{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def _kaiming(fan: Callable[[Slot], float]) -> Callable[[Slot, torch.Generator], Tensor]:
    def draw(slot: Slot, stream: torch.Generator) -> Tensor:
        if slot.fans.role == "bias":
            return torch.zeros(slot.shape)
        return torch.randn(slot.shape, generator=stream) * (2 / fan(slot)) ** 0.5

    return draw


_kaiming_fan_in = _kaiming(lambda slot: slot.fans.fan_in)


def _lecun_normal(slot: Slot, stream: torch.Generator) -> Tensor:
    if slot.fans.role == "bias":
        return torch.zeros(slot.shape)
    std = slot.fans.fan_in**-0.5 / 0.87962566  # the share that the cut leaves
    weight = torch.empty(slot.shape)
    return nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std, generator=stream)


def _orthogonal(slot: Slot, stream: torch.Generator) -> Tensor:
    if slot.fans.role != "weight":  # a table's rows never meet in one sum
        return _kaiming_fan_in(slot, stream)
    weight = torch.zeros(slot.shape)
    if slot.fans.entries is None:
        for block in weight.chunk(slot.fans.blocks):
            nn.init.orthogonal_(block, gain=2**0.5, generator=stream)
        return weight
    for index in slot.fans.entries:
        block = torch.empty(index.shape)
        weight.view(-1)[index] = nn.init.orthogonal_(block, gain=2**0.5, generator=stream)
    return weight


def _torch_default(slot: Slot, stream: torch.Generator) -> Tensor:
    kind, scale = slot.fans.own
    if not scale:
        return torch.zeros(slot.shape)
    if kind == "normal":
        return torch.randn(slot.shape, generator=stream) * scale
    return (2 * torch.rand(slot.shape, generator=stream) - 1) * scale


def _normal(slot: Slot, stream: torch.Generator) -> Tensor:
    return torch.zeros(slot.shape) if slot.fans.role == "bias" else _standard(slot, stream)


def _standard(slot: Slot, stream: torch.Generator) -> Tensor:
    return torch.randn(slot.shape, generator=stream)


WEIGHTS: dict[str, Callable[[Slot, torch.Generator], Tensor]] = {
    "kaiming_fan_out": _kaiming(lambda slot: slot.fans.fan_out),
    "kaiming_fan_in": _kaiming_fan_in,
    "lecun_normal": _lecun_normal,
    "orthogonal": _orthogonal,
    "torch_default": _torch_default,
    "normal": _normal,
    "ntk": _standard,
}
