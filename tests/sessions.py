"""What a person sees of results, at several widths and piped, as text.

    PYTHONPATH=.:tests python tests/sessions.py

writes the files that `test_sessions.py` compares, after a change that was meant. What is shown
are records made by hand, so that no number depends on a machine.
"""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from test_report import EMPTY, realistic_run

from untrained.cli.compared import show_comparison
from untrained.cli.shown import show_found, show_trainings
from untrained.cli.terminal import PIPED_WIDTH, PRINTED
from untrained.runs import RunRecord
from untrained.scores import Reading
from untrained.spaces import get_space
from untrained.storage import TrialRecord

FOLDER = Path(__file__).parent / "sessions"
WIDTHS = {"60": 60, "80": 80, "140": 140, "piped": PIPED_WIDTH}

SCORES = {"parameters": 1, "macs": 1, "naswot": 1, "condition_number": -1, "synflow": 1}


def given() -> RunRecord:
    """Five scores of six architectures, one of which failed once."""
    rng, space = random.Random(0), get_space("nasbench201")
    trials = []
    for number in range(6):
        size = rng.randrange(70_000, 1_600_000)
        columns: dict[str, list[float]] = {
            "parameters": [size] * 3,
            "macs": [143 * size] * 3,
            "naswot": [rng.gauss(1000, 3) for _ in range(3)],
            "condition_number": [rng.lognormvariate(4, 0.4) for _ in range(3)],
            "synflow": [rng.lognormvariate(60, 0.2) for _ in range(3)],
        }
        readings = {
            name: tuple(Reading(float(value)) for value in column)
            for name, column in columns.items()
        }
        if number == 2:
            failed = Reading(None, "the kernel is singular"), *readings["condition_number"][1:]
            readings["condition_number"] = failed
        architecture = str(space.sample(rng))
        trials.append(TrialRecord(number, 0, architecture, "given", readings, (0, 1, 2)))
    counts = frozenset(("parameters", "macs"))
    return replace(EMPTY, searcher="given", directions=SCORES, trials=tuple(trials), counts=counts)


def session(width: int) -> str:
    """Scores of named architectures, a search with trainings, two runs compared."""
    runs = [
        _with_parents(replace(realistic_run(k), name=f"digits-te-nas-seed{k}")) for k in (0, 1)
    ]
    with printed(width) as written:
        PRINTED.print("$ untrained score ...")
        show_found(given())
        PRINTED.print("\n$ untrained search --train")
        show_found(runs[0])
        show_trainings(runs[0])
        PRINTED.print("\n$ untrained runs compare ...")
        show_comparison(runs)
    return "\n".join(line.rstrip() for line in written.getvalue().split("\n"))


def _with_parents(run: RunRecord) -> RunRecord:
    """A pruning search says which of its trials are parents."""
    trials = (replace(t, role="parent") if t.note == "parent" else t for t in run.trials)
    return replace(run, trials=tuple(trials))


@contextmanager
def printed(width: int) -> Iterator[io.StringIO]:
    """What is printed meanwhile, on a terminal so wide."""
    before, written = (PRINTED._file, PRINTED._width), io.StringIO()
    PRINTED._file, PRINTED._width = written, width
    try:
        yield written
    finally:
        PRINTED._file, PRINTED._width = before


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, columns in WIDTHS.items():
        (FOLDER / f"{name}.txt").write_text(session(columns), encoding="utf-8")
