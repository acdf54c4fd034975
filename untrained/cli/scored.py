"""Architectures with their scores, the best first."""

from collections.abc import Sequence

from untrained.cli.columns import BEST, Column, directed, show_table
from untrained.cli.terminal import say, tell
from untrained.pages.measured import estimated, latest, pooled
from untrained.pages.units import counted, significant, uncertain
from untrained.runs import RunRecord
from untrained.runs.ordering import best_first
from untrained.scores import Reading
from untrained.storage import TrialRecord

MOST_SCORED, MOST_BEST = 50, 5
"Rows that are printed of architectures that were named, and of those that were searched."


def show_scores(record: RunRecord) -> None:
    """One row an architecture, one column a score: mean and standard error over draws."""
    trials, sound = best_first(pooled(record.trials, _architecture), record.directions)
    _show_trials(record, trials[:MOST_SCORED], best=sound > 0 and len(trials) > 1)
    if len(trials) > MOST_SCORED:
        say(f"and {len(trials) - MOST_SCORED:,} more; --json lists all.", style="dim")
    order = "Best first, by the sum of ranks. " if len(trials) > 1 else ""
    tell(f"{order}{READING_SCORES}", style="dim")


READING_SCORES = "↑ higher is better, ↓ lower; ± standard error over draws."


def show_best(record: RunRecord) -> None:
    """The selected architecture's scores beside those of the next best."""
    measured = pooled(latest(record.trials), _architecture)
    chosen = [trial for trial in measured if trial.architecture == record.selected]
    is_pruning = any(trial.role == "parent" for trial in record.trials)
    longest = max((trial.epochs or 0 for trial in measured), default=0)
    rivals = [t for t in measured if t not in chosen and (t.epochs or 0) == longest]
    ordered, sound = best_first(rivals, record.directions)
    others = [] if is_pruning else ordered[: min(sound, MOST_BEST - 1)]
    if chosen:
        _show_trials(record, [*chosen, *others], best=bool(others))
        next_best = f"The selected one and the next best of {len(measured):,}. " * bool(others)
        tell(f"{next_best}{READING_SCORES}", style="dim")


def _show_trials(record: RunRecord, trials: Sequence[TrialRecord], *, best: bool) -> None:
    """One row a trial, the first of which is the best."""
    columns = [
        Column(
            directed(name, direction),
            [shortly(trial.readings.get(name, ()), name in record.counts) for trial in trials],
        )
        for name, direction in record.directions.items()
    ]
    names = [trial.architecture for trial in trials]
    marks = [BEST, *" " * (len(trials) - 1)] if best else ()
    show_table("architecture", names, columns, marks=marks, styles={0: "bold"} if best else None)


def _architecture(trial: TrialRecord) -> str:
    return trial.architecture


def shortly(readings: tuple[Reading, ...], is_count: bool) -> str:
    """`12.3 ± 0.4`; without ± for one draw, and of how many draws where some failed."""
    found = estimated(readings, is_count=is_count)
    if not found.draws:
        return "failed"
    if is_count:
        text = counted(found.value, found.standard_error)
    elif found.standard_error:
        text = uncertain(found.value, found.standard_error)
    else:
        text = significant(found.value, 5)
    some = f" ({found.draws} of {len(readings)} draws)" if found.draws < len(readings) else ""
    return f"{text}{some}"
