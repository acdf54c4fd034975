"""The flags of the command as keyword arguments of Python: one frozen configuration behind both.

Where a flag takes a list, one value or any sequence will do; where it takes the name of a score,
a space or a searcher, so does the class or function itself; `--training.epochs 20` is
`training={"epochs": 20}`, or a `TrainingSpec`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_origin, get_type_hints

from untrained.settings import check_known, kinds_of

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])


def configured(config: C, flags: Mapping[str, Any]) -> C:
    """The configuration with those flags that are given.

    Raises:
        ValueError: a flag that there is not, or a function that has no name to be found by.

    Example:
        >>> from untrained.runs import RunConfig
        >>> found = configured(RunConfig(), {"scores": "naswot", "training": {"epochs": 20}})
        >>> found.scores, found.training.epochs
        (('naswot',), 20)
    """
    kind = type(config)
    check_known(f"{kind.__name__}", flags, [f.name for f in fields(config)])  # type: ignore
    hints = get_type_hints(kind)
    given = {
        name: _fitted(hints[name], getattr(config, name), value, name)
        for name, value in flags.items()
    }
    return replace(config, **given)  # type: ignore[type-var]


def _fitted(hint: Any, now: Any, value: Any, where: str) -> Any:
    """The value as its field holds it; what does not fit stays, to be refused by its check."""
    if is_dataclass(now) and isinstance(value, Mapping):
        return configured(now, value)
    if any(get_origin(kind) is tuple for kind in kinds_of(hint)):
        return _listed(hint, value, where)
    return named(value, where)


def _listed(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, Mapping):  # of limits
        return tuple(f"{name}={most}" for name, most in value.items())
    if isinstance(value, str) or callable(value):
        return named(value, where) if str in kinds_of(hint) else (named(value, where),)
    if isinstance(value, Sequence):
        return tuple(named(each, where) for each in value)
    return value


def named(value: Any, where: str) -> Any:
    """A class or a function as `package.module:name`; all else as it is.

    Raises:
        ValueError: one that was made inside a function, where no name leads.
    """
    if not (isinstance(value, type) or inspect.isroutine(value)):
        return value
    path = f"{value.__module__}:{value.__qualname__}"
    if "<" in path or "." in value.__qualname__:
        raise ValueError(
            f"{where}: expected something at the top of a module, got {path}; move it there"
        )
    return path


def takes_flags(kind: type, *left_out: str) -> Callable[[F], F]:
    """Shows the fields of a configuration in the signature of a function of `**flags`.

    Args:
        kind: of the configuration.
        left_out: fields that the function takes by arguments of its own.
    """

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        hints = get_type_hints(kind)
        flags = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=_usual(f),
                              annotation=hints[f.name])
            for f in fields(kind)
            if f.name not in left_out
        ]  # fmt: skip
        function.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore
        return function

    return shown


def _usual(field: Field[Any]) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
