"""Runs that are there: listed, shown, compared, exported again and removed."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from spared import spare_graphs
from test_cli import Command, command

from untrained.locations import Location
from untrained.runs import RunConfig, run
from untrained.runs.config_file import CONFIG, load_config
from untrained.runs.listing import find_run, runs_of
from untrained.runs.removing import remove_run
from untrained.storage import RunFolder
from untrained.storage.store import Store
from untrained.training import TrainingSpec

__all__ = ["command"]  # a fixture


def asked(out: Path, **other: Any) -> RunConfig:
    """A search of two networks that takes no time."""
    usual: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 2}, "draws": 1, "workers": 0,
        "scores": ("parameters", "naswot"), "scale": "small", "channels": 4, "cells": 1,
        "training": TrainingSpec(epochs=1, images=64), "compare": 1, "out": out,
    }  # fmt: skip
    return RunConfig(**{**usual, **other})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[RunFolder]]]:
    """A search, the same with a training, and one of another seed."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        spare_graphs(monkeypatch)
        configs = asked(out), asked(out, train=True), asked(out, seed=1)
        yield out, [run(config) for config in configs]


@pytest.fixture
def runs(made: tuple[Path, list[RunFolder]], tmp_path: Path) -> list[RunFolder]:
    """A copy of them."""
    out, folders = made
    there = tmp_path / "untrained-runs"
    shutil.copytree(out, there)
    return [RunFolder(there, folder.name) for folder in folders]


def count(folder: RunFolder, table: str, where: str = "1") -> int:
    """Rows of a table."""
    with sqlite3.connect(folder.store) as connection:
        found: int = connection.execute(f"select count(*) from {table} where {where}").fetchone()[
            0
        ]
    connection.close()
    return found


# list


def test_a_list_has_the_latest_first(runs: list[RunFolder], command: Command) -> None:
    code, out, _ = command("runs", "list", "--json")
    found = json.loads(out)
    assert code == 0
    assert [each["name"] for each in found] == [folder.name for folder in reversed(runs)]
    assert {each["state"] for each in found} == {"ended"}
    assert [each["trials"] for each in found] == [2, 2, 2]
    assert [each["test_accuracy"] is None for each in found] == [True, False, True]
    files = (
        [f for f in runs[1].path.rglob("*") if f.is_file()]
        if isinstance(runs[1].path, Path)
        else []
    )
    assert found[1]["bytes"] == sum(file.stat().st_size for file in files)
    _, out, _ = command("runs", "list")
    assert all(folder.name in out for folder in runs)
    assert out.count("ended") == 3


def states_of(out: Location) -> list[str | None]:
    """Of every run of a folder, the latest first."""
    return [each.reached.state if each.reached else None for each in runs_of(out)]


def test_states(runs: list[RunFolder]) -> None:
    _, trained, other = runs
    with sqlite3.connect(other.store) as connection:
        connection.execute("update trainings set finished = 0, test_accuracy = null")
        connection.execute(
            f"update runs set selected = null, ended = null where name = '{other.name}'"
        )
    connection.close()
    assert states_of(other.out) == ["interrupted", "interrupted", "ended"]
    with trained.held(), Store.open(trained.store, trained.lock) as store:
        store.claims.begin()
        assert states_of(other.out) == ["interrupted", "training", "ended"]


def test_a_damaged_run_is_told_beside_the_others(runs: list[RunFolder], command: Command) -> None:
    with sqlite3.connect(runs[0].store) as connection:
        connection.execute(f"update runs set images = '[1]' where name = '{runs[0].name}'")
    connection.close()
    code, out, _ = command("runs", "list", "--json")
    found = {each["name"]: each for each in json.loads(out)}
    assert code == 0
    assert [found[folder.name]["state"] for folder in runs] == ["damaged", "ended", "ended"]
    assert "damaged in one place" in found[runs[0].name]["problem"]
    code, out, _ = command("runs", "list")
    assert code == 0
    assert (out.count("ended"), out.count("damaged in one place")) == (2, 1)


def test_a_folder_without_runs_is_told(command: Command) -> None:
    code, out, err = command("runs", "list")
    assert (code, out) == (2, "")
    assert "untrained-runs" in err
    assert len(err.splitlines()) == 1


# show, compare


def test_a_run_is_shown_as_at_its_end(runs: list[RunFolder], command: Command) -> None:
    code, out, err = command("runs", "show", "trained")
    assert code == 0, err
    assert f"{runs[1].name}: ended, started 20" in out
    assert "Selected architecture (best of 2" in out
    assert "of 1 random architecture trained with the same recipe" in out
    code, out, _ = command("runs", "show", str(runs[1].path), "--json")
    assert json.loads(out)["state"] == "ended"
    assert json.loads(out)["run"] == runs[1].name


def test_a_run_is_meant_by_name_part_or_folder(runs: list[RunFolder]) -> None:
    first, trained, other = runs
    out = first.out
    assert find_run(first.name, out) == first  # though another begins so
    assert find_run("trained", out) == trained
    assert find_run(str(other.path), Path("elsewhere")) == other
    with pytest.raises(ValueError, match="expected one run that is called so, or whose name"):
        find_run("seed0", out)
    with pytest.raises(ValueError, match=r"expected a run in .*, got 'nothing'; there are:"):
        find_run("nothing", out)
    with pytest.raises(ValueError, match=r"expected a run in .*, got ''"):
        find_run("", out)


def test_runs_are_compared(runs: list[RunFolder], command: Command) -> None:
    names = [folder.name for folder in runs]
    code, out, err = command("runs", "compare", *names)
    assert code == 0, err
    assert all(f"{name} selected" in out for name in names)
    assert "naswot ↑" in out
    code, out, _ = command("runs", "compare", *names, "--json")
    found = json.loads(out)["runs"]
    assert [each["run"] for each in found] == names
    assert found[0]["scores"] == found[1]["scores"]
    assert found[1]["test_accuracy"] is not None
    assert found[1]["accuracy_error"] > 0
    assert found[0]["accuracy_error"] is None
    assert found[0]["wall_seconds"]["search"] > 0


def test_runs_on_other_images_do_not_compare(runs: list[RunFolder], command: Command) -> None:
    with sqlite3.connect(runs[0].store) as connection:
        connection.execute("update runs set images = replace(images, 'digits', 'mine')"
                           f" where name = '{runs[2].name}'")  # fmt: skip
    connection.close()
    _, out, _ = command("runs", "compare", runs[1].name, runs[2].name)
    assert "their accuracies and scores do not compare" in out
    assert "*" not in out


# rm


def test_what_another_run_needs_stays(runs: list[RunFolder]) -> None:
    first, trained, other = runs
    before = count(first, "measurements")
    removed = remove_run(trained, measurements=True)
    assert (removed.trials, removed.measurements, len(removed.trainings)) == (0, 0, 2)
    assert not trained.path.exists()
    assert count(first, "trainings") == count(first, "epochs") == count(first, "trained") == 0
    assert not [*(first.out / "trainings").glob("*.pt")]  # type: ignore[union-attr]
    assert count(first, "measurements") == before
    removed = remove_run(first)
    assert (removed.trials, removed.measurements) == (2, 0)
    assert count(other, "measurements") == before
    assert [each.name for each in runs_of(other.out)] == [other.name]
    assert count(other, "trials") == 2
    removed = remove_run(other, measurements=True)
    assert removed.trials == 2
    left = count(other, "measurements")
    assert left == before - removed.measurements
    assert removed.measurements == 4
    assert all(count(other, t) == 0 for t in ("runs", "trials", "costs", "claims", "drivers"))


def test_a_run_that_was_removed_is_made_anew_from_what_was_measured(
    runs: list[RunFolder],
) -> None:
    first, trained, _ = runs
    selected = {each.name: each.selected for each in runs_of(first.out)}
    remove_run(trained)
    remove_run(first)
    before = count(first, "measurements")
    again = run(asked(Path(str(first.out))))
    assert again.name == first.name
    assert count(again, "measurements", "times > 1") == 0
    assert count(again, "measurements") == before
    assert {each.name: each.selected for each in runs_of(first.out)}[again.name] == selected[
        first.name
    ]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What somebody types at the terminal."""

    def say(line: str) -> None:
        class Typed:
            def isatty(self) -> bool:
                return True

            def readline(self) -> str:
                return line

        monkeypatch.setattr("sys.stdin", Typed())

    return say


def test_somebody_is_asked(
    runs: list[RunFolder], command: Command, answers: Callable[[str], None]
) -> None:
    code, out, err = command("runs", "rm", "seed1")  # nobody is there
    assert (code, out) == (2, "")
    assert "expected --yes to remove" in err
    answers("n\n")
    assert command("runs", "rm", "seed1")[0] == 2
    assert runs[2].path.exists()
    answers("y\n")
    code, out, err = command("runs", "rm", "seed1")
    assert code == 0
    assert f"removed {runs[2].name}: 2 trials, 0 measurements, 0 trainings" in out
    assert "[y/N]" in err
    code, out, _ = command("runs", "rm", "trained", "--yes", "--json")
    assert json.loads(out) == {
        "run": runs[1].name, "trials": 0, "measurements": 0, "trainings": 2
    }  # fmt: skip


def test_a_run_at_work_stays(runs: list[RunFolder], command: Command) -> None:
    first = runs[0]
    with first.held():
        code, _, err = command("runs", "rm", first.name, "--yes")
        assert code == 1
        assert "in use" in err
    with first.held(), Store.open(first.store, first.lock) as store:
        store.claims.begin()
        code, _, err = command("runs", "rm", first.name, "--yes")
        assert code == 1
        assert "is in use: stop its command first" in err
    assert first.path.exists()
    assert count(first, "trials") == 4


# export


def test_a_network_is_exported_again(
    runs: list[RunFolder], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare_graphs(monkeypatch)
    trained = runs[1]
    assert isinstance(trained.path, Path)
    before = {f.name: f.read_bytes() for f in (trained.path / "network").iterdir()}
    shutil.rmtree(trained.path / "network")
    code, out, err = command("export", "trained", "--json")
    assert code == 0, err
    assert json.loads(out)["network"] == str(Path("untrained-runs") / trained.name / "network")
    after = {f.name: f.read_bytes() for f in (trained.path / "network").iterdir()}
    assert after["weights.safetensors"] == before["weights.safetensors"]
    assert after.keys() == before.keys()
    with Store.reading(trained.address) as store:
        rows = store.trainings(store.run(trained.name)["id"])
    code, out, err = command("export", "trained", "--architecture", rows[1]["architecture"])
    assert code == 0, err
    assert "network-1" in out
    assert (trained.path / "network-1" / "weights.safetensors").exists()
    code, _, err = command("export", "trained", "--architecture", "|none~0|+|none~0|none~1|+|none"
                           "~0|none~1|none~2|")  # fmt: skip
    assert code == 2
    assert "that this run has trained to the end; it has: " in err
    code, _, err = command("export", "seed1")
    assert code == 2
    assert "expected a run that trains networks" in err


def test_an_export_of_other_code_is_refused(runs: list[RunFolder], command: Command) -> None:
    trained = runs[1]
    assert isinstance(trained.path, Path)
    file = trained.path / CONFIG
    file.write_text(file.read_text().replace("seed = 0", "seed = 3", 1))
    code, _, err = command("export", "trained")
    assert code == 2
    assert "was made with, got others" in err
    assert "untrained search --config" in err


def test_a_configuration_is_read_as_it_was_written(runs: list[RunFolder]) -> None:
    config = load_config(runs[1].path / CONFIG)
    assert (config.train, config.seed, config.scores) == (True, 0, ("parameters", "naswot"))
    assert config.training.epochs == 1
    file = runs[1].path / CONFIG
    assert isinstance(file, Path)
    file.write_text(file.read_text() + "\nother = 3\n")
    with pytest.raises(ValueError, match="expected the configuration of a run"):
        load_config(file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs", "compare", "seed1"), "expected two runs or more to compare, got 1"),
        (("runs", "compare"), "expected two runs or more to compare, got 0"),
        (("runs", "show", "nothing"), "expected a run in untrained-runs, got 'nothing'"),
        (("runs", "show"), "run"),
        (("runs", "rm", "seed0", "--yes"), "expected one run that is called so"),
        (("runs", "list", "--out", "nowhere"), "nowhere"),
        (("export", "nothing"), "expected a run in untrained-runs, got 'nothing'"),
    ],
)
def test_misuse_is_told_in_a_line(
    words: tuple[str, ...], message: str, runs: list[RunFolder], command: Command
) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert len(runs_of(runs[0].out)) == 3
