"""Configurations as TOML: what `--dry-run` prints, and what a run keeps beside its results."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import tomli_w

from untrained.outside import command_line, without_password
from untrained.runs.config import MachineConfig, RunConfig
from untrained.runs.track_config import TrackConfig

CONFIG = "config.toml"
"The file of a run's or a tracking's folder that reproduces it."


def as_toml(config: MachineConfig | TrackConfig, *command: str) -> str:
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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(each) for key, each in value.items() if each is not None and each != {}
        }
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
