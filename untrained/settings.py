"""Settings from flags, files or code: of the type of what they change, or refused by name.

Any subpackage may import this; it imports none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from untrained.locations import located
from untrained.outside import without_password
from untrained.urls import URL

Setting = float | int | bool | str
V = TypeVar("V")

LARGEST = 2**31 - 1
"Of a whole number, unless said otherwise: beyond it sizes and indices overflow."

_UNFIT = object()
_EXPECTED = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    Path: "a path (. for the working folder)",
    URL: "a URL",
    dict: "a table",
    tuple: "a list",
}


def check_known(what: str, settings: Iterable[str], known: list[str]) -> None:
    """Refuse a setting that nothing has, naming the nearest ones."""
    for setting in settings:
        if setting not in known:
            near = get_close_matches(setting, known, n=3, cutoff=0) or ["none"]
            raise ValueError(
                f"unknown setting {setting!r} of {what}: expected {' or '.join(near)}"
            )


def changed(value: V, settings: Mapping[str, Setting], what: str) -> V:
    """The frozen dataclass `value` with those settings that are fields of it.

    Raises:
        ValueError: a setting of another type than its field, or a whole number out of range.
    """
    hints = get_type_hints(type(value))
    names = [f.name for f in fields(value) if f.name in settings]  # type: ignore[arg-type]
    changes = {name: counted(hints[name], settings[name], f"{what}.{name}") for name in names}
    return replace(value, **changes)  # type: ignore[type-var]


def counted(hint: Any, value: Any, where: str, least: int = 1) -> Any:
    """As `typed`; whole numbers count from 1 in almost every setting that there is."""
    found = typed(hint, value, where)
    if type(found) is int:
        check_range(where, found, least)
    return found


def check_range(where: str, value: int, least: int, most: int = LARGEST) -> None:
    """Refuse a whole number below `least` or above `most`."""
    if not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise ValueError(f"{where}: expected a number of {bound}, got {value!r}")


def checked(value: V, where: str = "") -> V:
    """The frozen dataclass `value`, each of its fields as its type: a constructor checks none.

    Raises:
        ValueError: a field of another type; its name comes after `where`.
    """
    hints = get_type_hints(type(value))
    kept = {
        f.name: typed(hints[f.name], getattr(value, f.name), f"{where}{f.name}")
        for f in fields(value)  # type: ignore[arg-type]
    }
    return replace(value, **kept)  # type: ignore[type-var]


def typed(hint: Any, value: Any, where: str) -> Any:
    """The value as one of the type `hint`, without guessing.

    A whole number fits where a number is due, a text where a path is, a list where a tuple is;
    nothing else is changed. Numbers are finite: what is stored and compared must be.

    Args:
        hint: a type, a union, a Literal, `tuple[T, ...]`, `dict[str, T]` or a dataclass.
        value: what is given.
        where: its name, for the error.

    Raises:
        ValueError: it is of another type.

    Example:
        >>> typed(float | None, 3, "rate"), typed(int, 3, "count")
        (3.0, 3)
        >>> typed(int, 1.0, "count")
        Traceback (most recent call last):
        ValueError: count: expected a whole number, got 1.0
    """
    kinds = kinds_of(hint)
    for kind in sorted(kinds, key=lambda kind: type(value) is not kind):  # its own type first
        found = _as(kind, value, where)
        if found is not _UNFIT:
            return found
    expected = " or ".join(_named(kind) for kind in kinds if kind is not NoneType)
    raise ValueError(f"{where}: expected {expected}, got {_shortened(value)}")


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union; any other type alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _as(kind: Any, value: Any, where: str) -> Any:
    """The value as of this one type, or `_UNFIT`."""
    if kind is Any:
        return value
    origin = get_origin(kind) or kind
    if origin is Literal:
        choices = get_args(kind)
        return value if any(type(value) is type(c) and value == c for c in choices) else _UNFIT
    if origin is tuple and isinstance(value, list | tuple):
        each = get_args(kind)[0]
        return tuple(typed(each, one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        each = get_args(kind)[1]
        return {name: typed(each, one, f"{where}.{name}") for name, one in value.items()}
    if is_dataclass(kind):
        return checked(value, f"{where}.") if isinstance(value, kind) else _UNFIT  # type: ignore
    return _as_plain(kind, value, where) if kind is origin else _UNFIT


def _as_plain(kind: type, value: Any, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) < 2**1023:
        return float(value)
    if isinstance(value, str) and "\0" in value:
        return _UNFIT
    if kind in (Path, URL) and isinstance(value, str):
        return _as_location(kind, value, where)
    if isinstance(value, float):
        return value if isinstance(value, kind) and isfinite(value) else _UNFIT
    if isinstance(value, bool):
        return value if kind is bool else _UNFIT
    return value if isinstance(value, kind) else _UNFIT


def _as_location(kind: type, text: str, where: str) -> Any:
    """The path or the URL; an empty path, which would be the working folder, is neither."""
    try:
        found = located(text) if text else _UNFIT
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return found if isinstance(found, kind) else _UNFIT


def _named(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    kind = get_origin(kind) or kind
    return _EXPECTED.get(kind, getattr(kind, "__name__", str(kind)))


def _shortened(value: Any) -> str:
    text = repr(without_password(value) if isinstance(value, str) else value)
    return text if len(text) < 100 else f"{text[:80]}... of {len(text)} characters"


def plain(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Whole numbers as such: 3.0 and 3 are one question where a setting may be either."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in settings.items()
    }


def join_texts(texts: Iterable[str]) -> str:
    """Texts as one setting, which `split_texts` takes apart.

    Example:
        >>> join_texts(["width=8 depth=2", "width=16 depth=1"]), join_texts(["a-b", "a-c"])
        ('width=8 depth=2; width=16 depth=1;', 'a-b a-c')
    """
    kept = list(texts)
    spaced = any(len(text.split()) > 1 for text in kept)
    return " ".join(f"{text};" for text in kept) if spaced else " ".join(kept)


def split_texts(architectures: str) -> list[str]:
    """The texts in one setting.

    Example:
        >>> split_texts("width=8 depth=2; width=16 depth=1;"), split_texts("a-b  a-c")
        (['width=8 depth=2', 'width=16 depth=1'], ['a-b', 'a-c'])
    """
    if ";" not in architectures:
        return architectures.split()
    return [text for part in architectures.split(";") if (text := part.strip())]
