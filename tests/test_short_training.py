"""Short training before a score: against training by hand, and where it fails."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from measured import readings
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from untrained.images import Images, ProbeSpec, draw_probe
from untrained.networks import draw_weights
from untrained.runs import RunConfig, load_record, run, tasks
from untrained.runs.presets import resolve
from untrained.runs.setup import ScoreSetup, make_setup, make_setups
from untrained.runs.streams import SHORT_TRAINING, stream
from untrained.runs.tasks import ScoreTask, build, measure
from untrained.scores.kernel import NTKView
from untrained.settings import Setting
from untrained.spaces import CellScale, get_space
from untrained.training import Recipe, TrainingSpec, get_recipe, train, train_short

TEXT = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
SPACE = get_space("nasbench201")
SMALL: dict[str, Any] = {"channels": 4, "images": 128, "batch": 32}


def small_setup(name: str, **settings: Any) -> ScoreSetup:
    return make_setup(name, SPACE, {**SMALL, "count": 60, **settings})


def task(*setups: ScoreSetup, draws: tuple[int, ...] = (5,)) -> ScoreTask:
    return ScoreTask("nasbench201", TEXT, setups, draws, "cpu")


def test_scores_are_those_of_a_network_trained_by_hand(digits: Images) -> None:
    asked = (small_setup("validation_accuracy", epochs=2), small_setup("training_loss", epochs=2))
    (found,) = measure(task(*asked), digits)
    network = build("nasbench201", TEXT, CellScale(4, 1), digits)
    draw_weights(network, "kaiming_fan_out", stream(5, "weights"))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    short_training = asked[0].short_training
    assert short_training is not None
    subset = digits.training_on(short_training.images, stream(5, SHORT_TRAINING))
    assert len(subset.train) == 128
    assert short_training.recipe == replace(get_recipe("short"), epochs=2, batch=32)
    train_short(network, subset, short_training.recipe, seed=5)
    specs = (ProbeSpec(count=60, split="validation"), ProbeSpec(count=60, split="train"))
    for reading, spec in zip(readings(found), specs, strict=True):
        probe = draw_probe(digits, spec, stream(5, "probe"))
        with torch.no_grad():
            logits = network(probe.inputs)
        expected = (
            (logits.argmax(1) == probe.labels).double().mean()
            if spec.split == "validation"
            else cross_entropy(logits.double(), probe.labels)
        )
        assert reading.value == pytest.approx(expected.item(), rel=1e-6)
    assert found[0].short_training > 0


def test_a_short_training_is_the_beginning_of_a_long_one(digits: Images) -> None:
    recipe = Recipe(epochs=3, batch=256)
    networks = [build("nasbench201", TEXT, CellScale(3, 1), digits) for _ in range(2)]
    for network in networks:
        draw_weights(network, "kaiming_fan_out", torch.Generator().manual_seed(0))
    train(networks[0], digits, recipe, seed=4, until=2)
    train_short(networks[1], digits, recipe, seed=4, until=2)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not networks[1].training


def test_validation_probes_show_no_training_image(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(count=100, split="validation"), stream(0, "probe"))
    shown = {image.numpy().tobytes() for image in probe.inputs}
    trained = digits.normalise(digits.train.pixels)
    held_out = digits.normalise(digits.validation.pixels)
    assert len(shown) == 100
    assert shown <= {image.numpy().tobytes() for image in held_out}
    assert shown.isdisjoint(image.numpy().tobytes() for image in trained)
    assert probe.origin == "100 of digits/validation"


def test_diverging_training_is_a_named_failure_of_that_draw(digits: Images) -> None:
    asked = small_setup("training_loss", learning_rate=1e30)
    (found,) = measure(task(asked), digits)
    assert found[0].reading.value is None
    assert found[0].reading.reason.startswith(
        "training before the score: FloatingPointError: epoch 1, step "
    )


def test_scores_at_initialisation_and_after_training_are_other_questions() -> None:
    before = small_setup("condition_number", **{"images": 128, "batch": 32, "epochs": 1})
    left = {name: value for name, value in SMALL.items() if name == "channels"}
    after = make_setup("condition_number", SPACE, {**left, "count": 60})
    assert after.short_training is None
    assert before.short_training == small_setup("training_loss").short_training
    assert asdict(before) != asdict(after)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("condition_number", {"batch": 32}, "expected no setting of training.*set epochs too"),
        ("validation_accuracy", {"epochs": 0.5}, "expected a whole number"),
        ("validation_accuracy", {"recipe": "nothing"}, "nothing"),
        ("validation_accuracy", {"learning_rate": 0.0}, "expected more than 0"),
        ("validation_accuracy", {"split": "test"}, "expected 'train' or 'validation'"),
        ("validation_accuracy", {"epoch": 2}, "unknown setting 'epoch'.*epochs"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_setup(name, SPACE, settings)


def test_scores_that_share_a_training_train_once_and_resume(tmp_path: Path) -> None:
    names = ("validation_accuracy", "validation_loss", "training_accuracy")
    settings: dict[str, dict[str, Setting]] = {
        name: {**SMALL, "count": 60, "cells": 1} for name in names
    }
    config = RunConfig(
        searcher="random",
        options={"evaluations": 2},
        scores=names,
        score_settings=settings,
        draws=1,
        workers=0,
        out=tmp_path,
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    costs = {cost.step: cost.count for cost in record.costs}
    assert costs["training before scores"] == 2  # one an architecture
    assert costs["validation_accuracy"] == costs["training_accuracy"] == 2
    again = load_record(folder.store, run(config).name)
    assert again.trials == record.trials
    assert {cost.step: cost.count for cost in again.costs}["training before scores"] == 2


def test_the_command_scores_after_an_epoch(tmp_path: Path) -> None:
    flags = [
        f"--score-settings.validation_accuracy.{name}={value}" for name, value in SMALL.items()
    ]
    command = [sys.executable, "-m", "untrained", "score", TEXT, "--draws=1", "--json"]
    command += ["--scores", "validation_accuracy", *flags, f"--out={tmp_path}", "--workers=0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (trial,) = json.loads(done.stdout)["trials"]
    assert 0 < trial["scores"]["validation_accuracy"][0] <= 1


# After several epochs


def test_one_training_serves_scores_after_several_epochs(digits: Images) -> None:
    names = ("label_alignment@1", "label_alignment@3", "validation_loss@3")
    asked = [make_setup(name, SPACE, {**SMALL, "count": 60}) for name in names]
    assert [each.epochs for each in asked] == [1, 3, 3]
    assert len({each.network_spec for each in asked}) == 1
    (together,) = measure(task(*asked), digits)
    alone = [measure(task(each), digits)[0][0].reading for each in asked]
    assert list(readings(together)) == alone
    assert len({reading.value for reading in alone}) == 3


def test_a_recipe_that_falls_has_a_training_for_each_number_of_epochs(digits: Images) -> None:
    falling = {**SMALL, "recipe": "default"}
    asked = [make_setup(f"validation_loss@{e}", SPACE, falling) for e in (1, 2)]
    assert len({each.network_spec for each in asked}) == 2


def test_a_training_that_is_resumed_is_an_unbroken_one(digits: Images) -> None:
    recipe = replace(get_recipe("short"), epochs=3, batch=256)
    networks = [build("nasbench201", TEXT, CellScale(3, 1), digits) for _ in range(3)]
    for network in networks:
        draw_weights(network, "kaiming_fan_out", torch.Generator().manual_seed(0))
    whole = train_short(networks[0], digits, recipe, seed=4)
    part = train_short(networks[1], digits, recipe, seed=4, until=1)
    train_short(networks[2], digits, recipe, seed=4, since=part)
    first, second = networks[0].state_dict(), networks[2].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (part.epochs, whole.epochs) == (1, 3)
    with pytest.raises(ValueError, match="expected a training of at most 1 epochs, got 3"):
        train_short(networks[1], digits, recipe, until=1, since=whole)


def test_what_scores_view_alike_is_computed_once(
    digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    views: list[NTKView] = []
    see = NTKView.__call__

    def counted(view: NTKView, *shown: Any) -> Any:
        views.append(view)
        return see(view, *shown)

    monkeypatch.setattr(NTKView, "__call__", counted)
    plain = {"channels": 4, "count": 30}
    names = ("label_alignment@0", "ntk_norm", "ntk_mean", "ntk_trace")
    asked = [make_setup(name, SPACE, plain) for name in names]
    (found,) = measure(task(*asked), digits)
    assert len(views) == 1
    assert all(reading.value is not None for reading in readings(found))
    assert len({measurement.seconds for measurement in found}) == 4
    asked[1] = make_setup("ntk_norm", SPACE, {**plain, "parameters": "all"})
    measure(task(*asked), digits)
    assert len(views) == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"scores": ("label_alignment@x",)}, "expected a number of epochs after @, got 'x'"),
        (
            {"scores": ("parameters",), "short_training": TrainingSpec(images=9)},
            "no score is taken after training",
        ),
        (
            {"scores": ("label_alignment",), "short_training": TrainingSpec(images=1)},
            "short_training.images: expected a number of at least 2, got 1",
        ),
        (
            {"scores": ("label_alignment@2",), "score_settings": {"ntk_norm": {}}},
            "got some of ntk_n",
        ),
    ],
)
def test_wrong_questions_of_training_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_setups(SPACE, resolve(RunConfig(**asked)))


def test_per_score_settings_take_precedence() -> None:
    config = RunConfig(
        scores=("label_alignment@1", "label_alignment@4", "ntk_norm"),
        score_settings={"label_alignment": {"images": 50}, "label_alignment@4": {"batch": 16}},
        short_training=TrainingSpec(images=99, batch=32),
    )
    one, four, start = make_setups(SPACE, resolve(config))
    assert one.short_training is not None
    assert four.short_training is not None
    assert (one.short_training.images, one.short_training.recipe.batch) == (50, 32)
    assert (four.short_training.images, four.short_training.recipe.batch) == (50, 16)
    assert start.short_training is None


class Fixed(nn.Module):
    """Nothing to train."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda network: Fixed(), "expected a network with parameters to train"),
        (lambda network: nn.Sequential(network, nn.Linear(10, 4)), "one logit for each of 10"),
    ],
)
def test_a_network_that_cannot_be_trained_is_a_named_failure(
    change: Any, reason: str, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "build", lambda *asked, **kept: change(build(*asked, **kept)))
    (found,) = measure(task(small_setup("label_alignment"), small_setup("training_loss")), digits)
    for reading in readings(found):
        assert reading.value is None
        assert reading.reason.startswith("training before the score: ValueError: expected")
        assert reason in reading.reason


def test_a_probe_of_one_class_is_a_named_failure_and_the_search_goes_on(tmp_path: Path) -> None:
    config = RunConfig(
        searcher="random",
        options={"evaluations": 3},
        scores=("label_alignment", "parameters"),
        score_settings={"label_alignment": {"channels": 4, "count": 1}},
        short_training=TrainingSpec(images=64, batch=32),
        draws=1,
        workers=0,
        out=tmp_path,
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    assert len(record.trials) == 3
    for trial in record.trials:
        assert "one class" in trial.readings["label_alignment"][0].reason
        assert trial.readings["parameters"][0].value
    assert record.selected is None  # what has no value on some draw is never the best
