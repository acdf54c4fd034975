"""What all commands have in common: one JSON value for machines, help, exit codes, completion."""

import json
import tomllib
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest
from cyclopts import App
from test_cli import CELL, Command, command

from untrained.cli.app import app

__all__ = ["command"]  # a fixture

OTHERS = "--help", "-h", "--version", "--install-completion"


def commands_of(parent: App, *words: str) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command, with the words that call it."""
    for name in parent:
        if name not in OTHERS:
            each = parent[name]
            if each.default_command is not None:
                yield (*words, name), each
            yield from commands_of(each, *words, name)


COMMANDS = dict(commands_of(app))
QUICK = ("--workers", "0", "--draws", "1", "--scores", "parameters", "--searcher", "random",
         "--options.evaluations", "2")  # fmt: skip
SWEPT = ("--architectures", "random:3", "--scores", "parameters", "--draws", "1", "--workers", "0")


def test_which_commands_there_are() -> None:
    assert {" ".join(words) for words in COMMANDS} == {
        "search", "demo", "score", "rank", "bench", "check", "train", "track", "inspect",
        "report", "sweep", "sweep status", "sweep export", "sweep merge", "data", "data import",
        "data add", "data clear", "serve", "runs list", "runs show", "runs compare", "runs rm",
        "export",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_prints_json_if_it_is_asked_to(words: tuple[str, ...]) -> None:
    called = COMMANDS[words].default_command
    assert called is not None
    assert "json" in signature(called).parameters


@pytest.mark.parametrize(
    "words",
    [
        ("search", *QUICK),
        ("score", CELL, "--workers", "0"),
        ("train", CELL),
        ("track", CELL),
        ("rank", "--models", "named_models:wide"),
        ("bench", "--scores", "parameters", "--sample", "30"),
        ("sweep", "mine", *SWEPT),
    ],
    ids=lambda words: words[0],
)
def test_a_plan_is_the_same_as_toml_and_as_json(words: tuple[str, ...], command: Command) -> None:
    code, toml, err = command(*words, "--dry-run")
    assert code == 0, err
    code, out, _ = command(*words, "--dry-run", "--json")
    assert code == 0
    assert out.count("\n") == 1
    found = json.loads(out)
    if words[0] in ("rank", "bench"):
        assert f"# {found.pop('plan')}\n" in toml
    assert found == tomllib.loads(toml)
    assert not Path("untrained-runs").exists()


def test_nothing_but_json_is_printed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command after another, on what those before it made."""

    def printed(*words: str) -> object:
        code, out, err = command(*words, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        return json.loads(out)

    monkeypatch.setenv("UNTRAINED_DATA", str(Path("nowhere").absolute()))
    monkeypatch.setenv("UNTRAINED_CACHE", str(Path("none").absolute()))
    for seed in "01":
        printed("search", *QUICK, "--seed", seed)
    found = printed("score", CELL, "--workers", "0", "--draws", "1", "--scores", "parameters")
    assert isinstance(found, dict)
    assert printed("report", str(Path(found["report"]).parent)) == {"report": found["report"]}
    assert printed("sweep", "mine", *SWEPT) == printed("sweep", "status", "mine")
    assert printed("sweep", "export", "mine", "x.csv") == {"lines": 3, "file": "x.csv"}
    printed("sweep", "merge", "mine", "untrained-runs/store.db")
    printed("runs", "list")
    printed("runs", "show", "seed1")
    printed("runs", "compare", "seed1", "given")
    printed("runs", "rm", "seed1", "--yes")
    printed("data")
    assert printed("data", "clear") == {"removed_bytes": 0}


def test_exit_codes_are_in_the_help(command: Command) -> None:
    _, out, _ = command("--help")
    said = " ".join(out.split())
    assert (
        "Exit codes: 0 done; 1 it could not be done, or nothing was found; 2 wrong use; 130"
        in said
    )
    for flag in ("--quiet", "--verbose", "--log-file", "--config", "--install-completion"):
        assert flag in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    code, _, err = command("--install-completion", "--shell", shell)
    assert code == 0, err
    [script] = (f for f in tmp_path.rglob("*untrained*") if f.is_file())
    text = script.read_text(encoding="utf-8")
    assert all(word in text for word in ("compare", "searcher", "log-file", "draws"))


def test_a_shell_that_is_not_known_is_told_in_a_line(command: Command) -> None:
    code, out, err = command("--install-completion", "--shell", "nosh")
    assert (code, out) == (2, "")
    assert "--shell: expected 'zsh' or 'bash' or 'fish' or 'powershell', got 'nosh'" in err
    assert len(err.splitlines()) == 1
