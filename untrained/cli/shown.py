"""What a run found, for people and for machines."""

import json
from statistics import fmean, stdev
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from untrained.runs import RunFolder, RunRecord, load_record
from untrained.runs.record import TrialRecord
from untrained.scores import Reading
from untrained.tables import TABLES, standings

PRINTED = Console()


def show(folder: RunFolder, as_json: bool) -> None:
    """What a run found, and where its report is."""
    record = load_record(folder.store, folder.name)
    if as_json:
        print(json.dumps(plain(record, folder)))
        return
    if record.searcher == "given":
        show_scores(record)
    elif record.pick is None:
        PRINTED.print("[yellow]No architecture could be scored; the report says why.[/]")
    else:
        tried = f"best of {len(record.trials)} measured by {record.searcher} search"
        seconds = record.wall_seconds.get("search", 0)
        PRINTED.print(f"\nPick ({tried}, {seconds:.0f} s):")
        PRINTED.print(record.pick, style="bold", soft_wrap=True, markup=False, highlight=False)
    show_standings(record)
    show_trainings(record)
    if folder.network.exists():
        PRINTED.print(f"Network: [bold]{folder.network}[/]", soft_wrap=True)
    PRINTED.print(f"Report:  [bold]{folder.report}[/]", soft_wrap=True)
    for name in record.beside:
        beside = RunFolder(folder.out, name)
        if beside.path.exists():
            PRINTED.print(f"Also of this search: {escape(str(beside.path))}", soft_wrap=True)


def show_scores(record: RunRecord) -> None:
    """One row an architecture, one column a score: mean and standard error over draws."""
    table = Table("architecture", *record.directions, caption="mean ± standard error over draws")
    for trial in record.trials:
        cells = [estimate(trial.readings[name]) for name in record.directions]
        table.add_row(trial.architecture, *cells)
    PRINTED.print(table)


def estimate(readings: tuple[Reading, ...]) -> str:
    """`12.3 ± 0.4`; without ± for one draw, and the reason where no draw gave a value."""
    values = [reading.value for reading in readings if reading.value is not None]
    if not values:
        return f"not resolved: {readings[0].reason}"
    mean = f"{fmean(values):,.5g}"
    if len(values) == 1 or stdev(values) == 0:
        return mean
    return f"{mean} ± {stdev(values) / len(values) ** 0.5:,.2g}"


def show_standings(record: RunRecord) -> None:
    """What the pick is worth by a benchmark table, where one is at hand and holds it."""
    rows = standings(record.space, record.pick) if record.pick else ()
    if not rows:
        if record.pick and record.space in TABLES and TABLES[record.space].whole:
            PRINTED.print(
                "What is the pick worth? Set UNTRAINED_DATA to a folder that holds "
                f"tables/{TABLES[record.space].file}, to be told.",
                style="dim",
            )
        return
    table = Table("data", "accuracy", "best", "rank", "beats", "population")
    for row in rows:
        table.add_row(
            row.data,
            f"{row.accuracy:.2%}",
            f"{row.best:.2%}",
            f"{row.rank:,}",
            f"{row.percentile:.2f} %",
            f"{row.population} ({row.size:,})",
        )
    table.title = f"The pick in the benchmark's table ({TABLES[record.space].title})"
    PRINTED.print(table)


def show_trainings(record: RunRecord) -> None:
    """The pick beside the random architectures, trained with the same recipe."""
    if not record.trainings:
        return
    table = Table("network", "test accuracy", "parameters", "architecture")
    for training in record.trainings:
        accuracy = training.test_accuracy
        table.add_row(
            training.role,
            training.failure or ("" if accuracy is None else f"{accuracy:.2%}"),
            f"{training.parameters:,}",
            training.architecture,
            style="bold" if training.role == "pick" else "",
        )
    PRINTED.print(table)


def plain(record: RunRecord, folder: RunFolder) -> dict[str, Any]:
    """A run for machines."""
    return {
        "run": record.name,
        "pick": record.pick,
        "trials": [trial_as_plain(trial) for trial in record.trials],
        "trained": [
            {
                "role": training.role,
                "architecture": training.architecture,
                "test_accuracy": training.test_accuracy,
                "parameters": training.parameters,
                "macs": training.macs,
                "failure": training.failure,
            }
            for training in record.trainings
        ],
        "seconds": dict(record.wall_seconds),
        "report": str(folder.report),
    }


def trial_as_plain(trial: TrialRecord) -> dict[str, Any]:
    """A trial for machines: a failed reading is null, and its reason stands under `failures`."""
    return {
        "architecture": trial.architecture,
        "note": trial.note,
        "scores": {name: [r.value for r in readings] for name, readings in trial.readings.items()},
        "failures": {
            name: sorted({r.reason for r in readings if r.value is None})
            for name, readings in trial.readings.items()
            if any(r.value is None for r in readings)
        },
    }
