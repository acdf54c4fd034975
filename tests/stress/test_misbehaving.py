"""Scores that misbehave: the search ends, and the numbers of others are what they were alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from misbehaving import CRASHES, DEEDS, LOOPS, TRACES
from stress.command import numbers, run
from stress.tally import Tally

BAD, WITNESS = "misbehaving:Misbehaving", "misbehaving:Witness"
BESIDE = (WITNESS, "condition_number")
SEARCH = ("search", "--searcher", "random", "--options.evaluations", "2", "--draws", "1",
          "--instruments.condition_number.scale", "thin",
          "--instruments.condition_number.count", "8")  # fmt: skip
HERE = {"PYTHONPATH": str(Path(__file__).parents[1])}


def of(score: str, found: dict[str, Any]) -> list[str]:
    """The measurements of one score: keys, questions, values, reasons."""
    return [row for row in found["measurements"] if f"('score', '{score}')" in row]


@pytest.mark.parametrize("workers", ["1", "0"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_misbehaving_scores(
    workers: str,
    place: str,
    tmp_path: Path,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    asked = (*SEARCH, "--workers", workers)
    alone = run(tmp_path, *asked, "--scores", *BESIDE, "--out", "alone", env=HERE)
    assert alone.code == 0, alone.err
    truth = numbers(tmp_path / "alone")
    # What takes its process along takes the search along where it has no workers.
    deeds = [deed for deed in DEEDS if workers == "1" or deed not in CRASHES]
    wrong = []
    for deed in share(deeds):
        scores = (BAD, *BESIDE) if place == "first" else (*BESIDE, BAD)
        limit = ("--time-limit", "10" if deed in LOOPS or deed == "hang" else "120")
        out = f"out-{deeds.index(deed)}"
        ended = run(tmp_path, *asked, *limit, f"--instruments.{BAD}.deed", deed,
                    "--scores", *scores, "--out", out, env=HERE)  # fmt: skip
        found = numbers(tmp_path / out)
        lost = ended.code != 0 or len(of(BAD, found)) != 2
        different = any(of(score, found) != of(score, truth) for score in BESIDE)
        failed = all("('value', None)" in row for row in of(BAD, found))
        different |= failed != (deed not in TRACES)
        tally.add("misbehaving scores", tried=1, lost=lost, different=different,
                  tracebacks=ended.traceback)  # fmt: skip
        if lost or different or ended.traceback:
            wrong.append((deed, ended.code, lost, different, ended.err[-400:], of(BAD, found)))
    assert not wrong, "\n".join(map(str, wrong))
