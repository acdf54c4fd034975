"""What a run found, for people and for machines."""

import json
import sys
from dataclasses import asdict
from typing import Any

from rich.table import Column, Table

from untrained import tables
from untrained.cli.calibrated import show_calibrated
from untrained.cli.terminal import PRINTED, say
from untrained.files import whole_files
from untrained.outside import visible
from untrained.pages.budgeted import budgeted_in_words
from untrained.pages.compared import Compared, compared
from untrained.pages.headline import headline, image_facts
from untrained.pages.limited import limited_in_words
from untrained.pages.measured import any_scored, estimated, failures
from untrained.pages.shrunk import discarded_in_words
from untrained.pages.units import counted
from untrained.runs import RunRecord
from untrained.runs.config_file import CONFIG
from untrained.runs.record import record_of
from untrained.scores import Reading
from untrained.storage import RunFolder, TrialRecord


def show(folder: RunFolder, as_json: bool) -> None:
    """What a run found, and where its report is; exit code 1 where that is nothing."""
    record = record_of(folder)
    if as_json:
        print(json.dumps(plain(record, folder)))
    else:
        show_found(record)
        show_failures(record)
        show_standings(record)
        show_trainings(record)
        if record.budgeted is not None:
            say(budgeted_in_words(record.budgeted, record.wall_seconds, record.trainings))
        if whole_files(folder.network):
            say(folder.network, label="Network:", style="bold")
        say(folder.report, label="Report: ", style="bold")
        show_beside(record, folder)
    if found_nothing(record):
        sys.exit(1)


def show_beside(record: RunRecord, folder: RunFolder) -> None:
    """The folders of other runs of the same search, which keep what they trained."""
    for other in (RunFolder(folder.out, name) for name in record.beside):
        if (other.path / CONFIG).exists():
            say(other.path, label="Another run of this search:")


def found_nothing(record: RunRecord) -> bool:
    """Whether a search selected no architecture, or no score that was asked for has a value."""
    return not any_scored(record) if record.searcher == "given" else record.selected is None


def show_found(record: RunRecord) -> None:
    """The scores that were asked for, or what the search selected."""
    if not any_scored(record):
        say("No architecture could be scored.", style="yellow")
    elif record.searcher == "given":
        show_scores(record)
    elif record.selected is None:
        say("The search ended without selecting an architecture.", style="yellow")
    else:
        tried = f"best of {len(record.trials)} measured by {visible(record.searcher)} search"
        seconds = record.wall_seconds.get("search", 0)
        if record.limited is not None:
            say(limited_in_words(record.limited))
        if record.shrunk is not None:
            say(discarded_in_words(record.shrunk))
        if record.calibrated is not None:
            show_calibrated(record.calibrated)
        PRINTED.print(f"\nSelected architecture ({tried}, {seconds:.0f} s):")
        say(record.selected, style="bold")


def show_scores(record: RunRecord) -> None:
    """One row an architecture, one column a score: mean and standard error over draws."""
    names = map(visible, record.directions)
    table = Table(_texts(), *names, caption="mean ± standard error over draws")
    for trial in record.trials:
        cells = [
            shortly(trial.readings[name], name in record.counts) for name in record.directions
        ]
        table.add_row(visible(trial.architecture), *cells)
    PRINTED.print(table)


def _texts() -> Column:
    """A column of architectures, which a narrow terminal breaks and does not cut."""
    return Column("architecture", overflow="fold")


def shortly(readings: tuple[Reading, ...], is_count: bool) -> str:
    """`12.3 ± 0.4`; without ± for one draw, and of how many draws where some failed."""
    found = estimated(readings, is_count=is_count)
    if not found.draws:
        return "failed"
    if is_count:
        text = counted(found.value, found.standard_error)
    else:
        error = f" ± {found.standard_error:,.2g}" if found.standard_error else ""
        text = f"{found.value:,.5g}{error}"
    some = f" ({found.draws} of {len(readings)} draws)" if found.draws < len(readings) else ""
    return f"{text}{some}"


REASONS, NAMED = 8, 3
"Reasons that are shown, and architectures that are named beside one."


def show_failures(record: RunRecord) -> None:
    """Why readings failed, the most frequent reason first; how many, where a search selected."""
    found = failures(record)
    count = sum(failure.count for failure in found)
    if not found:
        return
    if record.selected is not None and record.searcher != "given":
        say(f"{count:,} readings failed; the report says why.", style="dim")
        return
    say(f"{count:,} readings failed:", style="yellow")
    for failure in found[:REASONS]:
        reason = f"{failure.score}: {failure.reason or 'no reason given'}"
        say(reason, label=f"{failure.count:>6,} x")
        at = failure.architectures
        where = ", ".join(at) if len(at) <= NAMED else f"{len(at):,} architectures"
        say(where, label="       of", style="dim")
    if len(found) > REASONS:
        say(f"and {len(found) - REASONS:,} other reasons; --json lists all.", style="dim")


def show_standings(record: RunRecord) -> None:
    """Where the selected architecture ranks in a benchmark table, if one holds it."""
    rows = tables.standings(record.space, record.selected) if record.selected else ()
    if not rows:
        kind = tables.TABLES.get(record.space)
        if record.selected and kind and not tables.at_hand(kind.file):
            PRINTED.print(
                f"To see how it ranks in a benchmark's table, bring tables/{kind.file} into the "
                f"data folder: untrained data says how.",
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
    which = "selected architecture" if len(record.trials) > 1 else "architecture"
    table.title = f"The {which} in the benchmark's table ({tables.TABLES[record.space].title})"
    PRINTED.print(table)


def show_trainings(record: RunRecord) -> None:
    """The selected architecture beside the others, trained with the same recipe; the verdict."""
    if not record.trainings:
        return
    table = Table("network", "test accuracy", "parameters", _texts())
    for network in compared(record):
        table.add_row(
            visible(network.role),
            visible(network.reason) or accuracy_of(network),
            f"{network.parameters:,}",
            visible(network.architecture),
            style="bold" if network.role == "selected" else "",
        )
    PRINTED.print(table)
    found = headline(record, image_facts(record.images).test)
    if found.selected_accuracy is not None and len(compared(record)) > 1:
        say(found.verdict, style="bold")
        for sentence in found.references:
            say(sentence, style="bold")
        if found.caution:
            say(found.caution, style="dim")


def accuracy_of(network: Compared) -> str:
    """`93.12%`; of several trainings the mean, `93.12% ± 0.20 (3 trainings)`."""
    if network.accuracy is None:
        return ""
    if len(network.accuracies) == 1:
        return f"{network.accuracy:.2%}"
    error = f"{100 * network.between_trainings:.2f}"
    return f"{network.accuracy:.2%} ± {error} ({len(network.accuracies)} trainings)"


def plain(record: RunRecord, folder: RunFolder) -> dict[str, Any]:
    """A run for machines."""
    found = headline(record, image_facts(record.images).test)
    return {
        "run": record.name,
        "selected": record.selected,
        "shrunk": record.shrunk and asdict(record.shrunk),
        "limited": record.limited and asdict(record.limited),
        "budgeted": record.budgeted and asdict(record.budgeted),
        "calibrated": record.calibrated and asdict(record.calibrated),
        "trials": [trial_as_plain(trial, record) for trial in record.trials],
        "failures": [asdict(failure) for failure in failures(record)],
        "trained": [
            {
                "role": training.role,
                "architecture": training.architecture,
                "test_accuracy": training.test_accuracy,
                "parameters": training.parameters,
                "macs": training.macs,
                "reason": training.reason,
            }
            for training in record.trainings
        ],
        "verdict": [found.verdict, *found.references] if record.trainings else [],
        "seconds": dict(record.wall_seconds),
        "report": str(folder.report),
    }


def trial_as_plain(trial: TrialRecord, record: RunRecord) -> dict[str, Any]:
    """A trial for machines: a failed reading is null, and its reason stands under `failures`."""
    kinds = {name: int if name in record.counts else float for name in trial.readings}
    return {
        "architecture": trial.architecture,
        "note": trial.note,
        "role": trial.role,
        "scores": {
            name: [None if r.value is None else kinds[name](r.value) for r in readings]
            for name, readings in trial.readings.items()
        },
        "failures": {
            name: sorted({r.reason for r in readings if r.value is None})
            for name, readings in trial.readings.items()
            if any(r.value is None for r in readings)
        },
    }
