"""What is done with runs that are there, and how it is shown."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from untrained.cli.columns import Column, directed, show_table
from untrained.cli.compared import plain_comparison, show_comparison
from untrained.cli.progress import watching
from untrained.cli.shown import plain, show_record
from untrained.cli.terminal import say, tell
from untrained.locations import Location
from untrained.pages.units import memory, percent
from untrained.runs.exporting import export_run
from untrained.runs.listing import RunSummary, bytes_of, find_run, runs_of
from untrained.runs.reached import reached_by
from untrained.runs.record import record_of
from untrained.runs.removing import remove_run

DAMAGED = "damaged"
STYLES = {
    "searching": "green",
    "training": "green",
    "interrupted": "yellow",
    "ended": "",
    DAMAGED: "red",
}
"Of a run in each state."


def list_runs(out: Location, store: str | None, as_json: bool) -> None:
    """One row a run."""
    found = runs_of(out, store)
    if as_json:
        print(json.dumps([_plain(run, out) for run in found]))
        return
    if not found:
        tell(f"There is no run in {out}.")
        return
    sizes = [bytes_of(out / run.name) for run in found]
    show_table(
        "run",
        [run.name for run in found],
        [
            Column("state", [_state(run) for run in found], justify="left"),
            Column("started", [_when(run.started) if run.reached else "-" for run in found]),
            Column("trials", [f"{r.reached.tried:,}" if r.reached else "-" for r in found]),
            Column(directed("test accuracy", 1), [_accuracy(run) for run in found]),
            Column("size", ["-" if size is None else memory(size) for size in sizes]),
            Column("space", [run.space for run in found], justify="left"),
            Column("searcher", [run.searcher for run in found], justify="left"),
            Column("images", [run.images for run in found], justify="left"),
        ],
        styles={k: STYLES[_state(run)] for k, run in enumerate(found)},
    )
    for run in found:
        if run.problem:
            say(f"{run.name}: {run.problem}", style="yellow")


def _plain(run: RunSummary, out: Location) -> dict[str, Any]:
    """A run for machines."""
    if run.reached is None:
        return {"name": run.name, "state": DAMAGED, "problem": run.problem}
    return {
        "name": run.name,
        "space": run.space,
        "searcher": run.searcher,
        "images": run.images,
        "trials": run.reached.tried,
        "selected": run.selected,
        "test_accuracy": run.test_accuracy,
        "state": run.reached.state,
        "started": run.started,
        "bytes": bytes_of(out / run.name),
        "folder": str(out / run.name),
    }


def _state(run: RunSummary) -> str:
    return run.reached.state if run.reached else DAMAGED


def _when(started: float) -> str:
    return datetime.fromtimestamp(started).strftime("%Y-%m-%d %H:%M")


def _accuracy(run: RunSummary) -> str:
    return "-" if run.test_accuracy is None else percent(run.test_accuracy, 2)


def show_run(run: str, out: Location, store: str | None, as_json: bool) -> None:
    """What a run has found by now."""
    folder = find_run(run, out, store)
    record = record_of(folder)
    state = reached_by(record).state
    if as_json:
        print(json.dumps({"state": state, **plain(record, folder)}))
        return
    say(f"{state}, started {_when(record.started)}", label=f"{record.name}:", style="bold")
    show_record(record, folder)


def compare_runs(runs: Sequence[str], out: Location, store: str | None, as_json: bool) -> None:
    """Runs side by side."""
    folders = [find_run(run, out, store) for run in runs]
    if len({folder.path for folder in folders}) < 2:
        raise ValueError(f"expected two runs or more to compare, got {len(folders)}")
    records = [record_of(folder) for folder in folders]
    if as_json:
        print(json.dumps(plain_comparison(records)))
    else:
        show_comparison(records)


def remove(
    run: str, out: Location, store: str | None, *, yes: bool, measurements: bool, as_json: bool
) -> None:
    """Removes a run, once somebody has agreed."""
    folder = find_run(run, out, store)
    if not (yes or _agrees(f"Remove {folder.path} and its trials? [y/N] ")):
        raise ValueError(f"expected --yes to remove {folder.path}; nothing was removed")
    removed = remove_run(folder, measurements=measurements)
    if as_json:
        counts = {"trials": removed.trials, "measurements": removed.measurements}
        print(json.dumps({"run": folder.name, **counts, "trainings": len(removed.trainings)}))
        return
    gone = removed.trials, removed.measurements, len(removed.trainings)
    words = "{:,} trials, {:,} measurements, {:,} trainings".format(*gone)
    say(f"removed {folder.name}: {words}")


def _agrees(question: str) -> bool:
    """Whether somebody at a terminal says yes."""
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def export(
    run: str,
    architecture: str | None,
    to: Path | None,
    out: Location,
    store: str | None,
    as_json: bool,
) -> None:
    """Exports a network that a run has trained."""
    folder = find_run(run, out, store)
    with watching() as watch:
        target = export_run(folder, architecture, to, watch)
    if as_json:
        print(json.dumps({"run": folder.name, "network": str(target)}))
    else:
        say(target, label="Network:", style="bold")
