"""Scores that misbehave: the search ends, and the numbers of others are what they were alone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from misbehaving import CRASHES, DEEDS, LOOPS, TRACES
from stress.command import numbers, run
from stress.tally import Tally

BAD, WITNESS = "misbehaving:Misbehaving", "misbehaving:Witness"
SEARCH = ("search", "--searcher", "random", "--options.evaluations", "2", "--draws", "1",
          "--score-settings.condition_number.scale", "thin",
          "--score-settings.condition_number.count", "8")  # fmt: skip
TESTS = str(Path(__file__).parents[1])
HERE = {"PYTHONPATH": os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")])}


def of(score: str, found: dict[str, Any]) -> list[str]:
    """The measurements of one score: keys, questions, values, reasons."""
    return [row for row in found.get("measurements", []) if f"('score', '{score}')" in row]


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
    # The command's own process handles SIGTERM, by a function whose address the witness sees.
    beside = ("condition_number", *((WITNESS,) if workers == "1" else ()))
    alone = run(tmp_path, *asked, "--scores", *beside, "--out", "alone", env=HERE)
    assert alone.code == 0, alone.err
    truth = numbers(tmp_path / "alone")
    # What takes its process along takes the search along where it has no workers.
    deeds = [deed for deed in DEEDS if workers == "1" or deed not in CRASHES]
    wrong = []
    for deed in share(deeds):
        scores = (BAD, *beside) if place == "first" else (*beside, BAD)
        limit = ("--time-limit", "10" if deed in LOOPS or deed == "hang" else "120")
        out = f"out-{deeds.index(deed)}"
        ended = run(tmp_path, *asked, *limit, f"--score-settings.{BAD}.deed", deed,
                    "--scores", *scores, "--out", out, env=HERE)  # fmt: skip
        found = numbers(tmp_path / out)
        # Without a number of each score, nothing can be selected.
        lost = ended.code != (0 if deed in TRACES else 1) or len(of(BAD, found)) != 2
        different = any(of(score, found) != of(score, truth) for score in beside)
        failed = all("('value', None)" in row for row in of(BAD, found))
        different |= failed != (deed not in TRACES)
        tally.add("misbehaving scores", tried=1, lost=lost, different=different,
                  tracebacks=ended.traceback)  # fmt: skip
        if lost or different or ended.traceback:
            wrong.append((deed, ended.code, lost, different, ended.err[-400:], of(BAD, found)))
    assert not wrong, "\n".join(map(str, wrong))
