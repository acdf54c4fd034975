"""Whatever its name, a folder is exactly the one that was named."""

import sqlite3
from pathlib import Path

import pytest
from bad_values import CELL

from untrained.cli import main
from untrained.storage.store import Store

NAMES = ["mine?", "a%20b", "~", "~root", "a#b", "a&b=c", "file:x", ":memory:", "sqlite:", "a\nb",
         "a;b", "-x", " ", "'quoted'", "é\udcff", "?mode=memory"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)  # pytest-xdist sends them as UTF-8
@pytest.mark.parametrize("absolute", [False, True])
def test_a_store_is_exactly_the_file_named(
    name: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(tmp_path if absolute else "", name)
    Store.open(path).close()
    assert {each.name for each in tmp_path.iterdir()} == {name, f".{name}.lock"}
    assert path.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("name", ["mine?", "a%20b"])
def test_a_run_lies_in_exactly_the_folder_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["search", "--searcher=random", "--options.evaluations=1", "--scores=parameters",
             "--draws=1", "--workers=0", "--json", f"--out={name}"]  # fmt: skip
    assert ended(monkeypatch, *asked) == 0
    (page,) = (tmp_path / name).glob("*/report.html")
    connection = sqlite3.connect(tmp_path / name / "store.db")
    assert connection.execute("select count(*) from trials").fetchone() == (1,)
    connection.close()
    page.unlink()
    assert ended(monkeypatch, "report", f"{name}/{page.parent.name}") == 0
    assert page.exists()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_tracking_lies_in_exactly_the_folder_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "~mine?%20"
    monkeypatch.chdir(tmp_path)
    asked = ["track", CELL, "--training.epochs=1", "--training.images=64",
             "--probe=8", "--support=0",
             "--held-out=8", "--scale=small", "--json", f"--out={name}"]  # fmt: skip
    assert ended(monkeypatch, *asked) == 0
    assert len(list((tmp_path / name).glob("track-*/report.html"))) == 1
    assert [each.name for each in tmp_path.iterdir()] == [name]


def ended(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["untrained", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code
