"""The front door of Python: the commands' flags as keywords, what is found as values."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_type_hints

import numpy as np
import polars as pl
import pytest
import torch
from named_models import wide
from ranked import Failing
from torch import nn

import untrained
from untrained.benching.config import BenchConfig
from untrained.cli.actions import search as command
from untrained.front import keywords
from untrained.front.flags import configured
from untrained.front.watching import shown_by_default
from untrained.images import load_images
from untrained.images.held import HERE
from untrained.inspection.config import InspectConfig
from untrained.ranking.config import RankConfig
from untrained.runs import RunConfig, SweepConfig, load_record
from untrained.runs.config import ScoreConfig, TrainConfig
from untrained.runs.session import Progress, ignore
from untrained.tracking.config import TrackConfig, Tracking
from untrained.tracking.track import track
from untrained.training import Recipe, TrainingSpec, train

SMALL: dict[str, Any] = {"workers": 0, "draws": 2, "channels": 4, "cells": 1}
RANDOM: dict[str, Any] = {"searcher": "random", "options": {"evaluations": 3}}
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


def make(choose: Any, inputs: int, classes: int) -> nn.Module:
    """A space of four networks."""
    width = choose("width", (3, 5, 7, 9))
    pooled = nn.AdaptiveAvgPool2d(2), nn.Flatten()
    return nn.Sequential(nn.Conv2d(inputs, width, 3), nn.ReLU(), *pooled,
                         nn.Linear(4 * width, classes))  # fmt: skip


def arrays(classes: int = 3) -> dict[str, np.ndarray]:
    """Pictures that a script has."""
    labels = np.arange(240) % classes
    noise = np.random.default_rng(0).integers(0, 60, (240, 6, 6))
    return {"x_train": (noise + 60 * labels[:, None, None]).astype(np.uint8), "y_train": labels}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> untrained.Run:
    """A search with training, and a score that fails."""
    with pytest.MonkeyPatch.context() as patch:
        from spared import spare_graphs

        spare_graphs(patch)
        return untrained.search(
            scores=["naswot", "synflow"], train=True, training={"epochs": 1}, compare=1,
            out=tmp_path_factory.mktemp("out"), **RANDOM, **SMALL,
        )  # fmt: skip


# Flags


TAKING: list[tuple[Callable[..., Any], type, Any, set[str]]] = [
    (untrained.search, RunConfig, keywords.SearchFlags, {"images"}),
    (untrained.score, ScoreConfig, keywords.ScoreFlags, {"images"}),
    (untrained.train, TrainConfig, keywords.TrainFlags, {"images"}),
    (untrained.track, TrackConfig, keywords.TrackFlags, {"images", "network"}),
    (untrained.rank, RankConfig, keywords.RankFlags, {"images", "models"}),
    (untrained.inspect, InspectConfig, keywords.InspectFlags, {"images", "out"}),
    (untrained.sweep, SweepConfig, keywords.SweepFlags, {"images"}),
    (untrained.bench, BenchConfig, keywords.BenchFlags, {"images"}),
]


@pytest.mark.parametrize(("function", "config", "typed", "own"), TAKING)
def test_keywords_are_the_flags(
    function: Callable[..., Any], config: type, typed: Any, own: set[str]
) -> None:
    """In what type checkers see, and in what `help` shows."""
    flags = {f.name for f in fields(config)} - own
    assert set(get_type_hints(typed)) == flags
    shown = inspect.signature(function).parameters
    assert flags <= set(shown)
    assert not any(p.kind is p.VAR_KEYWORD for p in shown.values())
    assert all(shown[name].default == getattr(config(), name) for name in flags)


def test_values_are_as_python_has_them() -> None:
    """One for a list, a mapping for settings, a class or function for its name."""
    given = configured(
        RunConfig(training=TrainingSpec(batch=32)),
        {
            "scores": Failing, "space": make, "training": {"epochs": 3},
            "limit": {"parameters": "10k"}, "compare": ["resnet", 2], "calibrate_scores": ["zico"],
        },
    )  # fmt: skip
    assert given.scores == ("ranked:Failing",)
    assert given.space == "test_front:make"
    assert (given.training.epochs, given.training.batch) == (3, 32)
    assert given.limit == ("parameters=10k",)
    assert given.compare == ("resnet", 2)
    assert given.calibrate_scores == ("zico",)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"epochs": 3}, "unknown setting 'epochs' of RunConfig: expected"),
        ({"training": {"epoch": 3}}, "unknown setting 'epoch' of TrainingSpec: expected epochs"),
        ({"space": lambda choose: None}, "space: expected something at the top of a module"),
        ({"images": load_images("digits"), "size": 4}, r"size: .* try load_images"),
        ({"images": f"{HERE}lost"}, "got none called 'here:lost'.* again"),
    ],
)
def test_wrong_use_is_told_in_one_line(flags: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as error:
        untrained.search(**flags, out=tmp_path)
    assert "\n" not in str(error.value)
    assert not [*tmp_path.iterdir()]


# What is found


def test_it_is_the_run_of_the_command(found: untrained.Run, tmp_path: Path) -> None:
    asked = RunConfig(scores=("naswot", "synflow"), out=tmp_path, **RANDOM, **SMALL)
    command(asked, as_json=True)
    [store] = tmp_path.glob("*.db")
    [config] = tmp_path.glob("*/config.toml")
    record = load_record(store, config.parent.name)
    assert record.frame().equals(found.draws)
    assert record.selected == found.best


def test_trials_are_means_of_draws(found: untrained.Run) -> None:
    mean = pl.col("naswot").mean().alias("naswot")
    error = (pl.col("naswot").std() / 2**0.5).alias("naswot_se")
    expected = found.draws.group_by("architecture", maintain_order=True).agg(mean, error)
    shown = found.trials.select("architecture", "naswot", "naswot_se")
    assert shown["architecture"].equals(expected["architecture"])
    for name in ("naswot", "naswot_se"):
        assert shown[name].to_list() == pytest.approx(expected[name].to_list())
    assert set(found.trials["reason"]) == {""}


def test_the_network_is_the_one_that_was_trained(found: untrained.Run) -> None:
    images, network = load_images("digits"), found.network()
    assert not network.training
    pixels = images.test.pixels.float() / 255
    x = (pixels - images.mean[:, None, None]) / images.std[:, None, None]
    with torch.no_grad():
        accuracy = (network(x).argmax(1) == images.test.labels).float().mean().item()
    chosen = found.trainings.filter(role="selected")
    assert chosen["test_accuracy"].item() == pytest.approx(accuracy)
    assert chosen["parameters"].item() == sum(p.numel() for p in network.parameters())
    assert len(found.epochs) == len(found.trainings) == 2
    assert found.verdict


def test_figures_and_pages(found: untrained.Run, tmp_path: Path) -> None:
    for figure in (found.plot_scores(), found.plot_training(), found.plot_sizes()):
        assert figure.data
    page = untrained.report(found, tmp_path / "page.html")
    assert found.best is not None
    assert found.verdict.split(",")[0] in Path(str(page)).read_text(encoding="utf-8")
    assert untrained.report(found.folder.path) == found.folder.report
    with pytest.raises(ValueError, match="seeks a Pareto front"):
        found.plot_front()
    with pytest.raises(ValueError, match="expected loss or accuracy, got 'loses'"):
        found.plot_training("loses")


def test_a_run_is_opened_again(found: untrained.Run) -> None:
    again = untrained.open_run(str(found.folder.path))
    assert again.trials.equals(found.trials)
    assert again.costs["step"].to_list() == found.costs["step"].to_list()
    assert f"<strong>Run {found.record.name}" in again._repr_html_()


# What is given


def test_images_architectures_and_spaces_of_this_process(tmp_path: Path) -> None:
    images = load_images(arrays())
    for given in (arrays(), images):
        found = untrained.search(
            given, space=make, scores=["synflow", "ranked:Failing"], out=tmp_path, workers=0,
            draws=1, **RANDOM,
        )  # fmt: skip
        assert set(found.failures["score"]) == {"ranked:Failing"}
    named = untrained.score(
        ["width=3", "width=5"], images, space=make, scores="synflow", out=tmp_path, workers=0,
        draws=1,
    )  # fmt: skip
    assert named.trials["architecture"].to_list() == ["width=3", "width=5"]
    with pytest.raises(ValueError, match="has trained and exported its network"):
        named.network()
    with pytest.raises(ValueError, match="expected networks that were trained"):
        named.plot_sizes()


def test_one_architecture_is_trained(tmp_path: Path, without_graphs: None) -> None:
    found = untrained.train(
        CELL, training={"epochs": 1}, compare=0, out=tmp_path, workers=0, channels=4, cells=1
    )
    assert found.best == found.trainings["architecture"].item() == CELL


@pytest.mark.parametrize("given", ["module", "function", "path", "architecture"])
def test_any_network_is_tracked(given: str, tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    pictures: Any = "digits" if given in ("path", "architecture") else arrays()
    networks: dict[str, Any] = {
        "module": own(), "function": own, "path": "named_models:wide", "architecture": CELL,
    }  # fmt: skip
    found = untrained.track(
        networks[given], pictures, training={"epochs": 1}, support=0, probe=16, held_out=16,
        scale="small", out=tmp_path,
    )  # fmt: skip
    assert found.snapshots["epoch"].to_list() == [0, 1]
    if given in ("module", "function"):  # linear, in whose training the kernel stays
        assert found.snapshots["change_initial"].to_list() == [0.0, 0.0]
    assert found.plot("validation_accuracy").data
    assert untrained.report(found).exists()
    assert found.folder is not None
    assert untrained.open_track(found.folder.path).snapshots.equals(found.snapshots)
    with pytest.raises(ValueError, match="quantity: expected one of alignment, "):
        found.plot("align")


def test_models_and_scores_are_ranked(tmp_path: Path) -> None:
    found = untrained.rank({"wide": wide}, arrays(), draws=1, workers=0, out=tmp_path)
    assert found.models["model"].to_list() == ["wide"]
    assert "<strong>Ranking" in found._repr_html_()
    board = untrained.bench(
        arrays(), space=make, scores="synflow", train=3, training={"epochs": 1}, draws=1,
        workers=0, out=tmp_path,
    )  # fmt: skip
    assert len(board.values) == 3
    assert "synflow" in board._repr_html_()
    assert untrained.report(board).exists()


def test_any_network_is_inspected() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))
    images = load_images(arrays())
    for given in (images, arrays()):
        found = untrained.inspect(network, given, probe=20)
        assert found.origin.startswith("20 of arrays/train")
    assert "<strong>Inspection on 20 of" in found._repr_html_()
    assert untrained.inspect(CELL, scale="narrow", probe=8).layers.height > 3
    assert untrained.inspect(network, torch.randn(9, 1, 6, 6)).origin == "9 images given"
    with pytest.raises(ValueError, match=r"expected an nn\.Module beside a batch"):
        untrained.inspect(CELL, torch.randn(9, 1, 6, 6))
    with pytest.raises(ValueError, match="page: expected a file"):
        untrained.report(found)


def test_a_sweep_is_of_these_images(tmp_path: Path) -> None:
    for given in (arrays(), load_images(arrays())):
        state = untrained.sweep(
            "all", given, space=make, scores="synflow", draws=1, workers=0, out=tmp_path
        )
        assert (state.done, state.total) == (4, 4)


def test_any_loop_is_tracked(tmp_path: Path) -> None:
    """With the numbers of `track`, of the same training with the same seed."""
    made = list[object]()

    def own() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))

    images, spec = load_images(arrays()), {"support": 0, "probe": 16, "held_out": 16}
    recipe, tracker = Recipe(epochs=2, batch=20), untrained.Tracker(images, **spec)  # type: ignore
    network = own()
    tracker(network)
    train(network, images, recipe, on_epoch=lambda epoch: made.append(tracker(network)))
    expected = track(own(), images, recipe, Tracking(**spec))  # type: ignore[arg-type]
    found = tracker.tracked
    assert torch.equal(found.track.kernels, expected.kernels)
    assert made == [*found.track.snapshots[1:]]
    names = [n for n in found.snapshots.columns if not n.startswith(("train", "seconds"))]
    whole = untrained.Tracked(expected).snapshots
    assert found.snapshots.select(names).equals(whole.select(names))
    assert found.track.snapshots[1].train_loss.reason == "the training loop does not say"
    assert found.report(tmp_path / "page.html").exists()
    with pytest.raises(ValueError, match="page: expected a file"):
        found.report()
    with pytest.raises(ValueError, match="epoch: expected 3 or more, got 2"):
        tracker(network, 2)
    with pytest.raises(ValueError, match="epoch: expected 0, got 5"):
        untrained.Tracker(images, **spec)(network, 5)  # type: ignore[arg-type]


def test_a_notebook_shows_one_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for IPython, which scripts lack."""
    shown: list[str] = []

    class Handle:
        def update(self, what: Any) -> None:
            shown.append(what._repr_html_())

    def display(what: Any, display_id: bool) -> Handle:
        shown.append(repr(what))
        return Handle()

    def stand_in(shell: object) -> None:
        module, displaying = ModuleType("IPython"), ModuleType("IPython.display")
        vars(module)["get_ipython"] = lambda: shell
        vars(displaying)["display"] = display
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", displaying)

    stand_in(SimpleNamespace(kernel=1))
    tell = shown_by_default()
    for done in range(4):
        tell(Progress("search <1>", done, 3))
    assert shown == ["search <1>: 0 of 3", "<small>search &lt;1&gt;: 3 of 3</small>"]
    stand_in(None)  # a script
    assert shown_by_default() is ignore
    stand_in(SimpleNamespace())  # IPython in a terminal
    assert shown_by_default() is ignore
