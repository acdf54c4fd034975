"""A sweep: begun or continued, asked how far it is, and read."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from untrained.files import write_whole
from untrained.outside import without_password
from untrained.runs.config_file import as_toml
from untrained.runs.driver import opened
from untrained.runs.manifest import manifest
from untrained.runs.session import OnProgress, ignore
from untrained.runs.sweep_config import SweepConfig, check_name
from untrained.runs.sweeping import sweep as measure_all
from untrained.storage.folder import RunFolder
from untrained.storage.merging import copy_run
from untrained.storage.ranges import RANGE, Ranges
from untrained.storage.store import Store

CONFIG = "sweep.toml"
"The file of a sweep's folder that reproduces it."


class Failure(NamedTuple):
    """Why a score failed, and how often."""

    score: str
    reason: str
    times: int


@dataclass(frozen=True)
class SweepState:
    """How far a sweep is."""

    name: str
    manifest: dict[str, Any]
    "What is measured: architectures, images, scores and their settings, draws and seed."
    done: int
    "Architectures, all scores and draws of them."
    total: int
    drivers: int
    "At work on it now, on whatever machine."
    rate: float | None
    "Architectures a second of all of them; None where nobody is at work."
    failures: tuple[Failure, ...]
    "Of the measurements that it made, most often first; those made by other runs are theirs."

    @property
    def seconds_left(self) -> float | None:
        """At that rate."""
        return None if not self.rate else (self.total - self.done) / self.rate


def sweep(name: str, config: SweepConfig, on_progress: OnProgress = ignore) -> SweepState:
    """Measures scores on many architectures, as a job that any number of drivers share.

    A driver is this call, in whatever process, on whatever machine that reaches the store. Killed
    at any moment, and called again, it resumes. Numbers are those of one process.

    Args:
        name: of the sweep, by which drivers find each other.
        config: everything that is asked.
        on_progress: called as work proceeds.

    Raises:
        ValueError: a configuration, image set or plug-in that makes no sense; or another one than
            the sweep of this name was begun with.
        OSError: files that are missing or cannot be written.
    """
    check_name(name)
    config = config.check()
    with opened(config.run_config(), on_progress, name=name) as session:
        whole = as_toml(replace(config, shard=None), "sweep", name)
        write_whole(session.folder.path / CONFIG, whole.encode())
        measure_all(session, config.part)
        _note_end(session.store, name)
    return sweep_state(session.folder)


def sweep_state(folder: RunFolder) -> SweepState:
    """How far the sweep of this folder is.

    Raises:
        ValueError: no such store, or no such sweep in it.
        OSError: it cannot be read.
    """
    with _reading(folder) as (store, row):
        ranges = Ranges(store, row["id"])
        done, at_work = ranges.trials(), ranges.drivers(folder.name)
        count, seconds = ranges.seconds()
        lately = min(count * RANGE, done)
        return SweepState(
            name=folder.name,
            manifest=manifest(row),
            done=done,
            total=row["config"]["population"]["count"],
            drivers=at_work,
            rate=at_work * lately / seconds if at_work and seconds else None,
            failures=alike(ranges.failures()),
        )


_CHOICES = re.compile(r"\w+=[^\s,:]+(?: \w+=[^\s,:]+)+")
"Of a function space, as in `width=24 depth=2`."


def alike(failures: Iterable[tuple[str, str, int]]) -> tuple[Failure, ...]:
    """Counts together what differs in the architecture alone, most often first.

    Example:
        >>> alike([("a", "at width=8 depth=1: no", 2), ("a", "at width=8 depth=3: no", 1)])
        (Failure(score='a', reason='at ...: no', times=3),)
    """
    often = Counter[tuple[str, str]]()
    for score, reason, times in failures:
        often[score, _CHOICES.sub("...", reason)] += times
    return tuple(Failure(*each, times) for each, times in often.most_common())


def sweep_values(folder: RunFolder) -> Iterator[dict[str, str | int | float | None]]:
    """`architecture`, `draw` and the value of each score, draw by draw, as far as it is.

    In the order of the architectures; no more than a range of them is in memory. A score that
    failed has None.

    Raises:
        ValueError, OSError: as `sweep_state`.
    """
    with _reading(folder) as (store, row):
        ranges = Ranges(store, row["id"])
        for number in sorted(ranges.kept()):
            yield from ranges.values(number)


def merge_sweeps(folder: RunFolder, stores: Sequence[str]) -> SweepState:
    """Copies what these stores hold of the sweep of this name into the folder's store.

    Args:
        folder: the sweep's.
        stores: files or URLs, as of `--store`.

    Raises:
        ValueError: no such store, no such sweep in it, or another of this name.
        OSError: one cannot be read or written.
    """
    folder.out.mkdir(parents=True, exist_ok=True)
    with Store.open(folder.address) as target:
        for each in stores:
            with _reading(RunFolder(Path(), folder.name, each)) as (source, row):
                copy_run(source, target, row)
        _note_end(target, folder.name)
    return sweep_state(folder)


def _note_end(store: Store, name: str) -> None:
    """Notes that the sweep has ended, if it has."""
    row = store.run(name)
    if Ranges(store, row["id"]).trials() == row["config"]["population"]["count"]:
        store.set_selected(row["id"], None)


@contextmanager
def _reading(folder: RunFolder) -> Iterator[tuple[Store, dict[str, Any]]]:
    """Its store, to be read, and the sweep's row in it."""
    with Store.reading(folder.address) as store:
        names = store.run_names()
        row = store.run(folder.name) if folder.name in names else None
        if row is None or "population" not in row["config"]:
            where = without_password(str(folder.address))
            raise ValueError(
                f"no sweep {folder.name!r} in {where}: expected a name that untrained sweep was "
                f"given; give the same --out and --store"
            )
        yield store, row
