"""Settings from flags or TOML, brought to the types of the values they change.

Any room may import this; it imports none.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_type_hints

Setting = float | int | bool | str
V = TypeVar("V")


def check_known(what: str, settings: Mapping[str, Setting], known: list[str]) -> None:
    """Refuse a setting that nothing has, naming the nearest ones."""
    for setting in settings:
        if setting not in known:
            near = get_close_matches(setting, known, n=3, cutoff=0) or ["none"]
            raise ValueError(
                f"unknown setting {setting!r} of {what}: expected {' or '.join(near)}"
            )


def changed(value: V, settings: Mapping[str, Setting], what: str) -> V:
    """The frozen dataclass `value` with those settings that are fields of it.

    Whole numbers count from 1 in every setting that there is.

    Raises:
        ValueError: a setting of another type than its field, or a whole number below 1.
    """
    hints = get_type_hints(type(value))
    names = [f.name for f in fields(value) if f.name in settings]  # type: ignore[arg-type]
    changes = {name: typed(hints[name], settings[name], f"{what}.{name}") for name in names}
    return replace(value, **changes)  # type: ignore[type-var]


def typed(hint: Any, value: Setting, where: str) -> Setting:
    """The value as its field's type: a command line cannot tell 3 from 3.0."""
    kinds = get_args(hint) or (hint,)
    if isinstance(value, float) and value.is_integer() and int in kinds:
        value = int(value)
    if type(value) is int and int in kinds and value < 1:
        raise ValueError(f"{where}: expected a number of at least 1, got {value}")
    if value in kinds or type(value) in kinds or (float in kinds and type(value) is int):
        return value
    expected = " or ".join(k.__name__ if isinstance(k, type) else repr(k) for k in kinds)
    raise ValueError(f"{where}: expected {expected}, got {value!r}")


def plain(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Whole numbers as such, so that 3.0 from a flag and 3 from a file are one question."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in settings.items()
    }
