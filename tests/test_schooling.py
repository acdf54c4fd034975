"""A little training before a score looks: against training by hand, and where it fails."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from untrained.images import Images, ProbeSpec, draw_probe
from untrained.kernels import draw_weights
from untrained.runs import RunConfig, load_record, run
from untrained.runs.instrument import Instrument, make_instrument
from untrained.runs.tasks import Measure, build, measure, stream
from untrained.spaces import CellScale, get_space
from untrained.training import Recipe, train, train_briefly

TEXT = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
SPACE = get_space("nasbench201")
SMALL: dict[str, Any] = {"channels": 4, "images": 128, "batch": 32}


def instrument(name: str, **settings: Any) -> Instrument:
    return make_instrument(name, SPACE, {**SMALL, "count": 60, **settings})


def task(*instruments: Instrument, draws: tuple[int, ...] = (5,)) -> Measure:
    return Measure("nasbench201", TEXT, instruments, draws, "cpu")


def test_scores_are_those_of_a_network_trained_by_hand(digits: Images) -> None:
    asked = (instrument("validation_accuracy", epochs=2), instrument("training_loss", epochs=2))
    (found,) = measure(task(*asked), digits)
    network = build("nasbench201", TEXT, CellScale(4, 1), digits)
    draw_weights(network, "kaiming_fan_out", stream(5, "weights"))
    schooling = asked[0].schooling
    assert schooling is not None
    lesson = schooling.school(digits, stream(5, "schooling"))
    assert len(lesson.train) == 128
    assert schooling.recipe == Recipe(epochs=2, batch=32)
    train(network, lesson, Recipe(epochs=3, batch=32), seed=5, until=0)  # leaves it as it was
    train_briefly(network, lesson, schooling.recipe, seed=5)
    for reading, split in zip(found.readings, ("validation", "train"), strict=True):
        spec = ProbeSpec(count=60, split=split)  # type: ignore[arg-type]
        probe = draw_probe(digits, spec, stream(5, "probe"))
        with torch.no_grad():
            logits = network(probe.inputs)
        expected = (
            (logits.argmax(1) == probe.labels).double().mean()
            if split == "validation"
            else cross_entropy(logits.double(), probe.labels)
        )
        assert reading.value == pytest.approx(expected.item(), rel=1e-6)
    assert found.schooling > 0


def test_a_brief_training_is_the_beginning_of_a_long_one(digits: Images) -> None:
    recipe = Recipe(epochs=3, batch=256)
    networks = [build("nasbench201", TEXT, CellScale(3, 1), digits) for _ in range(2)]
    for network in networks:
        draw_weights(network, "kaiming_fan_out", torch.Generator().manual_seed(0))
    train(networks[0], digits, recipe, seed=4, until=2)
    train_briefly(networks[1], digits, recipe, seed=4, until=2)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not networks[1].training


def test_validation_probes_show_no_training_image(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(count=100, split="validation"), stream(0, "probe"))
    shown = {image.numpy().tobytes() for image in probe.inputs}
    trained = digits.normalise(digits.train.pixels)
    held_out = digits.normalise(digits.validation.pixels)
    assert shown <= {image.numpy().tobytes() for image in held_out}
    assert len(shown & {image.numpy().tobytes() for image in trained}) <= 1  # digits has twins
    assert probe.origin == "100 of digits/validation"


def test_diverging_training_is_a_named_failure_of_that_draw(digits: Images) -> None:
    asked = instrument("training_loss", learning_rate=1e30)
    (found,) = measure(task(asked), digits)
    assert found.readings[0].value is None
    assert found.readings[0].reason.startswith("training before the score: epoch 1, step ")


def test_scores_at_initialisation_and_after_training_are_other_questions() -> None:
    before = instrument("condition_number", **{"images": 128, "batch": 32, "epochs": 1})
    left = {name: value for name, value in SMALL.items() if name == "channels"}
    after = make_instrument("condition_number", SPACE, {**left, "count": 60})
    assert after.schooling is None
    assert before.schooling == instrument("training_loss").schooling
    assert before.plain() != after.plain()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("condition_number", {"batch": 32}, "expected no setting of training.*set epochs too"),
        ("validation_accuracy", {"epochs": 0.5}, "expected int"),
        ("validation_accuracy", {"recipe": "nothing"}, "nothing"),
        ("validation_accuracy", {"learning_rate": 0.0}, "expected more than 0"),
        ("validation_accuracy", {"split": "test"}, "expected 'train' or 'validation'"),
        ("validation_accuracy", {"epoch": 2}, "unknown setting 'epoch'.*epochs"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_instrument(name, SPACE, settings)


def test_scores_that_share_a_training_train_once_and_resume(tmp_path: Path) -> None:
    names = ("validation_accuracy", "validation_loss", "training_accuracy", "training_loss")
    settings = {name: {**SMALL, "count": 60, "cells": 1} for name in names}
    config = RunConfig(
        searcher="random",
        options={"evaluations": 2},
        scores=names[:3],
        instruments={name: settings[name] for name in names[:3]},  # type: ignore[arg-type]
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
    flags = [f"--instruments.validation_accuracy.{name}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "untrained", "score", TEXT, "--draws=1", "--json"]
    command += ["--scores", "validation_accuracy", *flags, f"--out={tmp_path}", "--workers=0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (trial,) = json.loads(done.stdout)["trials"]
    assert 0 < trial["scores"]["validation_accuracy"][0] <= 1
