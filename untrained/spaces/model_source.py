"""A named model as source text that stands on its own, as far as its module does."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from untrained.plugins import load_module
from untrained.spaces.calling import given_to
from untrained.spaces.loading import HERE, load_maker
from untrained.spaces.space import Shape
from untrained.spaces.timm_models import TIMM


def source_of_model(path: str, *, inputs: Shape, classes: int) -> tuple[str, str]:
    """The text of the model's module, and the expression in it that builds the model.

    What the module imports of the user's own is not part of it.

    Raises:
        ValueError: a model of this process alone, or a module without a source.
    """
    module, _, name = path.partition(":")
    maker: Any = load_maker(path)
    if module == HERE:
        raise ValueError(
            f"model {path!r}: expected one of a module, whose source can be exported, got one of "
            f"this process alone; put it into a file"
        )
    ready = isinstance(maker, nn.Module)
    given = {} if ready else given_to(path, maker, inputs, classes)
    arguments = ", ".join(f"{key}={value}" for key, value in given.items())
    if module == TIMM:
        return "import timm\n", f"timm.create_model({name!r}, {arguments})"
    try:
        source = inspect.getsource(load_module("model", path))
    except (OSError, TypeError) as error:
        raise ValueError(f"model {path!r}: expected a module with a source: {error}") from error
    expression = _expression(path)
    return source, expression if ready else f"{expression}({arguments})"


def _expression(path: str) -> str:
    """How the model's module itself writes what the path stands for."""
    first, _, key = path.partition(":")[2].partition(".")
    found = getattr(load_module("model", path), first)
    if not key:
        return first
    if isinstance(found, Mapping):
        return f"{first}[{next(each for each in found if str(each) == key)!r}]"
    return f"{first}[{key}]" if isinstance(found, Sequence) else f"{first}.{key}"
