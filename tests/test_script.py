"""Searches in plain scripts: workers run a script again only for what it defines itself."""

import subprocess
import sys
from pathlib import Path

import pytest

OWN = """
from dataclasses import dataclass
from typing import ClassVar
from untrained import Reading, RunConfig, Score, load_record, run

@dataclass(frozen=True)
class Mine(Score):
    meaning: ClassVar = "three"
    higher_is_better: ClassVar = True

    def __call__(self, network, probe, generator):
        return Reading(3.0)

def main(score):
    asked = dict(searcher="random", options={"evaluations": 2}, draws=1, workers=1)
    folder = run(RunConfig(scores=(score,), **asked))
    print("found", load_record(folder.store, folder.name).frame()[score].to_list())

print("begun")
"""
GUARDED = 'if __name__ == "__main__":\n    '


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ('main("trainable_layers")', "found ["),
        (GUARDED + 'main("__main__:Mine")', "found [3.0, 3.0]"),
        ('main("__main__:Mine")', ""),
    ],
    ids=["without a guard", "a score of its own", "a score of its own without a guard"],
)
def test_a_script(call: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(OWN + call, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == bool(found), done.stderr
    if found:
        assert found in done.stdout
        assert done.stdout.count("begun") == 1
    else:
        assert 'expected calls under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
        assert "put the score or space into a module of its own" in done.stderr.splitlines()[-1]
