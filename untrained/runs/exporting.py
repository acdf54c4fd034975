"""Exporting a trained network of a run once more, or another one of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from untrained.locations import Location
from untrained.runs.budgeting import within_budget
from untrained.runs.comparing import export_trained
from untrained.runs.config_file import CONFIG, load_config
from untrained.runs.driver import name_of, opened
from untrained.runs.session import OnProgress, ignore
from untrained.spaces import get_space
from untrained.storage.folder import RunFolder


def export_run(
    folder: RunFolder,
    architecture: str | None = None,
    to: Location | None = None,
    on_progress: OnProgress = ignore,
) -> Location:
    """Writes a network that a run has trained, where it can be used without the library.

    It is trained again only where its checkpoint was lost.

    Args:
        folder: the run's.
        architecture: one that the run has trained; None is the selected one.
        to: the folder to write; by default the run's own `network`, or `network-N` of the N-th
            that it trained.
        on_progress: called as work proceeds.

    Returns:
        The folder.

    Raises:
        ValueError: a run that trains nothing, an architecture that it has not trained, or code,
            images or plug-ins that are not what they were.
        OSError: files that are missing or cannot be written, or a run that is in use.
    """
    file = folder.path / CONFIG
    if not file.exists():
        raise ValueError(f"expected a run's folder, with {CONFIG}, got {folder.path}")
    config = replace(load_config(file), out=folder.out, store=folder.elsewhere, workers=0)
    if not config.train:
        raise ValueError(
            f"expected a run that trains networks, got {folder.name}; give its command with "
            f"--train, or untrained train ARCHITECTURE"
        )
    if (now := name_of(config)) != folder.name:
        raise ValueError(
            f"expected the code, images and plug-ins that {folder.name} was made with, got others "
            f"(it would be {now} now); give its command again: untrained search --config {file}"
        )
    with opened(config, on_progress) as session:
        rows = session.store.trainings(session.run)
        position = _position(rows, config.space, architecture)
        usual = "network" if position == 0 else f"network-{position}"
        target = folder.path / usual if to is None else to
        export_trained(within_budget(session, ()), rows[position], target)
    return target


def _position(rows: Sequence[Mapping[str, Any]], space: str, architecture: str | None) -> int:
    """Of the first training of an architecture that came to its end."""
    done = [k for k, row in enumerate(rows) if row["finished"] and not row["reason"]]
    asked = None if architecture is None else str(get_space(space).parse(architecture))
    for k in done:
        if rows[k]["role"] == "selected" if asked is None else rows[k]["architecture"] == asked:
            return k
    known = ", ".join(dict.fromkeys(rows[k]["architecture"] for k in done)) or "none"
    what = "a selected architecture" if architecture is None else f"{architecture}"
    raise ValueError(
        f"expected {what} that this run has trained to the end; it has: {known}; to train another "
        f"one: untrained train ARCHITECTURE"
    )
