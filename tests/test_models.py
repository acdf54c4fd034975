"""Models that somebody names: found, called with what they ask for, checked, kept by content."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import named_models
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from untrained.images import Images
from untrained.networks.weights import draw_weights
from untrained.runs import RunConfig, load_record, run
from untrained.runs.code import made_by
from untrained.spaces import MODELS, SPACES, get_space
from untrained.spaces.loading import expanded, holding, load_maker
from untrained.spaces.models import Model, parse_model
from untrained.training import TrainingSpec

SHAPE, CLASSES = (1, 8, 8), 10


def build(text: str) -> nn.Module:
    model = MODELS.parse(text)
    return MODELS.build(model, MODELS.scales["full"], inputs=SHAPE, classes=CLASSES)


@pytest.mark.parametrize(
    ("path", "weights"),
    [
        ("my_nets:small", ""),
        ("my_nets:NETS.two words", "a folder/weights=1.pt"),
        ("timm:resnet18.a1_in1k", "built"),
        ("here:naïve", ""),
    ],
)
def test_text_forms_hold_no_space_and_come_back(path: str, weights: str) -> None:
    model = Model(path, weights)
    assert " " not in str(model)
    assert parse_model(str(model)) == model


@pytest.mark.parametrize("text", ["small", ":small", "my_nets:", "my_nets:small="])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected package\.module:name"):
        parse_model(text)


@pytest.mark.parametrize(
    "name",
    ["convolutional", "Perceptron", "READY", "lazy", "any_keyword", "NETS.small",
     "NETS.wide.one", "NETS.two%20words", "LISTED.1"],
)  # fmt: skip
def test_models_are_called_with_what_they_ask_for(name: str) -> None:
    network = build(f"named_models:{name}")
    assert all(module.training for module in network.modules())
    assert network(torch.zeros(3, *SHAPE)).shape == (3, CLASSES)


def test_a_module_that_is_there_is_copied() -> None:
    network = build("named_models:READY")
    assert network is not named_models.READY
    assert torch.equal(next(network.parameters()), next(named_models.READY.parameters()))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("asks_for_depth", "expected parameters among classes, .*, got depth; try"),
        ("raises", "called with classes=10: KeyError: 'stem'"),
        ("gives_none", "expected it to give an nn.Module, got None"),
        ("of_other_classes", r"shape \(2, 10\) for two images .*, got shape \(2, 7\); try"),
        ("of_another_size", r"takes images of shape \(1, 8, 8\), got RuntimeError: .*; try"),
        ("of_two_inputs", "takes images alone, got one whose forward needs mask too; try"),
        ("gives_pairs", "got tuple; try"),
        ("asserts", r"got AssertionError: torch._assert\(len\(x\) == 3, \"\"\); try"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        build(f"named_models:{name}")
    assert "\n" not in str(caught.value)


def test_what_has_more_parameters_than_memory_is_not_built() -> None:
    with pytest.raises(MemoryError, match=r"its parameters take 3,9\d\d\.\d GiB, and there are"):
        build("named_models:huge")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nowhere:small", "cannot load model 'nowhere:small'"),
        ("named_models:smal", "cannot load model 'named_models:smal'"),
        ("named_models:NETS.smal", "expected small or .* at its end, got 'smal'"),
        (
            "named_models:NUMBER",
            "expected a function, .*, got one of type int",
        ),
        ("named_models:READY=missing.pt", "expected a file of weights, or built"),
        ("here:gone", "unknown model 'gone'"),
    ],
)
def test_what_is_not_there_is_told_at_once(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MODELS.parse(text)


def test_a_dictionary_a_list_and_a_pattern_are_several() -> None:
    assert expanded("named_models:NETS") == (
        "named_models:NETS.small", "named_models:NETS.wide.one", "named_models:NETS.two words",
    )  # fmt: skip
    assert expanded("named_models:LISTED") == ("named_models:LISTED.0", "named_models:LISTED.1")
    assert expanded("named_models:of_*_[sc]*") == (
        "named_models:of_other_classes", "named_models:of_another_size",
    )  # fmt: skip
    assert expanded("named_models:READY") == ("named_models:READY",)
    assert "named_models:Tensor" not in expanded("named_models:*")
    for path in ("named_models:EMPTY", "named_models:nothing_*"):
        with pytest.raises(ValueError, match="got none"):
            expanded(path)


def test_models_of_this_process_are_there_for_as_long_as_they_are_held() -> None:
    with holding({"mine": named_models.wide}):
        assert load_maker("here:mine") is named_models.wide
        assert not MODELS.sources(Model("here:mine")).modules
    with pytest.raises(ValueError, match="unknown model"):
        load_maker("here:mine")


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in for timm with two models; and the calls that build them."""
    calls: list[dict[str, Any]] = []

    def create_model(name: str, **given: int) -> nn.Module:
        calls.append({"name": name, **given})
        return named_models.convolutional(given["num_classes"], given["in_chans"])

    found: Any = ModuleType("timm")
    found.create_model = create_model
    found.is_model = lambda name: name in ("small_cnn", "small_vit")
    found.list_models = lambda pattern="*": (
        ["small_cnn", "small_vit"] if "v" not in pattern else ["small_vit"]
    )
    found.get_pretrained_cfg = lambda name: SimpleNamespace(fixed_input_size=name.endswith("vit"))
    monkeypatch.setitem(sys.modules, "timm", found)
    return calls


def test_models_of_timm_are_asked_for_size_where_they_have_one(timm: list[dict[str, Any]]) -> None:
    assert expanded("timm:*vit") == ("timm:small_vit",)
    for name in ("small_cnn", "small_vit"):
        build(f"timm:{name}")
    common = {"num_classes": CLASSES, "in_chans": 1}
    assert timm[-1] == {"name": "small_vit", **common, "img_size": 8}
    assert {"name": "small_cnn", **common} in timm
    with pytest.raises(ValueError, match="unknown model of timm: expected small_cnn"):
        MODELS.parse("timm:small_cn")


@pytest.mark.parametrize("path", ["timm:resnet18", "timm:resnet*"])
def test_without_timm_a_line_says_so(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"expected timm to be installed .*; try pip install"):
        MODELS.parse(expanded(path)[0])


@pytest.mark.parametrize("name", ["wide", "Perceptron", "NETS.wide.one", "LISTED.0", "READY"])
def test_a_source_builds_the_model_by_itself(name: str) -> None:
    model = MODELS.parse(f"named_models:{name}")
    source, constructor = MODELS.export(
        model, MODELS.scales["full"], inputs=SHAPE, classes=CLASSES
    )
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(source, namespace)
    own, built = eval(constructor, namespace).state_dict(), build(str(model)).state_dict()
    assert {n: v.shape for n, v in own.items()} == {n: v.shape for n, v in built.items()}


# Weights


Saved = Callable[[nn.Module], Path]


@pytest.fixture(params=["weights.safetensors", "weights.pt", "checkpoint.pth"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Saved:
    def save(network: nn.Module) -> Path:
        path, weights = tmp_path / request.param, network.state_dict()
        if path.suffix == ".safetensors":
            save_file(weights, path)
        elif path.suffix == ".pt":
            torch.save(weights, path)
        else:
            torch.save(
                {"epoch": 3, "state_dict": {f"module.{n}": v for n, v in weights.items()}}, path
            )
        return path

    return save


def test_weights_are_those_of_the_file_and_stay(saved: Saved) -> None:
    learnt = named_models.convolutional(CLASSES, 1)
    network = build(f"named_models:convolutional={saved(learnt)}")
    draw_weights(network, "as_built", torch.Generator())
    for name, value in learnt.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_head_of_other_classes_stays_as_it_was_built(saved: Saved) -> None:
    learnt = named_models.convolutional(1000, 1)
    network = build(f"named_models:convolutional={saved(learnt)}")
    assert torch.equal(network.get_parameter("0.weight"), learnt.get_parameter("0.weight"))
    assert network.get_parameter("4.weight").shape == (CLASSES, 4)


def test_weights_of_another_network_are_refused(saved: Saved, tmp_path: Path) -> None:
    path = saved(named_models.wide(CLASSES, 1))
    with pytest.raises(ValueError, match=r"0.weight, 0.bias, 4.weight missing or of another"):
        build(f"named_models:convolutional={path}")
    torch.save(named_models.READY, tmp_path / "whole.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("whole.pt", "text.pt"):
        with pytest.raises(ValueError, match=r"expected a .safetensors file, or a state dict"):
            build(f"named_models:convolutional={tmp_path / name}")


# Runs


def test_the_space_is_named_and_never_searched() -> None:
    assert get_space("models") is MODELS
    assert "models" not in SPACES  # a store's names are imported by no report
    with pytest.raises(ValueError, match="cannot be drawn at random"):
        run(RunConfig(space="models", searcher="random", workers=0))


def test_a_number_is_of_the_code_and_the_weights_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module, weights = tmp_path / "own_ranked.py", tmp_path / "weights.pt"
    module.write_text("from named_models import wide, convolutional\n")
    torch.save(named_models.wide(CLASSES, 1).state_dict(), weights)
    texts = ("own_ranked:wide", f"own_ranked:wide={weights}")
    plain, learnt = (made_by(MODELS, text) for text in texts)
    assert plain != learnt
    assert made_by(get_space("natsbench_size"), "8:8:8:8:8") == {}
    torch.save(named_models.wide(CLASSES, 1).state_dict(), weights)
    assert made_by(MODELS, texts[0]) == plain
    assert made_by(MODELS, texts[1]) != learnt
    monkeypatch.delitem(sys.modules, "own_ranked")
    module.write_text("from named_models import convolutional\nwide = convolutional\n")
    assert made_by(MODELS, texts[0]) != plain


def test_models_are_scored_as_any_architecture_is(tmp_path: Path, digits: Images) -> None:
    texts = ("named_models:convolutional", "named_models:of_two_inputs", "named_models:READY")
    config = RunConfig(
        space="models",
        searcher="given",
        options={"architectures": " ".join(texts)},
        scores=("parameters", "training_accuracy@1"),
        short_training=TrainingSpec(images=64),
        draws=1,
        workers=0,
        out=tmp_path,
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    counted = [trial.readings["parameters"][0] for trial in record.trials]
    assert [reading.value for reading in counted] == [90, None, 650]
    assert "needs mask too" in counted[1].reason
    assert record.trials[2].readings["training_accuracy@1"][0].value is not None
