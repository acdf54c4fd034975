"""Transformers of the benchmarks, small: each is followed layer by layer, and exactly."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import naive
import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor, nn

from untrained.kernels import recent
from untrained.kernels.knowledge import surveyed
from untrained.kernels.ntk import ntk
from untrained.layerwise import operation, survey

IMAGES = zoo.reals(4, 3, 8, 8)
WORDS = zoo.words(4, 6, 9)
SIZES = {"channels": 6, "heads": 3}
CASES: dict[str, tuple[str, dict[str, int], Callable[[], Tensor]]] = {
    "ViT": ("VisionTransformer", {**SIZES, "size": 8, "blocks": 1}, IMAGES),
    "DeiT": ("VisionTransformer", {**SIZES, "size": 8, "blocks": 1, "distilled": True}, IMAGES),
    "CaiT": ("ClassAttentionTransformer", {**SIZES, "size": 8, "blocks": 1}, IMAGES),
    "Swin": ("WindowTransformer", {**SIZES, "window": 2}, IMAGES),
    "GPT-2": ("LanguageModel", {**SIZES, "words": 9, "length": 8, "blocks": 1}, WORDS),
    "BERT": ("Encoder", {**SIZES, "words": 9, "length": 8, "blocks": 1}, WORDS),
}


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("transformer_networks")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, networks: ModuleType) -> tuple[nn.Module, Tensor]:
    """In float64, with biases that are not 0 and scales that are not 1."""
    kind, sizes, make_inputs = CASES[request.param]
    torch.manual_seed(0)
    model, x = getattr(networks, kind)(**sizes).double().eval(), make_inputs()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model, x.double() if x.is_floating_point() else x


def test_transformers_agree_with_the_naive_kernel(
    case: tuple[nn.Module, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By formulas alone, on a first and on a later call, and between two batches."""

    def refused(*args: object) -> None:
        raise AssertionError("a call without a formula")

    monkeypatch.setattr(recent, "_surveys", {})
    monkeypatch.setattr(operation.Operation, "rows", refused)
    model, x = case
    rows = naive.jacobian(model, x, zoo.trainable(model))
    j = rows.sum(1)
    expected = j @ j.T
    for _ in range(2):
        found = ntk(model, x)
        assert found.plan.method == "structured"
        assert deviation(found, expected) < 1e-10
    trace = ntk(model, x, output="trace", method="structured")
    assert deviation(trace, torch.einsum("ikp,jkp->ij", rows, rows)) < 1e-10
    block = ntk(model, x[:1], x[1:], method="structured")
    assert deviation(block, expected[:1, 1:]) < 1e-10


def test_transformers_are_surveyed_by_their_graph_alone(
    case: tuple[nn.Module, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No example has to be exchanged for another."""
    monkeypatch.setattr(importlib.import_module(survey.__module__), "_exchanged", None)
    model, x = case
    found, refused = surveyed(model, x, "running", dict(model.named_parameters()))
    assert found.sites
    assert not found.coupled
    assert not refused
