"""Which tensors of a network are drawn, and what they are to it.

A layer of `torch.nn` is known by its class. What other modules hold is known by what they do with
it:

    it maps the examples              a weight, whichever way it is stored
    the examples look it up           a table, as `nn.Embedding`
    it is added to what a map gives   a bias; so is what is called so
    it meets them entry by entry      stays: scales, slopes, class tokens, tables of positions

and otherwise the network is refused.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Size, Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from untrained.networks.fans import (
    MAPS,
    ZERO,
    Fans,
    Own,
    is_own_forward,
    layer_fans,
    uniform,
    xavier,
)
from untrained.networks.maps import Use
from untrained.networks.reparametrised import Held, held_by
from untrained.networks.uses import Uses, has_influence, uses_alone, uses_on


class Slot(NamedTuple):
    """A tensor to be drawn."""

    module: nn.Module
    path: str
    held: Held
    fans: Fans

    @property
    def name(self) -> str:
        """Names its random stream; the same in every parametrisation."""
        return f"{self.path}.{self.held.key}"

    @property
    def parameter(self) -> str:
        """The name of the parameter behind it."""
        return f"{self.path}.{self.held.parts[-1]}".removeprefix(".")

    @property
    def shape(self) -> Size:
        return self.held.shape

    @property
    def padding(self) -> int | None:
        """The row of a table that stands for no word, and is zero."""
        module = self.module
        return module.padding_idx if isinstance(module, nn.Embedding | nn.EmbeddingBag) else None


def find_slots(
    model: nn.Module,
    x: Tensor | None = None,
    keep: Collection[str] = (),
    without: Collection[str] = (),
) -> list[Slot]:
    """The tensors that a draw is about.

    Args:
        model: any network.
        x: an example or more, which show what a network does with parameters that are not of
            layers of torch's; None means that its modules are tried alone.
        keep: names of parameters to leave out.
        without: names of modules to leave out what they hold themselves.

    Raises:
        ValueError: a parameter that is not understood, or cannot be drawn; an unknown name.
    """
    kept = _kept(model, keep)
    known: list[Slot] = []
    raw: list[Slot] = []
    for path, module in model.named_modules():
        if isinstance(module, ParametrizationList) or path in without:
            continue  # the former's are seen with the layer that it belongs to
        for held in held_by(module, path, kept):
            fans = layer_fans(module, held.key, held.shape)
            if held.standard:  # its scale says what it is
                known.append(Slot(module, path, held, fans or Fans("weight")))
            elif fans is not None and (not isinstance(module, MAPS) or is_own_forward(module)):
                known.append(Slot(module, path, held, fans))
            elif fans is not None or module.get_parameter(held.parts[-1]).dtype not in _COUNTS:
                raw.append(Slot(module, path, held, Fans("stays")))
    drawn = _as_torch_composes(model, known) + _understood(model, raw, x)
    found = [slot for slot in drawn if slot.fans.role != "stays"]
    for slot in found:
        _check_type(slot)
    return found


# Of parameters that are indices and masks.
_COUNTS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _kept(model: nn.Module, keep: Collection[str]) -> set[int]:
    parameters = dict(model.named_parameters(remove_duplicate=False)) if keep else {}
    for name in keep:
        if name not in parameters:
            raise ValueError(
                f"keep has an unknown name: expected names of parameters, such as "
                f"{next(iter(parameters), '')!r}, got {name!r}"
            )
    return {id(parameters[name]) for name in keep}


def _check_type(slot: Slot) -> None:
    dtype = slot.module.get_parameter(slot.held.parts[-1]).dtype
    if not dtype.is_floating_point:
        raise ValueError(
            f"{slot.parameter!r} cannot be drawn: expected real numbers, got {dtype}; try to draw "
            f"it yourself, with keep={[slot.parameter]!r}"
        )


def _as_torch_composes(model: nn.Module, slots: Sequence[Slot]) -> list[Slot]:
    """With the laws of layers that draw what their own layers have drawn once more."""
    outputs, transformers = set(), []
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            outputs.add(id(module.out_proj))
        if isinstance(module, nn.Transformer):
            transformers.append(f"{path}." if path else "")
    changed = []
    for slot in slots:
        fans = slot.fans
        if fans.role == "bias" and id(slot.module) in outputs:
            fans = fans._replace(own=ZERO)
        if len(slot.shape) > 1 and slot.parameter.startswith(tuple(transformers)):
            fans = fans._replace(own=xavier(slot.shape))
        changed.append(slot._replace(fans=fans))
    return changed


def _understood(model: nn.Module, raw: Sequence[Slot], x: Tensor | None) -> list[Slot]:
    """The slots with what the network does with parameters that are of no layer of torch's."""
    seen: Uses = {}
    failure = "no call of torch that uses it was seen when its modules were tried alone"
    if raw and x is not None:
        seen, failure = uses_on(model, x, [slot.parameter for slot in raw])
        failure = failure or "no call of torch that uses it was seen"
    elif raw:
        seen = {slot.parameter: uses_alone(model, slot.parameter) for slot in raw}
    found: dict[str, Fans] = {}
    for slot in raw:
        fans = _fans_of(seen.get(slot.parameter, []))
        if fans is None or fans.role == "stays":  # a class tells more
            fans = layer_fans(slot.module, slot.held.key, slot.shape) or fans
        if fans is None and (len(slot.shape) < 2 or _is_gain(slot)):
            fans = Fans("stays")  # a scale or a slope
        if fans is None and x is not None and slot.parameter not in seen:
            fans = None if has_influence(model, x, slot.parameter) else Fans("stays")
        if fans is None:
            raise _not_understood(slot, seen.get(slot.parameter, []), failure)
        found[slot.name] = fans
    return [slot._replace(fans=_named(slot, found)) for slot in raw]


def _is_gain(slot: Slot) -> bool:
    """Whether it has one number for each output of its layer's weight, as standardised ones do."""
    weight = getattr(slot.module, "weight", None)
    if not isinstance(weight, Tensor) or slot.held.key == "weight":
        return False
    known = layer_fans(slot.module, "weight", weight.shape) is not None
    return known and slot.shape == (len(weight), *[1] * (weight.ndim - 1))


def _fans_of(uses: Sequence[Use]) -> Fans | None:
    """The part of a parameter that is used so; None if uses are unclear, or ask for two laws."""
    kinds, maps = {use.kind for use in uses}, [use for use in uses if use.entries is not None]
    if "unclear" in kinds or not uses:
        return None
    if maps:
        if len({(use.fan_in, use.fan_out, use.shape) for use in maps}) > 1:
            return None
        fan_in, fan_out = maps[0].fan_in, maps[0].fan_out
        entries = torch.cat([use.entries for use in maps if use.entries is not None])
        return Fans("weight", fan_in, fan_out, uniform(fan_in), entries=entries)
    if "table" in kinds:
        return Fans("table", 1, uses[0].fan_out, Own("normal", 1))
    if "bias" in kinds:
        return Fans("bias", own=uniform(max(use.fan_in for use in uses)))
    return Fans("stays")


def _named(slot: Slot, found: Mapping[str, Fans]) -> Fans:
    """The part of a parameter, or what its name says: a bias belongs to the weight beside it."""
    fans = found[slot.name]
    if fans.role != "stays" or len(slot.shape) > 1 or "bias" not in slot.held.key:
        return fans
    beside = found.get(slot.name.replace("bias", "weight"), fans)
    return Fans("bias", own=uniform(beside.fan_in) if beside.role == "weight" else ZERO)


def _not_understood(slot: Slot, uses: Sequence[Use], failure: str) -> ValueError:
    why = "no one law fits what is done with it" if uses else failure
    return ValueError(
        f"what {slot.parameter!r} of shape {tuple(slot.shape)} is to {type(slot.module).__name__} "
        f"is not understood: {why}; expected a layer of torch.nn, a weight that maps examples, or "
        f"a scale or table that meets them entry by entry; try to give an example, x=inputs[:2], "
        f"or to draw it yourself, with keep={[slot.parameter]!r}"
    )
