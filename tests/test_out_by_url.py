"""Runs whose files are under a URL: as in a folder, bit for bit; and wrong use, in a line each."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from object_stores import Shop, shop
from postgres import Server
from stopped import stopped_at
from torch import nn

from untrained import patience
from untrained.benching import Leaderboard
from untrained.cli import main
from untrained.files import whole_files
from untrained.images import Images
from untrained.inspection import inspect
from untrained.locations import Location
from untrained.pages import report_ranking, report_run, report_track
from untrained.ranking import rank
from untrained.ranking.config import RankConfig
from untrained.runs import RunConfig, run
from untrained.runs.record import record_of
from untrained.storage import RunFolder
from untrained.storage.folder import is_held
from untrained.tracking.config import TrackConfig
from untrained.tracking.track import load_track
from untrained.tracking.track_one import load_asked, track_one
from untrained.training import TrainingSpec
from untrained.urls import URL, Unreachable

__all__ = ["shop"]  # a fixture

pytestmark = pytest.mark.usefixtures("without_graphs", "shop")

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def asked(out: Location, store: Path | str, **changes: Any) -> RunConfig:
    """Two networks, trained for two epochs; sizes take no time to score."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 3}, "scores": ("parameters",), "draws": 1,
        "compare": 1, "scale": "small", "workers": 0, "train": True, "out": out,
        "training": TrainingSpec(epochs=2, images=200), "store": str(store), **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def kept(folder: RunFolder) -> dict[str, Any]:
    """What a run has made, without seconds."""
    record = record_of(folder)
    return {
        "selected": record.selected,
        "trained": [
            (t.architecture, t.test_accuracy, [e.train_loss for e in t.epochs])
            for t in record.trainings
        ],
        "weights": (folder.network / "weights.safetensors").read_bytes(),
        "files": whole_files(folder.network),
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        from spared import spare_graphs

        spare_graphs(patch)
        out = tmp_path_factory.mktemp("out")
        return kept(run(asked(out, out / "store.db")))


@pytest.mark.parametrize("protocol", ["shop", "memory"])
def test_a_run_stopped_in_training_ends_as_one_in_a_folder(
    protocol: str, tmp_path: Path, expected: dict[str, Any], shop: type[Shop]
) -> None:
    """Under a URL whose store lists nothing, and at whose first writes the line is cut."""
    config = asked(URL(f"{protocol}://bucket/runs"), tmp_path / "store.db")
    shop.faults += ["cut", "torn", "away"]
    with pytest.raises(KeyboardInterrupt):
        run(config, stopped_at("training", 1))
    shop.faults += ["away", "torn"]
    folder = run(config)
    assert kept(folder) == expected
    page = report_run(folder)
    assert page == folder.path / "report.html"
    text = page.read_text()
    assert 'href="network/weights.safetensors"' in text
    assert f"untrained report {folder.path} --store" in text
    assert {path.name for path in tmp_path.iterdir()} == {"store.db", ".store.db.lock"}


def test_files_by_url_beside_a_database_on_a_server(
    postgres: Server, expected: dict[str, Any]
) -> None:
    config = asked(URL("shop://bucket/runs"), postgres.url())
    with pytest.raises(KeyboardInterrupt):
        run(config, stopped_at("training", 1))
    assert kept(run(config)) == expected


def test_a_page_elsewhere_names_files_by_their_url(tmp_path: Path) -> None:
    folder = run(asked(URL("shop://bucket/runs"), tmp_path / "store.db"))
    page = report_run(folder, tmp_path / "page.html")
    assert f'href="{folder.network}/network.py"' in page.read_text()
    (folder.network / "weights.safetensors").write_bytes(b"torn")
    assert "weights.safetensors" not in report_run(folder, tmp_path / "page.html").read_text()


def test_an_outage_ends_a_run_in_a_line_and_it_resumes(
    tmp_path: Path, expected: dict[str, Any], shop: type[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = asked(URL("shop://bucket/runs"), tmp_path / "store.db")
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1.0)
    shop.faults += [None, None, "away"]  # type: ignore[list-item]
    with pytest.raises(
        OSError, match=r"cannot write shop://bucket/runs/trainings/\w+\.pt: .*no route"
    ):
        run(config)
    assert kept(run(config)) == expected


def test_a_second_driver_on_this_machine_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(URL("shop://bucket/runs"), "run", str(tmp_path / "store.db"))
    with folder.held():
        assert is_held(folder.lock)
        with pytest.raises(OSError, match="shop://bucket/runs/run is in use by another process"):
            folder.held().__enter__()
    assert not is_held(folder.lock)


def test_warm_trainings_are_kept_and_found(
    tmp_path: Path,
    shop: type[Shop],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Halving resumes survivors; the numbers are those of a folder, also where none is kept."""
    halving = {
        "searcher": "halving", "options": {"evaluations": 2, "epochs": 1},
        "scores": ("label_alignment",), "train": False,
        "score_settings": {"label_alignment": {"count": 8, "channels": 2}},
        "short_training": TrainingSpec(images=50),
    }  # fmt: skip
    out = URL("shop://bucket/runs")
    in_a_folder = run(asked(tmp_path / "runs", tmp_path / "a.db", **halving))
    expected = record_of(in_a_folder).trials
    assert record_of(run(asked(out, tmp_path / "b.db", **halving))).trials == expected
    names = {path.name for path in Path(in_a_folder.trainings).iterdir()}
    there = [name for name in Shop.store if "/trainings/" in name]
    assert {name.rpartition("/")[2] for name in there} == names != set()
    assert "neither read nor kept" not in caplog.text
    for name in there:
        del Shop.store[name]
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1.0)
    shop.faults += [None, *(["away"] * 10_000)]  # type: ignore[list-item]
    assert record_of(run(asked(out, tmp_path / "c.db", **halving))).trials == expected
    assert "neither read nor kept: Unreachable: cannot write shop://bucket/runs/" in caplog.text


def test_a_tracking_by_url(
    tmp_path: Path, shop: type[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder; and what cannot be read of it is not taken for damaged, and left out."""

    def config(out: Location) -> TrackConfig:
        short = TrainingSpec(epochs=2, images=64)
        return TrackConfig(training=short, probe=8, support=0, held_out=8, scale="small", out=out)

    out = URL("shop://bucket/runs")
    _, expected = track_one(config(tmp_path), CELL)
    folder, found = track_one(config(out), CELL)
    assert found.kernels.equal(expected.kernels)
    assert load_track(folder.path).kernels.equal(expected.kernels)
    assert load_asked(folder)[0].out == out
    assert report_track(folder).exists()
    before = {name: file.getvalue() for name, file in shop.store.items()}
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1.0)
    for name, reading in {
        "00001.npy": lambda: track_one(config(out), CELL),
        "question.json": lambda: track_one(config(out), CELL),
        "about.json": lambda: report_track(folder),
        "asked.json": lambda: report_track(folder),
    }.items():
        shop.hidden[:] = [name]
        with pytest.raises(Unreachable, match=f"cannot read .*{name}: Disconnected: no route to"):
            reading()
    assert {name: file.getvalue() for name, file in shop.store.items()} == before


def test_a_ranking_by_url(tmp_path: Path) -> None:
    config = RankConfig(
        scores=("naswot",), draws=1, workers=0, out=URL("shop://bucket/runs"),
        store=str(tmp_path / "store.db"),
    )  # fmt: skip
    ranking = rank(["named_models:wide"], config)
    assert ranking.folder is not None
    assert report_ranking(ranking) == ranking.folder / "ranking.html"
    assert pl.read_parquet((ranking.folder / "draws.parquet").read_bytes()).equals(ranking.draws)


def test_a_leaderboard_by_url() -> None:
    scores, matrix, values = (
        pl.DataFrame({"score": ["naswot"], name: [0.5]}) for name in ("tau", "r", "value")
    )
    board = Leaderboard(scores, matrix, values, "value", "one", 0)
    csv, parquet, drawn, _ = board.write(URL("shop://bucket/board"))
    assert csv.read_bytes() == b"score,tau\nnaswot,0.5\n"
    assert pl.read_parquet(parquet.read_bytes()).equals(scores)
    assert pl.read_parquet(drawn.read_bytes()).equals(values)


def test_an_inspection_by_url(digits: Images) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    page = inspect(network, digits).page("shop://bucket/page.html")
    assert "<html" in page.read_text()


# Wrong use

Told = Callable[..., str]


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """The one line that a command ends with, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["untrained", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (1, 2)
        out, error = capsys.readouterr()
        [line] = filter(None, error.splitlines())
        assert not out
        assert not os.listdir()
        return line

    return call


def test_what_a_run_was_asked_is_read_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(asked(URL("shop://bucket/runs"), tmp_path / "store.db", train=False))
    kept = folder.path / "config.toml"
    words = ["search", "--config", kept, "--seed", "1", "--dry-run"]
    monkeypatch.setattr("sys.argv", ["untrained", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out == kept.read_text().replace("seed = 0", "seed = 1")


STORE = ("--store", "mine.db")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("search", "--out", "nope://bucket/runs", *STORE),
         "expected a URL that fsspec knows, such as s3://BUCKET/FOLDER .*, got nope://bucket/runs"),
        (("search", "--out", "s3://bucket/runs", *STORE),
         r"s3://bucket/runs: expected the library that s3:// needs, got none; pip install "
         r"'untrained\[s3\]'"),
        (("track", CELL, "--out", "gs://bucket/runs"), r"pip install 'untrained\[gcs\]'"),
        (("inspect", CELL, "--out", "gcs://bucket/runs"), r"pip install 'untrained\[gcs\]'"),
        (("search", "--out", "s3://me:hush@bucket/runs", *STORE),
         "--out: expected a URL such as s3://BUCKET/FOLDER, with neither a password"),
        (("search", "--out", "shop://bucket/runs"),
         "store: expected one beside an --out by URL, where SQLite cannot write, got none; try "
         "--store FILE on this machine, or postgresql"),
        (("search", "--store", "s3://bucket/store.db"),
         "store: expected a file, sqlite:///FILE or .*, got another URL, which begins with 's3'"),
        (("search", "--out", "memory://runs", *STORE, "--workers", "1"),
         "out: expected memory://runs with --workers 0 alone"),
        (("search", "--out", "file://host/runs"), "--out: expected file:///FOLDER"),
        (("train", CELL, "--weights", "s3://bucket/hush"), "--weights: expected a path"),
        (("report", "shop://bucket/runs/run"), "store: expected one beside an --out by URL"),
        (("search", "--config", "shop://bucket/none.toml"),
         "--config: expected a TOML file, got shop://bucket/none.toml: "),
        (("demo", "--out", "shop://bucket/runs"), "--out: expected a path"),
        (("report", "s3://me:hush@bucket/runs/run"), "argument: expected a URL such as"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_a_line(
    words: tuple[str, ...], line: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it was not installed
    found = told(*words)
    assert re.search(line, found), found
    assert "me:hush" not in found
