"""Copying a run that is measured range by range from one store into another."""

from collections.abc import Mapping
from typing import Any

from untrained.outside import without_password
from untrained.storage.ranges import Ranges
from untrained.storage.store import Store


def copy_run(source: Store, target: Store, row: Mapping[str, Any]) -> None:
    """Copies the ranges that the target lacks, with their measurements.

    Args:
        source: where the run is.
        target: where it may be.
        row: the run's in the source.

    Raises:
        ValueError: the target has another run of this name.
    """
    name, run = row["name"], row["id"]
    if name not in target.run_names():
        noted = {key: row[key] for key in row if key not in ("id", "started", "ended")}
        target.begin_run(run, noted)
    elif target.run(name)["id"] != run:
        stores = (without_password(str(store.where)) for store in (source, target))
        raise ValueError(
            "expected one sweep {} in both stores, got one in {} that was begun with other "
            "architectures, scores, images or code than that in {}".format(name, *stores)
        )
    theirs, ours = Ranges(source, run), Ranges(target, run)
    for number in sorted(theirs.kept() - ours.kept()):
        ours.add(*theirs.content(number))
