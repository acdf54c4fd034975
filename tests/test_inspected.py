"""`untrained inspect`: models by name, what is printed, the page, and wrong use."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from trainable import he, mlp, resnet, times

from untrained import inspect
from untrained.cli.inspected import notable, show_inspected, show_layers
from untrained.images import Images
from untrained.inspection.config import InspectConfig
from untrained.inspection.curves import curves_of, kernel_shares
from untrained.inspection.inspecting import inspect_one, page_of

OWN = """
import torch
from torch import nn

def make(inputs, classes, size):
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs * size**2, 32), nn.ReLU())
    net.append(nn.Linear(32, classes))
    nn.init.constant_(net[1].bias, -10)
    return net

def large(inputs, classes):
    return nn.Sequential(nn.Conv2d(inputs, 8, 3), nn.Flatten(), nn.Linear(8 * 30**2, classes))

def breaks(inputs, classes):
    raise RuntimeError("no weights")

def two(inputs, classes):
    return nn.Bilinear(64, 64, classes)

def maps(inputs, classes):
    return nn.Conv2d(inputs, classes, 3)

def pair(inputs, classes):
    return nn.MaxPool2d(2, return_indices=True)

def text(inputs, classes):
    return "a network"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InspectConfig:
    (tmp_path / "inspected_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return InspectConfig(out=tmp_path / "pages")


def test_a_function_is_called_with_channels_classes_and_size(config: InspectConfig) -> None:
    found = inspect_one("inspected_nets:make", config)
    assert [finding.title for finding in found.findings] == ["dead units at layer 2"]
    assert found.origin == "64 of digits/train, normalised"


def test_an_architecture_is_given_by_its_text_form(config: InspectConfig) -> None:
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    found = inspect_one(text, replace(config, scale="small", probe=16))
    assert found.problems == ()
    assert found.origin == "16 of digits/train, normalised"


def test_a_network_may_be_shown_what_is_not_normalised(config: InspectConfig) -> None:
    unit, raw = (
        inspect_one("inspected_nets:make", replace(config, pixels=pixels))
        for pixels in ("unit", "bytes")
    )
    small, large = (found.evidence.passed.inputs.rms for found in (unit, raw))
    assert small is not None
    assert small < 1
    assert large == pytest.approx(255 * small)
    assert raw.findings[0].title == "the images are not normalised"


def test_what_was_found_is_printed_with_a_table_of_layers(
    config: InspectConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    show_inspected("inspected_nets:make", config, as_json=False)
    printed = capsys.readouterr().out
    assert "one thing hinders its training" in printed
    assert "dead units at layer 2" in printed
    assert "set the bias of layer 1 to 0" in " ".join(printed.split())
    assert str(page_of("inspected_nets:make", config)) in printed


def test_for_machines_it_is_one_json_object(
    config: InspectConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    show_inspected("inspected_nets:make", config, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["hinders"] == 1
    assert found["findings"][0]["layers"] == ["2"]
    assert [row["layer"] for row in found["layers"]] == ["1", "2", "3"]
    assert [row["parameter"] for row in found["parameters"]][-1] == "3.bias"
    assert Path(found["page"]).exists()


def test_of_many_layers_those_are_printed_that_findings_name(
    digits: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    found = inspect(mlp(30), digits)
    rows = found.layers.to_dicts()
    shown = notable(rows)
    assert {0, len(rows) - 1} <= {*shown}
    assert {k for k, row in enumerate(rows) if row["findings"]} <= {*shown}
    assert len(shown) < 20
    show_layers(found)
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) > 2 + len(shown)
    assert any(line.startswith("... ") and "more" in line for line in lines)


def test_the_page_is_one_file_that_shows_findings_curves_and_layers(
    digits: Images, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    found = inspect(times(resnet(), "10.weight", 100), digits)
    page = found.page(tmp_path / "page.html", title="<b>mine</b>", command="untrained inspect x")
    text = page.read_text()
    assert "the weights of layer 10 are too large" in text
    assert "&lt;b&gt;mine&lt;/b&gt;" in text
    assert "3.conv1.weight" in text
    assert text.count('class="plot"') == len(curves_of(found)) + 1
    assert "<script src" not in text


def test_curves_have_a_value_a_layer_and_shares_are_the_largest(digits: Images) -> None:
    found = inspect(he(mlp()), digits)
    curves = {curve.title: curve for curve in curves_of(found)}
    assert len(curves) == 6
    assert all(len(curve.values) == len(found.layers) for curve in curves.values())
    assert curves["Signal"].values == tuple(found.layers["rms"])
    assert curves["Dead units of activations"].known == [1, 3, 5, 7]
    few = kernel_shares(found, most=3)
    assert len(few) == 3
    assert {share for _, share in few} <= {*found.parameters["ntk_share"]}


def test_a_page_is_written_where_nothing_could_be_measured(tmp_path: Path) -> None:
    network = nn.Linear(4, 2)
    nn.init.constant_(network.weight, float("nan"))
    found = inspect(network, torch.randn(4, 4))
    assert "holds NaN" in found.page(tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("inspected_nets:large", r"takes images of shape \(1, 8, 8\), got .*: mat1 and mat2"),
        ("inspected_nets:breaks", "called with inputs=1, classes=10: RuntimeError: no weights"),
        ("inspected_nets:two", "takes images alone, got one whose forward needs input2 too"),
        (
            "inspected_nets:maps",
            r"expected outputs of shape \(2, 10\) .* got shape \(2, 10, 6, 6\)",
        ),
        ("inspected_nets:pair", r"expected outputs of shape \(2, 10\) .* got tuple"),
        ("inspected_nets:text", "expected it to give an nn.Module, got 'a network'"),
        ("inspected_nets:absent", "cannot load model .* has no attribute 'absent'"),
        ("no_such_module:make", "cannot load model .* No module named"),
        ("|nor|", "not a NAS-Bench-201 cell"),
    ],
)
def test_wrong_models_are_refused_in_one_line(
    model: str, message: str, config: InspectConfig
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        inspect_one(model, config)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probe": 1}, "probe: expected"),
        ({"size": 0}, "size: expected"),
        ({"images": ""}, "images: expected"),
        ({"device": "gpu"}, "device: expected cpu"),
        ({"scale": "huge"}, "unknown scale 'huge'"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    change: dict[str, object], message: str, config: InspectConfig
) -> None:
    text = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    with pytest.raises(ValueError, match=message) as raised:
        inspect_one(text, replace(config, **change))  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_the_command_that_makes_a_page_again_names_what_is_not_usual() -> None:
    config = InspectConfig(images="cifar10", seed=3)
    assert config.command("nets:a") == "untrained inspect nets:a --images cifar10 --seed 3"
