"""Removing a run: its folder, and what of its numbers no other run needs."""

import shutil
from pathlib import Path

from untrained.locations import Location
from untrained.runs.identity import calibration_of
from untrained.storage.folder import RunFolder
from untrained.storage.removal import Removal, Removed
from untrained.storage.store import Store


def remove_run(folder: RunFolder, *, measurements: bool = False) -> Removed:
    """Removes a run that no process is at work on.

    Measurements stay unless they are asked for: another run need not make them again. Checkpoints
    go with the trainings that no run names any more.

    Args:
        folder: the run's.
        measurements: whether those go that no other run needs.

    Raises:
        ValueError: a folder under a URL.
        OSError: the run is in use, or cannot be removed.
    """
    if not isinstance(folder.path, Path):
        raise ValueError(
            f"expected a run in a folder of this machine, got {folder.path}; remove the files by "
            f"the tools of its protocol"
        )
    with Store.open(folder.address) as store:
        if store.claims.driving(folder.name):
            raise OSError(f"the run {folder.path} is in use: stop its command first")
        with folder.held():
            row = store.run(folder.name)
            beside = [calibration_of(row["search"] or row["id"])]
            removed = Removal(store, folder.name)(beside, measured=measurements)
            for key in removed.trainings:
                _forget(folder.checkpoint(key))
            shutil.rmtree(folder.path)
    return removed


def _forget(checkpoint: Location) -> None:
    checkpoint.unlink(missing_ok=True)
