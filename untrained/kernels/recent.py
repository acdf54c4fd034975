"""Surveys kept for networks of the same program: draws of one architecture, or one asked again.

A kept survey saves the passes that would make it once more, and a kept plan the choice of a
method. They are hints and nothing else: the `structured` method checks every pass against the
survey, on the batch at hand (see `structured`), and where they differ the network is surveyed
anew.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn

from untrained.analysis.plan import Plan
from untrained.layerwise.survey import Survey
from untrained.networks.choices import Policy

KEPT = 64
"Surveys, the latest."


class Kept(NamedTuple):
    """What was found of networks of one program."""

    survey: Survey
    plans: dict[Hashable, Plan]
    "By what was asked for."


_surveys: dict[Hashable, Kept] = {}


def program(model: nn.Module, x: Tensor, batchnorm: Policy) -> Hashable | None:
    """What networks of one program share: modules with their settings, tensors by their shapes.

    None where a module holds what could be anything, or has hooks: its program is its own. So is
    that of a function with a closure, whose values may change, and would live as long as a survey.
    """
    try:
        modules = tuple((name, type(m), *_settings(m)) for name, m in model.named_modules())
    except _Opaque:
        return None
    return modules, x.shape[1:], x.dtype, x.device, batchnorm


class _Opaque(Exception):
    """A module with an attribute that says too little of itself."""


def _settings(module: nn.Module) -> Iterator[Hashable]:
    """Attributes of a module, tensors by their shapes; its parts are asked in turn."""
    for name, value in vars(module).items():
        kind = type(value)
        if kind in _PLAIN:
            yield name, value
        elif kind in _TABLES and not value:
            continue
        elif kind is FunctionType and _says_all(value):
            yield name, value
        elif isinstance(value, tuple | list):
            yield name, tuple(_plain(value))
        elif name in ("_parameters", "_buffers"):
            yield from (key if t is None else _shape(key, t) for key, t in value.items())
        elif name not in _PARTS:
            raise _Opaque


def _shape(name: str, tensor: Tensor) -> Hashable:
    if tensor._backward_hooks:
        raise _Opaque
    return name, tensor.shape, tensor.dtype, tensor.requires_grad


def _plain(values: Iterable[object]) -> Iterator[Hashable]:
    for value in values:
        if isinstance(value, tuple | list):
            yield tuple(_plain(value))
        elif _says_all(value):
            yield value
        elif isinstance(value, nn.Parameter):  # of a recurrent layer, which lists its own
            yield _shape("", value)
        elif isinstance(value, ref) and isinstance(value(), nn.Parameter):
            yield ref
        else:
            raise _Opaque


def _says_all(value: object) -> bool:
    """Whether a value tells what it does, and will; a function, unless it holds something else."""
    if isinstance(value, FunctionType):
        given = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return value.__closure__ is None and all(type(each) in _PLAIN for each in given)
    return type(value) in _PLAIN


_PLAIN = frozenset(
    {
        *(bool, int, float, str, NoneType),
        *(torch.Size, torch.dtype, torch.device),
        *(type, BuiltinFunctionType),
    }
)
_TABLES = frozenset({dict, OrderedDict, set})
"Of parameters, buffers and hooks; empty, they say nothing."
_PARTS = frozenset({"_modules", "_non_persistent_buffers_set"})


def recall(asked: Hashable | None) -> Kept | None:
    """The survey of the latest network of this program, and plans for networks of it."""
    return None if asked is None else _surveys.get(asked)


def keep(asked: Hashable | None, survey: Survey, question: Hashable, plan: Plan) -> None:
    """Keeps a survey and a plan, for as long as passes bear them out, and forgets what is old."""
    if asked is None:
        return
    kept = _surveys.pop(asked, None)
    plans = {} if kept is None or len(kept.plans) == KEPT else kept.plans
    _surveys[asked] = Kept(survey, {**plans, question: plan})
    if len(_surveys) > KEPT:
        del _surveys[next(iter(_surveys))]


def forget(asked: Hashable | None) -> None:
    """Where passes have not borne it out."""
    _surveys.pop(asked, None)
