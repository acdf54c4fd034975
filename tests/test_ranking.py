"""Models ranked from one call and from the command: order, sizes, failures, pages, misuse."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import named_models
import polars as pl
import pytest
import torch
from scipy.stats import kendalltau
from test_cli import Command, command

from untrained.front import rank
from untrained.images import load_images
from untrained.pages import report_ranking
from untrained.pages.ranking_drawings import (
    draw_accuracies,
    draw_scores,
    draw_sizes,
    ranked_models,
)
from untrained.ranking import RankConfig, Ranking
from untrained.ranking.measured import CONFIG
from untrained.ranking.naming import named_models as named
from untrained.spaces.models import Model
from untrained.training import TrainingSpec

__all__ = ["command"]  # a fixture

MODELS = ("named_models:NETS", "named_models:of_two_inputs", "named_models:huge")
FEW = {"nngp_leave_one_out": {"count": 60, "ensemble": 1}}


def config_of(out: Path, **changes: object) -> RankConfig:
    asked: dict[str, object] = {"draws": 3, "workers": 0, "out": out, "score_settings": FEW}
    return RankConfig(**{**asked, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Ranking:
    return rank(MODELS, config=config_of(tmp_path_factory.mktemp("out")))


def row_of(ranking: Ranking, model: str) -> dict[str, object]:
    return ranking.models.row(by_predicate=pl.col("model") == model, named=True)


def test_models_are_in_the_order_of_their_means(ranking: Ranking) -> None:
    means = ranking.draws.group_by("model").agg(pl.col("nngp_leave_one_out").mean())
    expected = means.drop_nulls().sort("nngp_leave_one_out", descending=True)
    placed = ranking.ranked
    assert placed["nngp_leave_one_out"].to_list() == pytest.approx(
        expected["nngp_leave_one_out"].to_list()
    )
    assert placed["place"].to_list() == [1, 2, 3]
    assert placed["group"][0] == 1
    assert (placed["nngp_leave_one_out_low"] <= placed["nngp_leave_one_out"]).all()
    assert ranking.verdict.startswith(f"{placed['model'][0]} is first by nngp_leave_one_out")


def test_sizes_are_those_of_the_model(ranking: Ranking) -> None:
    row = row_of(ranking, "named_models:NETS.small")
    assert row["parameters"] == 90  # 9 x 4 + 4 + 4 x 10 + 10
    assert row["macs"] == 64 * 9 * 4 + 40
    assert isinstance(row["training_memory"], int)
    assert isinstance(row["latency"], float)
    assert isinstance(row["latency_high"], float)
    assert row["latency_high"] >= row["latency"] > 0


def test_failures_come_last_with_their_reasons(ranking: Ranking) -> None:
    reasons = dict(ranking.failed.select("model", "reason").iter_rows())
    assert list(reasons) == ["named_models:of_two_inputs", "named_models:huge"]
    assert reasons["named_models:of_two_inputs"].startswith("expected one that takes images alone")
    assert reasons["named_models:huge"].startswith("too large for this machine: its parameters")


def test_what_cannot_be_built_is_said_before_anything_is_scored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[tuple[str, int]] = []
    with caplog.at_level(logging.WARNING):
        rank(
            MODELS,
            config=config_of(tmp_path),
            on_progress=lambda each: said.append((each.phase, len(caplog.records))),
        )
    assert {count for phase, count in said if phase == "sizes"} == {0}
    assert {count for phase, count in said if phase.startswith("scores")} == {2}
    assert "of_two_inputs: expected one that takes images alone" in caplog.text


def test_files_and_a_command_that_makes_it_again(ranking: Ranking, tmp_path: Path) -> None:
    assert ranking.folder is not None
    assert (ranking.folder / CONFIG).read_text().count("named_models:") == 5
    kept = pl.read_parquet(ranking.folder / "ranking.parquet")
    assert kept.equals(ranking.models)
    page = report_ranking(ranking).read_text()
    assert "takes images alone" in page
    assert str(ranking.folder / CONFIG) in page
    assert report_ranking(ranking, tmp_path / "page.html").exists()


def test_figures_are_of_the_models_that_have_a_place(ranking: Ranking) -> None:
    models = ranked_models(ranking)
    assert [each.model for each in models] == ranking.ranked["model"].to_list()
    (drawn,) = draw_scores(models, ranking.ordered_by).data
    assert list(drawn.x) == ranking.ranked["nngp_leave_one_out"].to_list()
    for cost in ("parameters", "latency"):
        figure = draw_sizes(models, ranking.ordered_by, cost)
        assert figure is not None
        assert sorted(figure.data[0].x) == sorted(ranking.ranked[cost].to_list())


# Trained beside


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Ranking:
    brief = TrainingSpec(epochs=1, images=128)
    asked = config_of(tmp_path_factory.mktemp("out"), train=True, training=brief, repeats=2)
    paths = (*MODELS[:2], "named_models:overflows")
    return rank(paths, config=asked)


def test_models_are_trained_and_the_order_is_judged(trained: Ranking) -> None:
    """By SciPy's tau; models that were not trained, or have no place, are left out."""
    small = row_of(trained, "named_models:NETS.small")
    assert 0 < small["accuracy"] < 1  # type: ignore[operator]
    assert row_of(trained, "named_models:of_two_inputs")["accuracy"] is None
    assert trained.agreement is not None
    judged = {row["score"]: row for row in trained.agreement.iter_rows(named=True)}
    assert list(judged) == ["nngp_leave_one_out", "parameters", "macs", "latency"]
    sound = trained.ranked.drop_nulls("accuracy")
    for name in ("nngp_leave_one_out", "parameters"):
        assert judged[name]["count"] == len(sound) == 3
        expected = kendalltau(sound[name], sound["accuracy"]).statistic
        assert judged[name]["tau"] == pytest.approx(expected)
        assert judged[name]["tau_low"] <= expected <= judged[name]["tau_high"]
    most = trained.models["accuracy"].max()
    best = trained.models.filter(pl.col("accuracy") == most)["model"][0]
    assert f"{best} is the most accurate" in trained.agreement_verdict
    assert "which may be chance" in trained.agreement_verdict


def test_a_model_that_cannot_be_trained_says_why(trained: Ranking) -> None:
    row = row_of(trained, "named_models:overflows")
    assert row["accuracy"] is None
    assert row["reason"]


def test_files_and_page_of_a_trained_ranking(trained: Ranking) -> None:
    assert trained.folder is not None
    kept = pl.read_csv(trained.folder / "agreement.csv")
    assert kept.columns == ["score", "count", "tau", "tau_low", "tau_high", "p_value"]
    assert "train = true" in (trained.folder / CONFIG).read_text()
    page = report_ranking(trained).read_text()
    assert "Short trainings" in page
    assert trained.agreement_verdict in page
    assert draw_accuracies(ranked_models(trained), trained.ordered_by) is not None


def test_what_latency_is_of_is_told(ranking: Ranking, tmp_path: Path) -> None:
    assert "Latency is of one image in PyTorch, on one thread of this" in ranking.notes[0]
    settings = {**FEW, "latency": {"count": 32, "threads": 2}}
    found = rank(MODELS[:1], config=config_of(tmp_path, draws=1, score_settings=settings))
    assert "Latency is of 32 images in PyTorch, on 2 threads of this" in found.notes[0]


def test_without_train_there_is_no_agreement(ranking: Ranking) -> None:
    assert ranking.agreement is None
    assert ranking.agreement_verdict == ""
    assert "accuracy" not in ranking.models.columns
    assert "Short trainings" not in report_ranking(ranking).read_text()


# From Python


def test_images_in_memory_are_those_of_their_name(ranking: Ranking, tmp_path: Path) -> None:
    """The same numbers, and kept; but no command line makes them again."""
    found = rank(MODELS[:1], load_images("digits"), config=config_of(tmp_path))
    assert found.command == ""
    assert found.folder is not None
    for model in found.models["model"]:
        score = row_of(found, model)["nngp_leave_one_out"]
        assert score == row_of(ranking, model)["nngp_leave_one_out"]
    assert report_ranking(found).exists()


def test_arrays_are_images(tmp_path: Path) -> None:
    digits = load_images("digits").train
    arrays = {"x_train": digits.pixels, "y_train": digits.labels}
    found = rank(MODELS[:1], arrays, config=config_of(tmp_path, draws=1))
    assert len(found.ranked) == 3
    assert "images of arrays" in found.notes[0]


@pytest.mark.parametrize(
    ("images", "size", "told"),
    [
        ({"x_train": torch.zeros(2, 1, 4, 4)}, None, "lacks y_train"),
        (
            load_images("digits"),
            16,
            r"size: expected none .* got 16; try load_images\(..., size=16\)",
        ),
    ],
)
def test_other_images_are_refused(images: Any, size: int | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        rank(MODELS[:1], images, config=RankConfig(size=size))


def test_what_only_this_process_has_is_ranked_and_not_kept(tmp_path: Path) -> None:
    made = {"lambda": lambda classes: named_models.wide(classes, 1), "ready": named_models.READY}
    scores = ("nngp_leave_one_out", "naswot")
    found = rank(made, config=config_of(tmp_path, scores=scores, workers=4))
    assert found.folder is None
    assert not list(tmp_path.iterdir())
    assert found.ordered_by == "rank_sum"
    assert set(found.models["model"]) == {"lambda", "ready"}
    with pytest.raises(ValueError, match="no folder"):
        report_ranking(found)
    assert "lambda" in report_ranking(found, tmp_path / "page.html").read_text()


def test_what_can_be_imported_goes_by_its_path() -> None:
    found = named({"a": named_models.wide, "b": named_models.Perceptron, "c": "named_models:lazy"})
    assert not found.held
    assert [each.path for each in found.architectures.values()] == [
        "named_models:wide", "named_models:Perceptron", "named_models:lazy",
    ]  # fmt: skip
    assert named({"a": named_models.wide, "b": lambda: None}).held
    assert named(["named_models:wide=built"]).architectures == {
        "named_models:wide=built": Model("named_models:wide", "built")
    }


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ([], "expected one or more, got none"),
        ("named_models:wide", "expected several in a list"),
        (["named_models:wide", "named_models:wid"], "cannot load model 'named_models:wid'"),
        ({"a": named_models.wide, "b": "named_models:wide"}, "expected each once"),
        ({"a": 3, "b": named_models.wide}, "model 'a': expected a function, .*, got 3"),
    ],
)
def test_models_that_are_not_there_are_told_at_once(models: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        rank(models)  # type: ignore[arg-type]


def test_wrong_configurations_are_told_at_once(tmp_path: Path) -> None:
    for changes, told in (
        ({"draws": 0}, "draws: expected a number of at least 1"),
        ({"scores": ()}, "scores: expected at least one"),
        ({"scores": ("nngp",), "score_settings": {}}, "unknown score 'nngp'"),
    ):
        with pytest.raises(ValueError, match=told):
            rank(["named_models:wide"], config=config_of(tmp_path, **changes))
    with pytest.raises(ValueError, match="pretrained: expected names among a, got b"):
        rank({"a": named_models.wide}, pretrained=("b",))


# Weights that were learnt


def test_models_that_have_learnt_keep_their_weights(tmp_path: Path) -> None:
    network = named_models.convolutional(10, 1)
    with torch.no_grad():  # features that tell nothing apart
        network.get_parameter("0.weight").zero_()
        network.get_parameter("0.bias").fill_(1.0)
    torch.save(network.state_dict(), tmp_path / "blind.pt")
    texts = ("named_models:convolutional", f"named_models:convolutional={tmp_path / 'blind.pt'}")
    found = rank(texts, config=config_of(tmp_path / "out"))
    drawn, learnt = (row_of(found, text) for text in texts)
    assert (drawn["weights"], learnt["weights"]) == ("drawn", "learnt")
    assert drawn["place"] == 1
    assert drawn["linear_probe"] is None
    assert learnt["place"] is None or learnt["nngp_leave_one_out"] < 0.2  # type: ignore[operator]
    assert learnt["linear_probe"] < 0.2  # type: ignore[operator]


def test_a_score_that_draws_its_own_weights_cannot_be_of_learnt_ones(tmp_path: Path) -> None:
    config = config_of(tmp_path, scores=("rntk_variance",), score_settings={})
    with pytest.raises(ValueError, match="got rntk_variance, which draws its own; try"):
        rank(["named_models:wide=built"], config=config)


def test_every_draw_of_short_training_begins_with_the_learnt_weights(tmp_path: Path) -> None:
    score = "training_loss@1"
    few = TrainingSpec(images=64, learning_rate=1e-6)
    config = config_of(tmp_path, scores=(score,), score_settings={}, short_training=few)
    found = rank(["named_models:READY=built"], config=config).draws[score]
    assert found.to_list() == pytest.approx([found[0]] * 3, rel=0.02)


# The command


def test_the_command_shows_a_table_and_writes_a_page(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("rank", "--workers", "0", "--draws", "2", "--score-settings.nngp_leave_one_out.count",
             "40")  # fmt: skip
    code, out, err = command(*asked, "--models", "named_models:wide", "named_models:gives_pairs")
    assert code == 0
    assert "   named_models:" in out  # the head of the column
    assert "A  wide " in out
    assert "named_models:gives_pairs: expected outputs of shape (2, 10)" in out
    assert "named_models:gives_pairs: expected outputs of shape (2, 10)" in err
    page = next(Path("untrained-runs").glob("*/ranking/ranking.html"))
    assert str(page) in out.replace("\n", "")
    code, out, _ = command(*asked, "--json", "--models", "named_models:gives_pairs")
    assert code == 1
    assert json.loads(out)["verdict"] == "No model could be measured."
    code, out, _ = command("rank", "--dry-run", "--models", "named_models:LISTED")
    assert code == 0
    assert out.startswith("# ranks named_models:LISTED.0, named_models:LISTED.1\n")


def test_misuse_of_the_command_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for words, told in (
        (("--models", "timm:resnet18"), "try pip install timm"),
        (("--models", "nowhere:net"), "cannot load model 'nowhere:net'"),
        ((), "models: expected one or more, got none"),
        (
            ("--models", "named_models:wide", "--repeats", "2"),
            "repeats: expected 1 without --train",
        ),
        (("--training.epochs", "3"), "expected nothing without --train, got {'epochs': 3}"),
    ):
        code, out, err = command("rank", "--workers", "0", *words)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") <= 2
