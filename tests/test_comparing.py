"""What is trained beside the selected architecture: by number, by name, several times."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from test_report import EMPTY, training

from untrained.images import load_images
from untrained.networks.resnet import ResNet, ResNetSize, resnet_of_size
from untrained.pages.compared import Compared, against_references, compared, sentence
from untrained.pages.headline import headline
from untrained.pages.stored import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.runs.beside import Beside
from untrained.runs.presets import resolve
from untrained.runs.references import build_reference, sized
from untrained.storage import RunFolder
from untrained.training import TrainingSpec

NETWORKS = """
from torch import nn

def linear(inputs, classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * inputs, classes))

def other(inputs, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes + 1))
"""


@pytest.fixture
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compared_nets.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)


def asked(out: Path, **changes: Any) -> RunConfig:
    """Two random architectures by size, the larger of them trained."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 2}, "scores": ("parameters",),
        "draws": 1, "train": True, "scale": "small", "workers": 0, "out": out,
        "training": TrainingSpec(epochs=1, images=64), **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def told(folder: RunFolder) -> list[tuple[str, str, float | None]]:
    record = load_record(folder.store, folder.name)
    return [(t.role, t.architecture, t.test_accuracy) for t in record.trainings]


@pytest.mark.usefixtures("without_graphs", "_networks")
def test_networks_by_name_are_trained_beside_it_several_times(tmp_path: Path) -> None:
    compare = (1, "resnet", "compared_nets:linear")
    folder = run(asked(tmp_path, compare=compare, repeats=2))
    found = told(folder)
    assert [role for role, _, _ in found] == ["selected", "random", "reference", "reference"] * 2
    assert [name for _, name, _ in found[:4]] == [name for _, name, _ in found[4:]]
    record = load_record(folder.store, folder.name)
    selected, _, resnet, linear = record.trainings[:4]
    assert linear.architecture == "compared_nets:linear"
    assert linear.parameters == 170
    assert abs(resnet.parameters / selected.parameters - 1) < 0.3
    epochs = [[replace(e, seconds=0.0) for e in t.epochs] for t in record.trainings]
    assert epochs[2] != epochs[6]  # from other weights
    page = report_run(folder).read_text(encoding="utf-8")
    for words in headline(record, record.images["test"]).references:  # type: ignore[arg-type]
        assert words.split(":")[0] in page
    assert told(run(asked(tmp_path, compare=compare, repeats=2))) == found


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (5, Beside(5, ())),
        ((0, "resnet"), Beside(0, ("resnet",))),
        (("a:b", 2, "a:c"), Beside(2, ("a:b", "a:c"))),
        ((), Beside(0, ())),
    ],
)
def test_a_number_names_or_both(compare: Any, expected: Beside) -> None:
    assert resolve(RunConfig(compare=compare)).beside == expected


@pytest.mark.parametrize("wrong", [(1, 2), ("vgg",), ("resnet", "resnet"), (-1, "resnet"), -1])
def test_what_cannot_be_compared_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="compare: expected"):
        resolve(RunConfig(compare=wrong))


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("compared_nets:other", r"compared_nets:other.*: expected outputs of shape \(2, 10\)"),
        ("compared_nets:none", "cannot load model 'compared_nets:none'"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_the_search(
    name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        run(asked(tmp_path, compare=(name,)))
    assert not (tmp_path / "untrained.sqlite").exists()


def count(size: ResNetSize) -> int:
    network = ResNet(size, inputs=3, classes=10)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("parameters", [3_000, 40_000, 78_000, 271_000, 1_500_000])
def test_no_other_width_is_nearer(parameters: int) -> None:
    size = resnet_of_size(parameters, inputs=3, classes=10)
    others = [size._replace(width=size.width + by) for by in (-1, 1) if size.width + by > 0]
    off = abs(count(size) - parameters)
    assert all(off <= abs(count(other) - parameters) for other in others)


def test_published_sizes() -> None:
    """ResNet-20 has 0.27 million parameters, and this one 2,752 in the shortcuts beside."""
    assert resnet_of_size(272_474, inputs=3, classes=10) == ResNetSize(blocks=3, width=16)
    assert count(ResNetSize(blocks=3, width=16)) == 272_474


def test_a_reference_is_built_again_from_its_name() -> None:
    images = load_images("digits")
    name = sized("resnet", 20_000, images)
    one, two, three = (build_reference(name, images, seed).state_dict() for seed in (0, 0, 1))
    assert all((one[key] == two[key]).all() for key in one)
    assert any((one[key] != three[key]).any() for key in one)


def side(*accuracies: float, role: str = "reference") -> Compared:
    return Compared("resnet", role, 1000, accuracies, len(accuracies), "")


@pytest.mark.parametrize(
    ("selected", "other", "words"),
    [
        (
            (0.90,),
            (0.80,),
            r"beats resnet: 90.0 % against 80.0 %, 10.0 ± 1.6 points, each .* once",
        ),
        ((0.80,), (0.90,), "is beaten by resnet"),
        ((0.90,), (0.89,), "cannot be told from resnet: .* 1.0 ± 1.4 points"),
        ((0.95, 0.85), (0.80, 0.79), "cannot be told from resnet.* means of 2 trainings"),
    ],
)
def test_the_verdict(selected: Sequence[float], other: Sequence[float], words: str) -> None:
    assert re.search(words, sentence(side(*selected, role="selected"), side(*other), 1000))


def test_errors_are_of_trainings_and_of_test_images() -> None:
    found = (0.90, 0.92, 0.85)
    between = stdev(found) / math.sqrt(3)
    p = fmean(found)
    chosen = math.sqrt(p * (1 - p) / 500)
    assert side(*found).between_trainings == pytest.approx(between)
    assert side(*found).error(500) == pytest.approx(math.sqrt(between**2 + chosen**2))
    assert side(0.9).error(None) == 0


def test_no_mistake_on_few_images_is_no_certainty() -> None:
    # p = 1 - 1 / 100: half a mistake in 50
    assert side(1.0).error(50) == pytest.approx(math.sqrt(0.01 * 0.99 / 50))
    assert side(0.0).error(50) == pytest.approx(side(1.0).error(50))
    words = sentence(side(1.0, role="selected"), side(0.98), 50)
    assert "cannot be told from resnet: 100.0 % against 98.0 %, 2.0 ± 2.4 points" in words
    record = replace(
        EMPTY, trainings=(training(accuracy=1.0), training("cell 1", "random", 0.98)),
        selected="cell 0",
    )  # fmt: skip
    assert "may well be chance" in headline(record, 50).caution


def test_repeated_trainings_are_one_network() -> None:
    trainings = (
        training(accuracy=0.9), training("cell 1", "random", 0.8), training("r", "reference", 0.7),
        training(accuracy=0.8), training("cell 1", "random", 0.6),
        training("r", "reference", None, reason="out of memory"),
    )  # fmt: skip
    record = replace(EMPTY, trainings=trainings, selected="cell 0")
    assert [(n.role, n.accuracy, n.trainings) for n in compared(record)] == [
        ("selected", pytest.approx(0.85), 2), ("random", pytest.approx(0.7), 2),
        ("reference", 0.7, 2),
    ]  # fmt: skip
    found = headline(record, 900)
    assert found.selected_accuracy == pytest.approx(0.85)
    assert list(found.random_accuracies) == pytest.approx([0.7])
    assert "beats 1 of 1" in found.verdict
    assert "trained 2 times" in found.caution
    assert found.references == against_references(record, 900)
    assert "beats r" in found.references[0]
