"""Values for every flag and every key of a file, generated from the flags themselves.

`every_key` walks the configurations, the searchers' options and the scores' settings, so a new one
is tried without a line here. `TEXTS` and `VALUES` are what is tried: right for one key, wrong for
another. What a command does with one is right if it refuses it in one line that names the key, or
takes it for a value that `is_of` the key's type and `means` what was written.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from math import inf, isfinite, nan
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from untrained.images.probe import ProbeSpec
from untrained.runs import RunConfig
from untrained.scores import SCORES
from untrained.searchers import SEARCHERS
from untrained.spaces import get_space
from untrained.tracking.config import TrackConfig
from untrained.training.recipe import TrainingSpec

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"

TEXTS = (
    "3", "1.5", "3.0", "1e3", "1e999", "-1", "0", "-0.5", "1_000", "0x10", "9" * 30, "9" * 5000,
    "nan", "inf", "-inf", "true", "yes", "none", "", " 3", "²", "abc", "[]", "{}", '"3"',
    "a b?#%20", "[/] [bold]", "null\ttab",
)  # fmt: skip
"What is written after a flag."

VALUES: tuple[Any, ...] = (
    3, 1.5, 3.0, 1e3, -1, 0, 10**30, -0.5, nan, inf, True, False, "3", "true", "", "abc", "a\0b",
    [], [1], ["parameters"], {}, {"a": 1}, [{"a": 1}], date(2020, 1, 1),
)  # fmt: skip
"What a file gives a key."


class Key(NamedTuple):
    """A flag, which is a key of a file too."""

    command: tuple[str, ...]
    path: tuple[str, ...]
    hint: Any
    "Its type."
    beside: tuple[str, ...] = ()
    "Flags without which it would not be read."

    @property
    def flag(self) -> str:
        return "--" + ".".join(self.path)

    def as_flag(self, text: str) -> list[str]:
        """The command line with this text for the flag."""
        return [*self.command, *self.beside, f"{self.flag}={text}"]

    def as_file(self, value: Any) -> str:
        """The file with this value for the key."""
        *tables, last = (json.dumps(name) for name in self.path)
        head = f"[{'.'.join(tables)}]\n" if tables else ""
        return f"{head}{last} = {as_toml(value)}\n"

    def names(self) -> tuple[str, ...]:
        """Words of which a refusal has one: the key's name, or that of what it names."""
        last = self.path[-1]
        kind = {"training": "recipe", "device": "device"}.get(last, last.removesuffix("s"))
        return (last, last.replace("_", "-"), kind)

    def of(self, config: Any) -> Any:
        """What a configuration has for it."""
        for name in self.path:
            config = config[name] if isinstance(config, dict) else getattr(config, name)
        return config


def every_key() -> list[Key]:
    """Of `search` and `track`, with every searcher's options and every score's settings."""
    return [*_fields(("search",), RunConfig), *_options(), *_settings(),
            *_fields(("track", CELL), TrackConfig)]  # fmt: skip


def _fields(command: tuple[str, ...], kind: type, *path: str) -> Iterator[Key]:
    for name, hint in get_type_hints(kind).items():
        if hint is TrainingSpec:
            yield from _fields(command, TrainingSpec, *path, name)
        elif get_origin(hint) is not dict:
            beside = ("--scores", "label_alignment@1") if "short_training" in path else ()
            yield Key(command, (*path, name), hint, beside)


def _options() -> Iterator[Key]:
    for searcher, kind in SEARCHERS.items():
        hints = get_type_hints(kind)
        for field in fields(kind)[3:]:
            beside: tuple[str, ...] = ("--searcher", searcher, "--scores", "label_alignment")
            if searcher == "given" and field.name != "architectures":
                beside += (f"--options.architectures={CELL}",)
            yield Key(("search",), ("options", field.name), hints[field.name], beside)


TRAINING = {name: hint for name, hint in get_type_hints(TrainingSpec).items() if name != "epochs"}


def _settings() -> Iterator[Key]:
    scale = type(get_space("nasbench201").scales["small"])
    for score, kind in SCORES.items():
        hints: dict[str, Any] = {"scale": str, "weights": str, "redraw": int, "epochs": int}
        for part in (scale, ProbeSpec, kind):
            known = get_type_hints(part)
            hints |= {field.name: known[field.name] for field in fields(part)}
        for name, hint in {**hints, **TRAINING}.items():
            beside = ["--scores", score]
            if name in TRAINING:
                beside += [f"--score-settings.{score}.epochs", "1"]
            yield Key(("search",), ("score_settings", score, name), hint, tuple(beside))


def is_of(hint: Any, value: Any) -> bool:
    """Whether the value is of the type, without the library's own idea of that."""
    if get_origin(hint) in (Union, UnionType):
        return any(is_of(kind, value) for kind in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint) and type(value) is str
    if get_origin(hint) is tuple:
        return type(value) is tuple and all(is_of(get_args(hint)[0], each) for each in value)
    if hint is float:
        return type(value) in (int, float) and isfinite(value)
    if hint is Path:
        return isinstance(value, Path)
    return type(value) is (NoneType if hint is None else hint)


def means(value: Any, written: Any) -> bool:
    """Whether it is what was written: after a flag, the literal or the text; in a file, itself."""
    if isinstance(value, tuple):
        return list(value) in (written, [written])
    if isinstance(value, Path):
        return value == Path(written)
    if isinstance(value, str):
        return written in (value, f'"{value}"')
    if isinstance(written, str):
        if isinstance(value, bool):
            return value == (written in ("true", "yes"))
        written = ast.literal_eval(written)
    return bool(value == (float(written) if isinstance(value, float) else written))


def as_toml(value: Any) -> str:
    """As a file says it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {as_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else str(value)
