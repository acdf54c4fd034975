"""The command: parse, call one library function, print."""

import errno
import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Toml
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from untrained.report.stored import report_run
from untrained.report.tracked import spread
from untrained.report.tracked_page import write_tracked
from untrained.runs import Progress, RunConfig, RunFolder, RunRecord, load_record, run
from untrained.runs.moments import MEASURED, Moment
from untrained.runs.record import TrialRecord
from untrained.runs.track_config import TrackConfig, as_plain, track_one
from untrained.runs.tracking import Track
from untrained.scores import Reading
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.tables import TABLES, standings
from untrained.training import Recipe

app = App(
    name="untrained",
    help="""Judge neural networks before, or after very little, training, and find good ones.

Start with `untrained demo`. Then bring your own images, a folder with one subfolder a class:

    untrained search --images my-pictures --train

What was computed is kept in `untrained-runs` and never computed again: a command that was
stopped, even by kill -9, goes on where it was when it is given again.
""",
    version=version("untrained"),
    help_format="markdown",
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    exit_on_error=False,  # `main` says it in one line
    print_error=False,
    suppress_keyboard_interrupt=False,  # so does it this
)

Flags = Annotated[RunConfig, Parameter(name="*")]
TrackFlags = Annotated[TrackConfig, Parameter(name="*")]
Json = Annotated[bool, Parameter(negative="")]

PRINTED = Console()
WORKING = Console(stderr=True)


@app.command
def search(*, config: Flags = RunConfig(), json: Json = False) -> None:
    """Search a space for a good network on your images; with --train, train and export it.

    Parameters
    ----------
    json
        Print one JSON object instead of tables.
    """
    show(carry_out(config), json)


@app.command
def demo(*, out: Path = Path("untrained-runs"), workers: int = RunConfig().workers) -> None:
    """The main job on the bundled digits: search, train, compare, export, report.

    Parameters
    ----------
    out
        Folder of the store and of the run.
    workers
        Worker processes.
    """
    config = RunConfig(
        train=True, channels=16, cells=1, recipe=Recipe(epochs=20), out=out, workers=workers
    )
    show(carry_out(config), False)


@app.command
def score(*architectures: str, config: Flags = RunConfig(), json: Json = False) -> None:
    """Score architectures that you name.

    Parameters
    ----------
    architectures
        Text forms, each in quotes, such as '|nor_conv_3x3~0|+|none~0|none~1|+|...|'.
    json
        Print one JSON object instead of tables.
    """
    show(carry_out(given(config, architectures)), json)


@app.command
def train(architecture: str, *, config: Flags = RunConfig(), json: Json = False) -> None:
    """Train and export one architecture that you name, beside random ones.

    Parameters
    ----------
    architecture
        Text form, in quotes.
    json
        Print one JSON object instead of tables.
    """
    space = get_space(config.space)
    if space.parse(architecture).partial:
        raise ValueError(
            f"expected a discrete architecture to train, got {architecture}, which keeps several "
            f"operations on an edge or more edges than a network has; try untrained score"
        )
    asked = replace(given(config, (architecture,)), draws=1, train=True)
    show(carry_out(replace(asked, scores=("parameters", "macs"), instruments={})), json)


def given(config: RunConfig, architectures: tuple[str, ...]) -> RunConfig:
    """The same question about named architectures."""
    if not architectures:
        raise ValueError("expected the text form of one architecture or more, got none")
    space = get_space(config.space)  # some published forms hold spaces, which separate here
    texts = [str(space.parse(text)) for text in architectures]
    options: dict[str, Setting] = {"architectures": " ".join(texts)}
    return replace(config, searcher="given", options=options)


@app.command
def track(
    architecture: str | None = None, *, config: TrackFlags = TrackConfig(), json: Json = False
) -> None:
    """Follow the tangent kernel of one network through training, on images fixed once.

    Name an architecture of a space, or a network of your own with --network.

    Parameters
    ----------
    architecture
        Text form, in quotes.
    json
        Print one JSON object instead of a table.
    """
    epochs = config.altered_recipe.epochs
    with watching_moments(epochs) as on_moment:
        folder, found = track_one(config, architecture, on_moment)
    write_tracked(
        found,
        folder.report,
        title=f"{config.network or config.space} on {config.images}",
        network=architecture or str(config.network),
        facts=as_plain(config),
        command=f"untrained {shlex.join(sys.argv[1:])}",
    )
    show_track(found, folder, json)


@app.command
def report(folder: Path) -> None:
    """Write the report of a run again, finished or under way.

    Parameters
    ----------
    folder
        The run's folder, as `search` printed it.
    """
    path = report_run(RunFolder(folder.parent, folder.name))
    PRINTED.print(f"Report: [bold]{path}[/]", soft_wrap=True)


def carry_out(config: RunConfig) -> RunFolder:
    """Runs under a progress bar, then writes the report."""
    with watching() as watch:
        folder = run(config, watch)
    report_run(folder)
    return folder


def columns_of_a_bar() -> tuple[ProgressColumn, ...]:
    """What stands in a line of progress; a column serves one display only."""
    return (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


@contextmanager
def watching() -> Iterator[Callable[[Progress], None]]:
    """A bar for each phase, with count, time and time left."""
    with Bars(*columns_of_a_bar(), console=WORKING) as bars:
        shown: dict[str, Any] = {}

        def watch(progress: Progress) -> None:
            if progress.phase not in shown:
                shown[progress.phase] = bars.add_task(progress.phase)
            bars.update(shown[progress.phase], completed=progress.done, total=progress.total)

        yield watch


SHOWN = {
    "alignment": "LGA",
    "correlation_initial": "correlation with the start",
    "change_initial": "change from the start",
    "effective_rank": "effective rank",
    "validation_accuracy": "validation accuracy",
    "network_accuracy": "network, held-out",
    "regression_accuracy": "NTK regression, held-out",
    "advantage_initial": "non-linear advantage",
}
"""What of a moment is printed, and what it is called; all of it is in the report."""


@contextmanager
def watching_moments(epochs: int) -> Iterator[Callable[[Moment], None]]:
    """A bar of epochs with time left, and under it what the last look gave."""
    bars = Bars(*columns_of_a_bar())
    bar = bars.add_task("initialisation", total=epochs)
    with Live(bars, console=WORKING, transient=True) as live:

        def watch(moment: Moment) -> None:
            bars.update(bar, completed=moment.epoch, description=f"epoch {moment.epoch}")
            live.update(Group(bars, table_of((moment,))))

        yield watch


def table_of(moments: Sequence[Moment]) -> Table:
    """One row a quantity, one column a moment."""
    table = Table("", *(f"epoch {moment.epoch}" for moment in moments))
    for name, label in SHOWN.items():
        table.add_row(label, *(number(getattr(moment, name).value) for moment in moments))
    return table


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def show_track(track: Track, folder: RunFolder, as_json: bool) -> None:
    """What a tracking gave, and where its report is."""
    if as_json:
        print(json.dumps(track_as_plain(track, folder)))
        return
    PRINTED.print(table_of([track.moments[k] for k in spread(len(track.moments))]))
    if track.failure:
        PRINTED.print(f"[yellow]The training ended early:[/] {escape(track.failure)}")
    PRINTED.print(f"Report:  [bold]{folder.report}[/]", soft_wrap=True)


def track_as_plain(track: Track, folder: RunFolder) -> dict[str, Any]:
    """A tracking for machines: a quantity without a value is null, with its reason beside it."""
    return {
        "moments": [
            {
                "epoch": moment.epoch,
                "seconds": moment.seconds,
                **{name: getattr(moment, name).value for name in MEASURED},
                "unresolved": {
                    name: getattr(moment, name).unresolved
                    for name in MEASURED
                    if getattr(moment, name).value is None
                },
            }
            for moment in track.moments
        ],
        "failure": track.failure,
        "folder": str(folder.path),
        "report": str(folder.report),
    }


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


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config_file: Annotated[Path | None, Parameter(name="--config")] = None,
) -> None:
    """Reads flags, and those left unsaid from a TOML file.

    Parameters
    ----------
    config_file
        TOML file whose keys are the flags of the command; flags win over it.
    """
    if config_file is not None:
        try:
            tomllib.loads(config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--config: expected a TOML file, got {config_file}: {error}"
            ) from error
        app.config = (Toml(config_file, use_commands_as_keys=False),)
    app(tokens)


def main() -> None:
    """Runs the command. Exit codes: 0 done, 1 could not, 2 wrong use, 130 interrupted."""
    app.config = ()
    app.meta.suppress_keyboard_interrupt = False  # it inherits all settings but this one
    try:
        app.meta(sys.argv[1:])
    except KeyboardInterrupt:
        again = f"untrained {shlex.join(sys.argv[1:])}"
        fail(f"Interrupted; everything computed so far is kept. To resume: {again}", 130)
    except (BrokenProcessPool, MemoryError):
        fail("Memory ran out, or a worker process was killed; everything computed so far is kept. "
             "Try again with fewer --workers.", 1)  # fmt: skip
    except (ValueError, CycloptsError) as error:
        fail(str(error), 2)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            fail("The disk is full; everything computed so far is kept. Free some space and give "
                 "the same command again: it resumes.", 1)  # fmt: skip
        fail(str(error), 1)


def fail(message: str, code: int) -> None:
    """Says what went wrong in one line and ends; UNTRAINED_TRACEBACK=1 shows where."""
    if os.environ.get("UNTRAINED_TRACEBACK"):
        raise
    WORKING.print(f"[red]untrained:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(code)
