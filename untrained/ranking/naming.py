"""Models as somebody gives them, and the architectures that they are."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from untrained.spaces import MODELS
from untrained.spaces.loading import HERE, expanded
from untrained.spaces.models import BUILT, Model, parse_model

Given = Mapping[str, Any] | Sequence[str]
"""Import paths, dictionaries and patterns; or name -> a function, a class, a module or a path."""


@dataclass(frozen=True)
class Named:
    """Models, each by a name for people and a text form."""

    architectures: Mapping[str, Model]
    "Name -> architecture."
    held: Mapping[str, object] = field(default_factory=dict)
    "What only this process has, by name: nothing in it is found again by another."


def named_models(models: Given, pretrained: Collection[str] = ()) -> Named:
    """The models that are given, each of which is there.

    What can be imported goes by its path, so that workers build it and its numbers are kept. As
    soon as one cannot, such as a function of a notebook, all are those of this process.

    Args:
        models: import paths, or name -> maker.
        pretrained: names of makers whose models are built with weights that they have learnt.

    Raises:
        ValueError: none, the same twice, or one that is not there.
    """
    if isinstance(models, str):
        raise ValueError(f"models: expected several in a list or a dictionary, got {models!r}")
    if not isinstance(models, Mapping):
        found = _of_texts(models)
    else:
        found = _of_makers(models, frozenset(pretrained))
    if others := set(pretrained) - set(found.architectures):
        raise ValueError(
            f"pretrained: expected names among {', '.join(found.architectures)}, got "
            f"{', '.join(sorted(others))}"
        )
    if not found.architectures:
        raise ValueError("models: expected one or more, got none; try my_nets:small")
    if len({*found.architectures.values()}) < len(found.architectures):
        raise ValueError(
            f"models: expected each once, got {', '.join(map(str, found.architectures.values()))}"
        )
    if not found.held:
        for model in found.architectures.values():
            MODELS.parse(str(model))  # which refuses what is not there
    return found


def _of_texts(texts: Sequence[str]) -> Named:
    """Those of import paths; a pattern, a dictionary or a list stands for several."""
    asked = [parse_model(text) for text in texts]
    models = [Model(path, each.weights) for each in asked for path in expanded(each.path)]
    return Named({str(model): model for model in models})


def _of_makers(makers: Mapping[str, Any], pretrained: frozenset[str]) -> Named:
    """Those of functions, classes and modules, or of import paths; each by its name."""
    paths = {name: _importable(maker) for name, maker in makers.items()}
    if all(paths.values()):
        models = {name: parse_model(path) for name, path in paths.items()}
        return Named(
            {n: Model(m.path, BUILT if n in pretrained else m.weights) for n, m in models.items()}
        )
    for name, maker in makers.items():
        if not callable(maker):
            raise ValueError(
                f"model {name!r}: expected a function, a class or an nn.Module, or import paths "
                f"for all, got {maker!r}"
            )
    models = {name: Model(f"{HERE}:{name}", BUILT * (name in pretrained)) for name in makers}
    return Named(models, dict(makers))


def _importable(maker: object) -> str:
    """The path that another process imports it by; empty if there is none."""
    if isinstance(maker, str):
        return maker
    module, name = getattr(maker, "__module__", ""), getattr(maker, "__qualname__", "")
    if isinstance(maker, nn.Module) or module == "__main__" or not name.isidentifier():
        return ""
    there = getattr(sys.modules.get(module), name, None)
    return f"{module}:{name}" if there is maker else ""
