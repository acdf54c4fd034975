"""Scores that misbehave: the search ends, and the numbers of the others are what they were alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stress.bad_scores import ACTS, KILLED, RETURNED
from stress.command import numbers, run
from stress.tally import Tally

BESIDE = ("condition_number", "linear_regions")
SEARCH = ("search", "--searcher", "random", "--options.evaluations", "2", "--draws", "1",
          "--instruments.condition_number.count", "8", "--instruments.linear_regions.count", "50",
          "--time-limit", "20")  # fmt: skip
HERE = {"PYTHONPATH": str(Path(__file__).parent)}


def of(score: str, found: dict[str, Any]) -> list[str]:
    """The measurements of one score: keys, questions, values, reasons."""
    return [row for row in found["measurements"] if f"('score', '{score}')" in row]


@pytest.mark.parametrize("workers", ["1", "0"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_bad_scores(
    workers: str,
    order: str,
    tmp_path: Path,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    asked = (*SEARCH, "--workers", workers)
    alone = run(tmp_path, *asked, "--scores", *BESIDE, "--out", "alone")
    assert alone.code == 0, alone.err
    truth = numbers(tmp_path / "alone")
    wrong = []
    for name in share([*RETURNED, *ACTS]):
        bad = f"bad_scores:{name}"
        scores = (bad, *BESIDE) if order == "first" else (*BESIDE, bad)
        ended = run(tmp_path, *asked, "--scores", *scores, "--out", name, env=HERE)
        found = numbers(tmp_path / name) if (tmp_path / name / "store.db").exists() else None
        safe = workers == "1" or name not in KILLED
        lost = safe and (found is None or ended.code != 0 or len(of(bad, found)) != 2)
        different = found is not None and any(
            not set(of(score, found)) <= set(of(score, truth)) for score in BESIDE
        )
        if safe and found is not None:
            different |= any(of(score, found) != of(score, truth) for score in BESIDE)
        tally.add(
            "bad scores", tried=1, lost=lost, different=different, tracebacks=ended.traceback
        )
        if lost or different or ended.traceback:
            wrong.append((name, ended.code, lost, different, ended.err[-300:]))
    assert not wrong
