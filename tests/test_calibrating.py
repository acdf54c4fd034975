"""Benches without a table: networks that are trained to judge scores on one's own images."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau
from test_cli import Command, command

from untrained.benching import BenchConfig, Known, Leaderboard, bench, rank_scores
from untrained.benching.calibrating import calibration, draw_untabled, trained_accuracies
from untrained.runs.record import RunRecord, TrainingRecord, load_record
from untrained.spaces import get_space
from untrained.spaces.nasbench201 import NASBench201
from untrained.storage import RunFolder
from untrained.tables import least_told_apart, p_value, small_sample_interval
from untrained.training import Epoch, TrainingSpec

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> BenchConfig:
    """All tests share its store, and so what was measured and trained."""
    return BenchConfig(
        scores=("ranked:Noisy",),
        train=5,
        training=TrainingSpec(epochs=1, images=60, batch=30),
        scale="thin",
        repeats=2,
        draws=2,
        workers=0,
        out=tmp_path_factory.mktemp("out"),
    )


@pytest.fixture(scope="module")
def board(config: BenchConfig) -> Leaderboard:
    return bench(config)


def record_of(board: Leaderboard) -> RunRecord:
    assert board.folder is not None
    folder = RunFolder(board.folder.parent.parent, board.folder.parent.name)
    return load_record(folder.store, folder.name)


def test_scores_are_judged_by_the_mean_test_accuracies_of_trained_networks(
    board: Leaderboard, config: BenchConfig
) -> None:
    assert board.accuracy == "digits_test_1"
    assert board.population == "5 at random of the space nasbench201"
    trainings = record_of(board).trainings
    assert [training.role for training in trainings] == ["random"] * 10
    known = dict(board.values.select("architecture", "digits_test_1").iter_rows())
    assert len(known) == 5
    for text, accuracy in known.items():
        both = [t.test_accuracy or 0.0 for t in trainings if t.architecture == text]
        assert both[0] != both[1]  # other weights
        assert accuracy == pytest.approx(np.mean(both))
    row = board.scores.row(by_predicate=pl.col("score") == "ranked:Noisy", named=True)
    points = board.points("ranked:Noisy")
    x, y = -points["value"].to_numpy(), points["accuracy"].to_numpy()
    assert row["tau"] == pytest.approx(kendalltau(x, y).statistic)
    assert row["p_value"] == p_value(x, y)
    assert (row["tau_low"], row["tau_high"]) == small_sample_interval(x, y)
    assert row["discovered"] is row["group"] is row["tau_given_size"] is None
    assert set(board.scores["kind"]) == {"score", "baseline"}
    assert "5 networks cannot tell a tau below about 1.00 from chance." in board.verdict
    assert any("Repeated trainings of one architecture differ by" in n for n in board.notes)
    assert any("355 test images, which no score sees, after 1 epoch" in n for n in board.notes)


def test_nothing_is_measured_or_trained_twice_and_more_have_the_fewer(
    board: Leaderboard, config: BenchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NASBench201, "build", None)  # nothing can be trained any more
    monkeypatch.setattr("untrained.runs.driver._check_recipes", lambda *_: None)
    again = bench(config)
    assert again.scores.equals(board.scores)
    fewer = bench(replace(config, train=4, repeats=1))
    assert set(fewer.values["architecture"]) < set(board.values["architecture"])
    assert "cannot tell any tau from chance" in fewer.verdict
    assert bench(replace(config, repeats=1)).folder == board.folder  # it is the same run


def test_stopped_and_given_again_it_ends_with_the_same(
    board: Leaderboard, config: BenchConfig
) -> None:
    """Stopped while scores are measured, and again while networks are trained."""

    def stop(at: str, count: int) -> Callable[[object], None]:
        seen: list[str] = []

        def watch(progress: object) -> None:
            seen.append(str(progress))
            if sum(at in each for each in seen) == count:
                raise KeyboardInterrupt

        return watch

    stopped = replace(config, out=config.out / "stopped")
    for at, count in (("scores of", 4), ("training", 4)):
        with pytest.raises(KeyboardInterrupt):
            bench(stopped, stop(at, count))
    with sqlite3.connect(stopped.out / "store.db") as store:
        [(kept,)] = store.execute("select count(*) from trainings where finished")
    assert 0 < kept < 10
    assert (
        bench(stopped)
        .scores.drop("seconds", "on_front")
        .equals(board.scores.drop("seconds", "on_front"))
    )


def test_a_space_of_ones_own_and_its_end(config: BenchConfig) -> None:
    own = replace(config, space="ranked:FOUR", train=4, repeats=1)
    found = bench(own)
    assert found.population == "4 at random of the space ranked:FOUR"
    assert found.values["architecture"].n_unique() == 4
    with pytest.raises(ValueError, match="train: expected at most 9, as the space ranked:FOUR"):
        bench(replace(own, train=10))


def test_no_two_architectures_compute_the_same() -> None:
    texts = draw_untabled(BenchConfig(train=200)).architectures
    assert len({SPACE.canonical(SPACE.parse(text)) for text in texts}) == 200
    assert draw_untabled(BenchConfig(train=50)).architectures == texts[:50]
    assert draw_untabled(BenchConfig(train=50, seed=1)).architectures != texts[:50]


def trained(architecture: str, accuracy: float | None) -> TrainingRecord:
    epoch = Epoch(1, 0.1, 1.0, 0.5, 1.0, 0.5, 3.0)
    reason = "" if accuracy is not None else "the loss is nan"
    return TrainingRecord(architecture, "random", 1, 1, (epoch,), 1, accuracy, None, reason, 3.0)


def test_networks_that_cannot_be_trained_are_left_out_and_counted(board: Leaderboard) -> None:
    """An architecture one of whose trainings failed has no accuracy."""
    accuracies = {"a": (0.5, 0.7), "b": (0.9, None), "c": (0.8, 0.8), "d": (0.7, 0.9)}
    rows = tuple(trained(text, each) for text, pair in accuracies.items() for each in pair)
    record = replace(record_of(board), trainings=rows)
    found = trained_accuracies(record)
    assert dict(found.frame.iter_rows()) == pytest.approx(
        {"a": 0.6, "b": None, "c": 0.8, "d": 0.8}
    )
    assert "1 of 4 networks could not be trained: the loss is nan" in found.notes
    within = np.sqrt(np.mean([0.02, 0, 0.02]))
    assert f"differ by {within:.2%} (standard deviation)" in found.notes[2]
    two = replace(record, trainings=rows[:6])
    with pytest.raises(
        ValueError, match="3 networks or more that can be trained, got 2 of 3: the"
    ):
        trained_accuracies(two)


def judged(count: int, noise: float) -> Leaderboard:
    rng = np.random.default_rng(0)
    y = np.round(rng.uniform(0.5, 0.9, count), 2)  # equal accuracies among them
    frame = pl.DataFrame({"architecture": [f"a{i}" for i in range(count)], "accuracy": y})
    columns = {
        "good": y + noise * rng.normal(size=count),
        "wrong": -y,
        "none": rng.normal(size=count),
    }
    known = {name: Known() for name in columns} | {"size": Known(kind="baseline")}
    frame = frame.with_columns(**columns, size=rng.normal(size=count))
    return rank_scores(frame, "accuracy", known, population="", few=True, resamples=50)


def test_the_statement_says_what_is_told_from_chance_and_what_so_few_cannot_tell() -> None:
    said = calibration(judged(10, 0.02))
    assert "good ranks on these images: tau 0." in said
    assert (
        "wrong ranks the wrong way round on these images: tau -1.00 (95 % interval -1.00 to"
        in said
    )
    assert "Not told from chance: none." in said
    assert said.endswith("10 networks cannot tell a tau below about 0.51 from chance.")
    assert least_told_apart(10) == pytest.approx(0.51, abs=0.005)


def test_from_20_networks_on_all_statistics_are_there() -> None:
    few, many = judged(19, 0.02), judged(20, 0.02)
    assert few.few
    assert not many.few
    assert few.scores["discovered"].is_null().all()
    assert few.scores["tau"].is_not_null().all()
    assert many.scores["discovered"].is_not_null().all()


def test_equal_accuracies_rank_nothing() -> None:
    board = judged(8, 0.1)
    flat = board.values.with_columns(accuracy=0.5)
    found = rank_scores(flat, "accuracy", {"good": Known()}, population="", few=True)
    assert found.scores["tau"].to_list() == [None]
    assert "are equal" in found.scores["reason"].item()
    assert "Not told" not in calibration(found)


def test_a_repeated_training_has_a_seed_that_no_other_run_has(
    board: Leaderboard, config: BenchConfig
) -> None:
    with sqlite3.connect(config.out / "store.db") as store:
        questions = [json.loads(row[0]) for row in store.execute("select question from trainings")]
    seeds = {asked["seed"] for asked in questions}
    first, other = sorted(seeds)
    assert first == config.seed
    assert other > 10**9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": 2}, "train: expected a number of at least 3, got 2"),
        ({"table": "nasbench201"}, "table: expected nothing beside --train, got 'nasbench201'"),
        ({"dataset": "cifar10"}, "dataset: expected nothing beside --train, got 'cifar10'"),
        ({"sample": 50}, "sample: expected nothing beside --train, got 50"),
        ({"population": "canonical"}, "population: expected nothing beside --train"),
        ({"train": None}, r"training: expected nothing without --train, got {'epochs': 1, 'batch"),
        ({"train": None, "training": TrainingSpec()}, "repeats: expected nothing without --train"),
        ({"repeats": 0}, "repeats: expected a number of at least 1, got 0"),
        ({"training": TrainingSpec(recipe="brie")}, "training.recipe: unknown recipe 'brie'"),
        ({"scale": "huge"}, "unknown scale 'huge'"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    config: BenchConfig, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        bench(replace(config, **change))  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_the_command(command: Command, tmp_path: Path) -> None:
    words = ("bench", "--train", "3", "--training.epochs", "1", "--training.images", "60",
             "--scale", "thin", "--scores", "ranked:Noisy", "--draws", "1",
             "--workers", "0")  # fmt: skip
    code, out, _ = command(*words, "--dry-run")
    assert code == 0
    assert "on 3 at random of the space nasbench201, judged by training them" in out
    code, out, _ = command(*words)
    assert code == 0
    assert "By digits_test_1: 3 at random of the space nasbench201" in out
    assert "3 networks cannot tell any tau from chance." in out
    assert "from fewer than 20 architectures little else can be said" in out
    assert "resamples" not in out
    page = next(Path("untrained-runs").glob("*/digits_test_1/leaderboard.html")).read_text("utf-8")
    assert "little else can be said" in page
    assert "Scores with the same letter" not in page
    code, out, _ = command(*words, "--json")
    found = json.loads(out)
    assert {row["p_value"] for row in found["scores"]} <= {1 / 3, 1.0, None}
