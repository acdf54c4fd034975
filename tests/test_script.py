"""Searches in plain scripts: workers run a script again only for what it defines itself."""

import subprocess
import sys
from pathlib import Path

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


def ended(call: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script with this at its end."""
    (folder / "script.py").write_text(OWN + call, encoding="utf-8")
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_it_needs_no_guard_but_for_what_it_defines_itself(tmp_path: Path) -> None:
    done = ended('main("trainable_layers")\nmain("__main__:Mine")', tmp_path)
    assert done.stdout.count("begun") == done.stdout.count("found") == 1
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert 'expected calls under `if __name__ == "__main__":`' in last
    assert "put the score or space into a module of its own" in last


def test_a_score_of_its_own_is_found_under_a_guard(tmp_path: Path) -> None:
    done = ended('if __name__ == "__main__":\n    main("__main__:Mine")', tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["begun", "found [3.0, 3.0]"]
