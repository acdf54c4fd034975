"""Configurations as TOML: what `--dry-run` prints, and what a run keeps beside its results."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from untrained.runs.config import ResolvedConfig
from untrained.runs.track_config import TrackConfig


def as_toml(config: ResolvedConfig | TrackConfig, command: str = "search") -> str:
    """A file that `untrained COMMAND --config FILE` reads as this configuration.

    What is open, as a size that is each image's own, is left out: TOML has no word for it.
    """
    given = tomli_w.dumps(_plain(asdict(config)))
    return f"# untrained {command} --config FILE\n{given}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(each) for key, each in value.items() if each is not None and each != {}
        }
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
