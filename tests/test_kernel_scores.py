"""Scores of the NTK against the published definitions written out, and what they do not see."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.kernels import ntk
from untrained.networks import draw_weights
from untrained.scores import SCORES
from untrained.scores.condition_number import ConditionNumber
from untrained.scores.kernel import (
    CentredLabelAlignment,
    KernelMean,
    KernelNorm,
    KernelTrace,
    LabelAlignment,
    NormalisedLabelAlignment,
    NTKScore,
)
from untrained.scores.ntk_regression import SplitNTKScore
from untrained.spaces import CellScale, get_space

SPACE = get_space("nasbench201")
KERNELS = {name: score for name, score in SCORES.items() if issubclass(score, NTKScore)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Perceptron(nn.Module):
    """Images of 8 x 8 pixels to ten logits, by a layer with a bias and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 20)
        self.classifier = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(x.flatten(1)).relu())


def network(kind: str) -> nn.Module:
    if kind == "perceptron":
        found: nn.Module = Perceptron()
        draw_weights(found, "torch_default", generator(1))
        return found.eval()
    scale = CellScale(4, cells=1)
    found = SPACE.build(
        SPACE.sample(random.Random(int(kind))), scale, inputs=(1, 32, 32), classes=10
    )
    draw_weights(found, "kaiming_fan_out", generator(1))
    return found.eval()


def published_kernel(shown: nn.Module, inputs: Tensor) -> Tensor:
    """Products of the gradients of the summed logits: no bias, and nothing of the classifier."""
    rows = []
    for x in inputs:
        shown.zero_grad()
        shown(x[None]).sum().backward()
        of_weights = [
            parameter.grad.flatten()
            for name, parameter in shown.named_parameters()
            if "weight" in name and "classifier" not in name and parameter.grad is not None
        ]
        rows.append(torch.cat(of_weights).double())
    return torch.stack([torch.stack([a @ b for b in rows]) for a in rows])


def published_alignment(kernel: Tensor, labels: Tensor) -> float:
    """One mean off all entries, labels of +1 and -1, the diagonal included."""
    n = len(labels)
    label = torch.empty(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            label[i, j] = 1 if labels[i] == labels[j] else -1
    kernel, label = kernel - kernel.mean(), label - label.mean()
    return ((kernel * label).sum() / (kernel.norm() * label.norm())).item()


@pytest.mark.parametrize("kind", ["perceptron", "2", "3", "7"])
def test_the_published_definitions(kind: str, digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(24, split="validation"), generator())
    kernel = published_kernel(network(kind), probe.inputs)
    expected: dict[Callable[..., NTKScore], float] = {
        LabelAlignment: published_alignment(kernel, probe.labels),
        KernelMean: kernel.mean().item(),
        KernelNorm: kernel.square().sum().sqrt().item(),
        KernelTrace: kernel.diagonal().sum().item(),
    }
    for score, value in expected.items():
        found = score(batchnorm="running")(network(kind), probe, generator())
        assert found.value == pytest.approx(value, rel=1e-4), score
    values = torch.linalg.eigvalsh(kernel)
    kappa = ConditionNumber("weights_below_head", "running")
    found = kappa(network(kind), probe, generator())
    assert found.value == pytest.approx((values[-1] / values[0]).item(), rel=1e-2)


def test_variants_against_their_definitions(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(24), generator())
    kernel = published_kernel(network("3"), probe.inputs)
    scale = kernel.diagonal().sqrt()
    found = NormalisedLabelAlignment(batchnorm="running")(network("3"), probe, generator())
    expected = published_alignment(kernel / scale[:, None] / scale, probe.labels)
    assert found.value == pytest.approx(expected, rel=1e-4)
    centring = torch.eye(24).double() - 1 / 24
    a = centring @ kernel @ centring
    b = centring @ (2 * (probe.labels[:, None] == probe.labels).double() - 1) @ centring
    found = CentredLabelAlignment(batchnorm="running")(network("3"), probe, generator())
    assert found.value == pytest.approx(((a * b).sum() / a.norm() / b.norm()).item(), rel=1e-4)


@pytest.mark.parametrize(
    "name", [name for name, score in KERNELS.items() if not issubclass(score, SplitNTKScore)]
)
def test_the_order_of_images_is_not_seen(name: str, digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(30), generator())
    order = torch.randperm(30, generator=generator(5))
    moved = replace(probe, inputs=probe.inputs[order], labels=probe.labels[order])
    score = KERNELS[name]()
    first, second = (score(network("3"), each, generator()).value for each in (probe, moved))
    assert first == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in KERNELS if "label_alignment" in name])
def test_alignment_does_not_see_scale_shift_or_names_of_classes(name: str, digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(30), generator())
    score = KERNELS[name](batchnorm="running")
    theta = ntk(network("3"), probe.inputs, parameters="weights_below_head")
    first = score.of(theta, probe).value
    assert score.of(theta * 1e3, probe).value == pytest.approx(first, rel=1e-9)
    renamed = replace(probe, labels=(probe.labels + 3) % 10)
    assert score.of(theta, renamed).value == first
    shifted = score.of(theta + 7 * theta.mean(), probe).value
    if name == "label_alignment_normalised":  # its diagonal is a part of it
        assert shifted != pytest.approx(first, rel=1e-3)
    else:
        assert shifted == pytest.approx(first, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in KERNELS if "label_alignment" in name])
def test_one_class_has_no_alignment(name: str, digits: Images) -> None:
    probe: Probe = draw_probe(digits, ProbeSpec(12), generator())
    found = KERNELS[name]()(network("3"), replace(probe, labels=0 * probe.labels), generator())
    assert found.value is None
    assert "one class" in found.reason or "constant" in found.reason or "zero" in found.reason


def test_a_network_without_a_head_is_told_so(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(12), generator())
    bare = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ValueError, match="last linear one, got none that is linear"):
        LabelAlignment()(bare, probe, generator())
    with pytest.raises(ValueError, match="got a linear layer alone"):
        ntk(nn.Linear(3, 2), torch.eye(3), parameters="weights_below_head")
    assert LabelAlignment("weights")(bare, probe, generator()).value is not None
