"""Configurations as TOML: what `--dry-run` prints, and what a run keeps beside its results."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from untrained.locations import Location
from untrained.outside import command_line, without_password
from untrained.runs.config import RunConfig
from untrained.settings import typed

T = TypeVar("T")

CONFIG = "config.toml"
"The file of a run's or a tracking's folder that reproduces it."


def as_toml(config: Any, *command: str) -> str:
    """A file that the command, `search` by default, reads as this configuration.

    What is open, as a size that is each image's own, is left out: TOML has no word for it. So are
    passwords.
    """
    return _file(asdict(config), *command)


def stored_as_toml(config: Mapping[str, Any]) -> str:
    """A file that `search` reads as the configuration that a store holds of a run."""
    flags = {field.name for field in fields(RunConfig)}
    return _file({name: value for name, value in config.items() if name in flags})


def _file(said: dict[str, Any], *command: str) -> str:
    if said.get("store"):
        said["store"] = without_password(said["store"])
    words = command_line("untrained", *(command or ("search",)), "--config")
    return f"# {words} FILE\n{tomli_w.dumps(_plain(said))}"


def load_config(file: Location) -> RunConfig:
    """The configuration of a run that `as_toml` wrote.

    Raises:
        ValueError: it cannot be read, or is of another version.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return _read(RunConfig, table, "")
    except (OSError, ValueError) as error:
        raise ValueError(f"expected the configuration of a run, got {file}: {error}") from error


def _read(kind: type[T], table: dict[str, Any], within: str) -> T:
    """The dataclass, whose fields of such a kind are tables."""
    hints = get_type_hints(kind)
    unknown = [name for name in table if name not in hints]
    if unknown:
        raise ValueError(f"expected no {within}{unknown[0]}")
    found = {
        name: _read(hints[name], value, f"{name}.")
        if is_dataclass(hints[name]) and isinstance(value, dict)
        else typed(hints[name], value, f"{within}{name}")
        for name, value in table.items()
    }
    return kind(**found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(each) for key, each in value.items() if each is not None and each != {}
        }
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
