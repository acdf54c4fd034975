"""How far a sweep is, for people and for machines; and its numbers as CSV."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from untrained.cli.terminal import say
from untrained.pages.units import duration
from untrained.runs.sweeps import SweepState

REASONS = 8
"Of failures that are shown; `--json` has all."


def show_sweep(state: SweepState, as_json: bool) -> None:
    """A line for each thing that is known."""
    if as_json:
        failures = [failure._asdict() for failure in state.failures]
        more = {"seconds_left": state.seconds_left, "failures": failures}
        print(json.dumps(asdict(state) | more))
        return
    asked = state.manifest
    measured = asked["architectures"]
    scores, draws = ", ".join(asked["scores"]), asked["draws"]
    say(f"{state.done:,} of {state.total:,} architectures", label=f"{state.name}:", style="bold")
    say(f"{measured['named']} of {asked['space']} ({measured['digest']})", label="Measured:")
    say(f"{scores}; draws {draws}, seed {asked['seed']}", label="Scores:")
    say(f"{asked['images']['name']} ({asked['images']['fingerprint']})", label="Images:")
    if state.done < state.total:
        say(_pace(state), label="At work:")
    for failure in state.failures[:REASONS]:
        say(f"{failure.times:,} x {failure.score}: {failure.reason}", label="Failed:")


def _pace(state: SweepState) -> str:
    drivers = f"{state.drivers:,} driver{'s' if state.drivers != 1 else ''}"
    if not state.rate or state.seconds_left is None:
        return drivers if state.drivers else "nobody; give the sweep's command again to continue"
    rate = f"{state.rate:,.0f}" if state.rate >= 10 else f"{state.rate:.2g}"
    return f"{drivers}, {rate} architectures/s, {duration(state.seconds_left)} left"


def write_values(rows: Iterable[Mapping[str, object]], file: Path) -> int:
    """Writes a line for each, as they come; how many.

    Raises:
        ValueError: the file is there, or nothing to write.
        OSError: it cannot be written.
    """
    each = iter(rows)
    first = next(each, None)
    if first is None:
        raise ValueError("expected a sweep with a range that is measured, got none yet")
    count = 0
    try:
        with file.open("x", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, [*first], lineterminator="\n")
            writer.writeheader()
            for row in chain((first,), each):
                writer.writerow(row)
                count += 1
    except FileExistsError as error:
        raise ValueError(f"expected a file that is not there, got {file}") from error
    return count
