"""What the command shows of a run: reasons where nothing was scored, counts, states of a run."""

import json
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import figures_of
from test_cli import CELL, QUICK, Command, command

from untrained.cli.scored import shortly
from untrained.runs import load_record
from untrained.scores import SCORES, Reading
from untrained.storage import RunFolder
from untrained.storage.store import Store

__all__ = ["command"]  # a fixture

SCORE = """
from dataclasses import dataclass
from typing import ClassVar
from untrained.images import ProbeSpec
from untrained.scores import Reading, Score

@dataclass(frozen=True)
class Fails(Score):
    higher_is_better: ClassVar = True
    probe: ClassVar = ProbeSpec(count=1)
    network: ClassVar = "thin"

    def __call__(self, network, probe, generator):
        raise ValueError("bad [/] thing")

@dataclass(frozen=True)
class Small(Fails):
    network: ClassVar = "full"
    limit: int = 80_000

    def __call__(self, network, probe, generator):
        size = sum(p.numel() for p in network.parameters())
        return Reading(None, "too large") if size > self.limit else Reading(float(size))

@dataclass(frozen=True)
class Odd(Small):
    is_count: ClassVar = True
"""

SPACE = """
from pathlib import Path
from untrained.spaces.nasbench201 import NASBench201

Path("imported").touch()

class Own(NASBench201):
    name = "own"

S = Own()
"""

POOLING = "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@pytest.fixture
def plugins(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in a folder that holds scores and a space, imported anew in each test."""
    Path("own_score.py").write_text(SCORE)
    Path("own_space.py").write_text(SPACE)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    for name in ("own_score", "own_space"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return command


@pytest.mark.parametrize("searcher", ["random", "pruning", "evolution"])
def test_a_search_that_could_score_nothing_says_why_and_fails(
    searcher: str, plugins: Command
) -> None:
    options = ("--options.evaluations", "2") if searcher != "pruning" else ()
    asked = ("search", "--searcher", searcher, *options, "--workers", "0", "--draws", "1",
             "--scores", "own_score:Fails")  # fmt: skip
    code, out, _ = plugins(*asked)
    assert code == 1
    assert "No architecture could be scored." in out
    assert "x own_score:Fails: ValueError: bad [/] thing" in out
    page = next(Path("untrained-runs").glob("*/report.html")).read_text(encoding="utf-8")
    assert "no architecture could be scored" in page
    assert "still running" not in page
    assert "bad [/] thing" in page
    code, out, _ = plugins(*asked, "--json")
    found = json.loads(out)
    assert code == 1
    assert found["selected"] is None
    assert found["failures"][0]["reason"].startswith("ValueError: bad [/] thing")


def test_one_score_that_fails_for_all_is_told_beside_one_that_does_not(plugins: Command) -> None:
    code, out, _ = plugins("search", *QUICK, "--scores", "own_score:Fails", "parameters")
    assert code == 1
    assert "ended without selecting an architecture" in out
    assert "bad [/] thing" in out


def test_reasons_of_named_architectures_are_a_failure_where_all_fail(plugins: Command) -> None:
    asked = ("score", CELL, POOLING, "--workers", "0", "--draws", "2")
    code, out, _ = plugins(*asked, "--scores", "own_score:Small", "parameters")
    assert code == 0
    assert "2 x own_score:Small: too large" in out
    assert f"of {CELL}" in out
    assert f"of {POOLING}" not in out
    code, out, _ = plugins(*asked, "--scores", "own_score:Fails", "--json")
    assert code == 1
    assert json.loads(out)["failures"][0]["architectures"] == [CELL, POOLING]


def test_counts_are_whole_numbers(plugins: Command) -> None:
    asked = ("score", CELL, POOLING, "--workers", "0", "--draws", "2")
    scores = ("macs", "parameters", "trainable_layers", "linear_regions", "own_score:Odd")
    limit = ("--score-settings.own_score:Odd.limit", "10000000")
    code, out, err = plugins(*asked, *limit, "--scores", *scores)
    assert code == 0, err
    row = next(line for line in out.splitlines() if CELL in line)
    cells = row.removeprefix("*").removeprefix(f"  {CELL}").split()
    assert cells[1:3] == ["344,058", "38"]
    assert cells[4] == "±"
    assert cells[-1] == "344,058"
    assert "e+" not in out
    _, out, _ = plugins(*asked, *limit, "--scores", *scores, "--json")
    assert '"parameters": [344058, 344058]' in out
    assert '"own_score:Odd": [344058, 344058]' in out
    page = next(Path("untrained-runs").glob("*/report.html")).read_text(encoding="utf-8")
    assert "Parameters: 344,058 (2 draws)" in str(figures_of(page))
    assert "e+0" not in str(figures_of(page))


@pytest.mark.parametrize(
    ("values", "is_count", "text"),
    [
        ((51_036_800.0,) * 3, True, "51,036,800"),
        ((51_036_800.0,), True, "51,036,800"),
        ((100.0, 101.0), True, "100.5 ± 0.5"),
        ((2_000_000.0, 2_100_000.0), True, "2,050,000 ± 50,000"),
        ((12.345678,) * 3, False, "12.346"),
        ((1.0, 3.0), False, "2.0 ± 1.0"),
        ((1.0, None, 3.0), False, "2.0 ± 1.0 (2 of 3 draws)"),
        ((None, 7.0), True, "7 (1 of 2 draws)"),
        ((None, None), True, "failed"),
    ],
)
def test_an_estimate_as_it_is_printed(
    values: tuple[float | None, ...], is_count: bool, text: str
) -> None:
    readings = tuple(Reading(v, "" if v is not None else "why") for v in values)
    assert shortly(readings, is_count) == text


def test_scores_that_count() -> None:
    assert {name for name, score in SCORES.items() if score.is_count} == {
        "parameters", "macs", "trainable_layers", "linear_regions", "swap", "memory",
        "training_memory",
    }  # fmt: skip


def test_a_report_imports_nothing_that_a_store_names(plugins: Command) -> None:
    code, out, _ = plugins("search", *QUICK, "--scores", "parameters", "--space", "own_space:S",
                           "--json")  # fmt: skip
    assert code == 0
    found = json.loads(out)
    report = Path(found["report"])
    assert '<svg class="cell"' in report.read_text(encoding="utf-8")
    evil = {"space": "own_space:S", "searcher": "evil:Searcher"}
    evil |= {"directions": '{"evil:Score": 1, "parameters": 1}', "config": '{"network": "evil:n"}'}
    with sqlite3.connect("untrained-runs/store.db") as connection:
        for column, value in evil.items():
            connection.execute(f"update runs set {column} = ?", (value,))
    connection.close()
    Path("evil.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    Path("imported").unlink()
    del sys.modules["own_space"]
    code, _, err = plugins("report", str(report.parent))
    assert code == 0, err
    assert not Path("imported").exists()
    assert not {"own_space", "evil"} & set(sys.modules)
    page = report.read_text(encoding="utf-8")
    assert found["selected"] in page
    assert "own_space:S" in page
    assert "there is no drawing" in page
    assert '<svg class="cell"' not in page


def test_a_report_of_a_tracking_imports_nothing_either(plugins: Command) -> None:
    code, out, err = plugins("track", CELL, "--scale", "small", "--training.epochs", "1",
                             "--training.images", "128", "--probe", "20", "--support", "20",
                             "--held-out", "20", "--space", "own_space:S", "--json")  # fmt: skip
    assert code == 0, err
    folder = Path(json.loads(out)["folder"])
    asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    asked[1] |= {"network": "evil:make"}
    asked[1]["training"]["recipe"] = "evil:recipe"
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    Path("evil.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    Path("imported").unlink()
    del sys.modules["own_space"]
    assert plugins("report", str(folder))[0] == 0
    assert not Path("imported").exists()
    kernel = next((folder / "kernels").iterdir())
    np.save(kernel, np.array([Pickled()]), allow_pickle=True)
    code, _, err = plugins("report", str(folder))  # of what is left
    assert code == 0
    assert f"{kernel}: cannot be read" in err
    assert not Path("imported").exists()


class Pickled:
    """Does something where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("imported"),)


def test_a_report_is_written_of_an_architecture_that_cannot_be_read(command: Command) -> None:
    _, out, _ = command("search", *QUICK, "--scores", "parameters", "--json")
    report = Path(json.loads(out)["report"])
    with sqlite3.connect("untrained-runs/store.db") as connection:
        connection.execute("update runs set selected = 'of another version'")
    connection.close()
    code, _, err = command("report", str(report.parent))
    assert code == 0
    assert "cannot draw of another version: ValueError" in err
    assert "of another version" in report.read_text(encoding="utf-8")


def test_a_run_is_running_interrupted_or_over(command: Command) -> None:
    """Told by what the store keeps of its driver and of its end."""
    code, out, _ = command("search", *QUICK, "--scores", "parameters", "--json")
    folder = RunFolder(Path("untrained-runs"), json.loads(out)["run"])
    record = load_record(folder.store, folder.name)
    assert (code, record.ended, record.running) == (0, True, False)
    with sqlite3.connect(folder.store) as connection:  # as it stands before the search ends
        connection.execute("update runs set selected = null, ended = null")
    connection.close()
    with folder.held(), Store.open(folder.store, folder.lock) as store:
        store.claims.begin()
        command("report", str(folder.path))
        assert "still running" in folder.report.read_text(encoding="utf-8")
    command("report", str(folder.path))
    assert "was interrupted before it selected one" in folder.report.read_text(encoding="utf-8")


def test_where_the_architecture_stands_on_a_fresh_machine(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path / "nowhere"))
    asked = ("--workers", "0", "--draws", "1", "--scores", "parameters")
    code, out, err = command("score", CELL, *asked)
    assert code == 0, err
    assert "in the benchmark's table (200 epochs)" in out
    assert out.count("  15,625\n") == 3
    assert "To see how it ranks" not in out
    code, out, err = command("score", "i-c3-o:0-1,1-2", "--space", "nasbench101", *asked)
    assert code == 0, err
    assert "bring tables/nasbench101.parquet into the data folder: untrained data says how" in out
