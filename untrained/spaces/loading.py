"""Models by name: what an import path stands for.

`my_nets:small` is a function, a class or a module; `my_nets:NETS.small` an entry of a dictionary
or list; `timm:resnet18` a model of timm's registry; `here:NAME` what this process holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from untrained.plugins import find, load_module
from untrained.spaces.timm_models import TIMM, timm_maker, timm_names

HERE = "here"
"In place of a module's name: what this process holds, such as a notebook's functions."

_held: dict[str, object] = {}


@contextmanager
def holding(makers: Mapping[str, object]) -> Iterator[None]:
    """Lets `here:NAME` stand for these, in this process and for as long."""
    before = dict(_held)
    _held.update(makers)
    try:
        yield
    finally:
        _held.clear()
        _held.update(before)


def load_maker(path: str) -> object:
    """What gives a model: a function or a class, or a module that is to be copied.

    Raises:
        ValueError: there is nothing of this path, or nothing that gives a model.
    """
    module, _, name = path.partition(":")
    if module == HERE:
        return find("model", name, _held, object)
    if module == TIMM:
        return timm_maker(name)
    first, _, key = name.partition(".")
    found: object = find("model", f"{module}:{first}", {}, object)
    if key:
        found = _inside(path, found, key)
    if not callable(found):
        raise ValueError(
            f"model {path!r}: expected a function, a class or an nn.Module, got one of type "
            f"{type(found).__name__}"
        )
    return found


def expanded(path: str) -> tuple[str, ...]:
    """The models that a path stands for: one, those of a dictionary or list, or of a pattern.

    A pattern, such as `my_nets:resnet_*`, matches the names of functions, classes and modules of
    the user's module, those that it only imports left out; one of `timm`, its registry.

    Raises:
        ValueError: nothing of this path is there, or nothing matches.
    """
    module, _, name = path.partition(":")
    if any(sign in name for sign in "*?["):
        names = timm_names(name) if module == TIMM else _matching(path, name)
        if not names:
            raise ValueError(f"models: expected some that match {path!r}, got none")
        return tuple(f"{module}:{each}" for each in names)
    if module in (TIMM, HERE) or "." in name:
        return (path,)
    entries = _entries(find("model", path, {}, object))
    if entries is None:
        return (path,)
    if not entries:
        raise ValueError(f"model {path!r}: expected models in a dictionary or list, got none")
    return tuple(f"{path}.{key}" for key in entries)


def _matching(path: str, pattern: str) -> list[str]:
    module = load_module("model", path)
    return [
        name
        for name, value in vars(module).items()
        if fnmatchcase(name, pattern)
        and not name.startswith("_")
        and callable(value)
        and (isinstance(value, nn.Module) or getattr(value, "__module__", "") == module.__name__)
    ]


def _inside(path: str, found: object, key: str) -> object:
    """An entry of a dictionary or list, or an attribute of anything else."""
    entries = _entries(found)
    if entries is None:
        entries = {key: getattr(found, key)} if hasattr(found, key) else {}
    if key not in entries:
        near = get_close_matches(key, entries, n=3, cutoff=0) or ["none"]
        raise ValueError(f"model {path!r}: expected {' or '.join(near)} at its end, got {key!r}")
    return entries[key]


def _entries(found: object) -> dict[str, object] | None:
    """What a dictionary or list holds, by key or by place; None where it is neither."""
    if isinstance(found, Mapping):
        return {str(key): value for key, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str):
        return {str(place): value for place, value in enumerate(found)}
    return None
