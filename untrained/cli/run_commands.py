"""The commands about runs that are there: list, show, compare, remove, export."""

from pathlib import Path
from types import ModuleType

from untrained.cli.commands import Switch, load
from untrained.locations import Location
from untrained.runs.config import MachineConfig


def runs_list(
    *, out: Location = MachineConfig.out, store: str | None = None, json: Switch = False
) -> None:
    """List the runs of a folder or a store, the latest first.

    Args:
        out: The folder of the runs.
        store: Their store, if they were given one.
        json: Print one JSON list instead of a table.
    """
    actions().list_runs(out, store, json)


def runs_show(
    run: str,
    *,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Show what a run has found, finished or still running, as its command does at its end.

    Args:
        run: Its name, a part of it that no other has, or its folder.
        out: The folder of the runs.
        store: Their store, if they were given one.
        json: Print one JSON object instead of tables.
    """
    actions().show_run(run, out, store, json)


def runs_compare(
    *runs: str,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Compare runs: what each selected, its scores and accuracy, and what it cost.

    Args:
        runs: Two or more, each as `show` takes it.
        out: The folder of the runs.
        store: Their store, if they were given one.
        json: Print one JSON object instead of tables.
    """
    actions().compare_runs(runs, out, store, json)


def runs_rm(
    run: str,
    *,
    yes: Switch = False,
    measurements: Switch = False,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Remove a run: its folder, its trials, and the trainings that no other run needs.

    Measurements stay, so that no later run needs to make them again.

    Args:
        run: As `show` takes it. One that a command is at work on is not removed.
        yes: Do not ask.
        measurements: Remove the measurements too that no other run needs.
        out: The folder of the runs.
        store: Their store, if they were given one.
        json: Print one JSON object instead of a line.
    """
    actions().remove(run, out, store, yes=yes, measurements=measurements, as_json=json)


def export(
    run: str,
    *,
    architecture: str | None = None,
    to: Path | None = None,
    out: Location = MachineConfig.out,
    store: str | None = None,
    json: Switch = False,
) -> None:
    """Export the network that a run selected and trained once more, or another that it trained.

    Args:
        run: Its name, a part of it that no other has, or its folder.
        architecture: One that the run has trained, in quotes; by default the selected one.
        to: The folder to write; by default `network` in the run's folder.
        out: The folder of the runs.
        store: Their store, if they were given one.
        json: Print one JSON object instead of a line.
    """
    actions().export(run, architecture, to, out, store, json)


def actions() -> ModuleType:
    """What they do."""
    return load("untrained.cli.run_actions")
