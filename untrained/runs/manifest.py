"""What a sweep was begun with, and whether a command asks the same of it."""

import json
from collections.abc import Mapping
from typing import Any

from untrained.storage.store import Store

ASKED = (
    *("space", "scores", "draws", "seed", "size", "device", "score_settings", "short_training"),
)
"What of a configuration decides what is measured."


def check_continues(store: Store, identity: str, described: Mapping[str, Any]) -> None:
    """Refuse to continue a run with something else than it was begun with.

    Args:
        store: which may have the run.
        identity: of what is asked now.
        described: the run's row as it would be.

    Raises:
        ValueError: it says what differs.
    """
    name = described["name"]
    if name not in store.run_names():
        return
    row = store.run(name)
    if row["id"] == identity:
        return
    if row["searcher"] != described["searcher"]:
        raise ValueError(f"sweep: expected a name that no search has, got {name!r}; try another")
    was, now = manifest(row), manifest(json.loads(json.dumps(described)))
    which = next((key for key in now if was.get(key) != now[key]), None)
    if which is None:
        raise ValueError(
            f"sweep {name}: expected the code that it was begun with, got files of its space or "
            f"scores that were edited since; choose another name"
        )
    raise ValueError(
        f"sweep {name}: expected {which} {_short(was.get(which))}, as it was begun with, got "
        f"{_short(now[which])}; choose another name for another sweep"
    )


def manifest(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is measured, of a run's row: architectures, images, scores and their settings."""
    asked = {key: _given(row["config"].get(key)) for key in ASKED}
    images = {key: row["images"].get(key) for key in ("name", "fingerprint")}
    return {"architectures": row["config"].get("population"), **asked, "images": images}


def _given(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
    return repr(value)
