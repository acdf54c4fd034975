"""AZ-NAS and VKDNW against their definitions written out."""

import copy
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.networks import draw_weights
from untrained.networks.blocks import blocks_of, features_between
from untrained.scores import SCORES
from untrained.scores.az_nas import Expressivity, Progressivity, Trainability
from untrained.scores.vkdnw import (
    VKDNW,
    FisherInformation,
    ReleasedVKDNW,
    VKDNWSingle,
    covariance_factor,
)
from untrained.spaces import get_space, prunable

SPACE = prunable(get_space("nasbench201"))
SCALE = SPACE.scales["small"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(text: str = "") -> nn.Module:
    architecture = SPACE.parse(text) if text else SPACE.sample(random.Random(5))
    model = SPACE.build(architecture, SCALE, inputs=(1, 32, 32), classes=10)
    draw_weights(model, "kaiming_fan_in", generator(1))
    return model.train()


@pytest.fixture
def probe(digits: Images) -> Probe:
    return draw_probe(digits, ProbeSpec(12), generator())


# Blocks


def test_blocks_are_the_members_of_the_trunk() -> None:
    for name, count in (("nasbench201", 5), ("nasbench101", 5), ("darts", 2), ("mnas", 7)):
        space = get_space(name)
        architecture = space.sample(random.Random(0))
        model = space.build(architecture, space.scales["small"], inputs=(3, 32, 32), classes=10)
        assert len(blocks_of(model)) >= count
    thin = SPACE.build(SPACE.supernet(), SPACE.scales["thin"], inputs=(1, 32, 32), classes=10)
    assert blocks_of(thin) == [thin.get_submodule("body.0")]


def test_a_network_without_a_sequence_of_blocks_is_told_so(probe: Probe) -> None:
    class Bare(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    with pytest.raises(ValueError, match=r"expected a network with a sequence of blocks"):
        Expressivity()(Bare(), probe, generator())


def test_blocks_that_give_no_tensor_or_are_not_called_are_told(probe: Probe) -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.ModuleList([nn.ReLU(), nn.ReLU()])

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    class ByKeyword(Idle):
        def forward(self, x: Tensor) -> Tensor:
            return self.trunk[0](input=x).flatten(1)

    with pytest.raises(ValueError, match="expected blocks that give a tensor each, got tuple"):
        Expressivity()(nn.Sequential(nn.ReLU(), Pair()), probe, generator())
    with pytest.raises(ValueError, match="expected a network that calls its blocks"):
        Expressivity()(Idle(), probe, generator())
    with pytest.raises(ValueError, match="expected blocks that are given a tensor"):
        Expressivity()(ByKeyword(), probe, generator())


def test_hooks_are_gone_after_an_error() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(RuntimeError), features_between(blocks_of(model)):
        model(torch.ones(2, 3))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


# AZ-NAS


def features(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Stem and cells one after the other, as the network's own forward does."""
    found = [model.get_submodule("stem")(x)]
    for block in model.get_submodule("body").children():
        found.append(block(found[-1]))
    return found


def entropies(model: nn.Module, x: Tensor) -> list[float]:
    found = []
    for feature in features(model, x):
        rows = feature.detach().double().movedim(1, 3).reshape(-1, feature.shape[1]).numpy()
        p = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
        p = p / p.sum()
        found.append(-(p * np.log(p + 1e-8)).sum())
    return found


def test_expressivity_and_progressivity_are_of_entropies(probe: Probe) -> None:
    h = entropies(copy.deepcopy(network()), probe.inputs)
    assert len(h) == 6
    found = Expressivity()(network(), probe, generator())
    assert found.value == pytest.approx(sum(h), rel=1e-4)
    found = Progressivity()(network(), probe, generator())
    assert found.value == pytest.approx(min(b - a for a, b in pairwise(h)), rel=1e-3)


def test_trainability_is_of_outer_products(probe: Probe) -> None:
    """E[g_in g_out^T] as a mean over images and positions, one at a time."""
    draws, terms = generator(6), []
    for start, end in pairwise(features(copy.deepcopy(network()), probe.inputs)):
        g_out = 2 * torch.randint(2, end.shape, generator=draws).float() - 1
        (g_in,) = torch.autograd.grad(end, start, g_out, retain_graph=True)
        stride = start.shape[2] // end.shape[2]
        total = torch.zeros(start.shape[1] * stride**2, end.shape[1])
        for i in range(len(end)):
            for row in range(end.shape[2]):
                for column in range(end.shape[3]):
                    rows, columns = (slice(stride * k, stride * (k + 1)) for k in (row, column))
                    total += torch.outer(
                        g_in[i, :, rows, columns].flatten(), g_out[i, :, row, column]
                    )
        s = np.linalg.norm((total / (end.numel() / end.shape[1])).numpy(), 2)
        terms.append(2 - s - 1 / (s + 1e-6))
    found = Trainability()(network(), probe, generator(6))
    assert found.value == pytest.approx(np.mean(terms), rel=1e-4)


IDENTITY = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
CUT = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize(
    ("text", "reason"), [(IDENTITY, "is the identity"), (CUT, "does not depend on its input")]
)
def test_blocks_that_do_nothing_have_no_trainability(text: str, reason: str, probe: Probe) -> None:
    found = Trainability()(network(text), probe, generator())
    assert found.value is None
    assert reason in found.reason


def test_features_that_do_not_vary_have_no_entropy(probe: Probe) -> None:
    for name in ("az_expressivity", "az_progressivity"):
        found = SCORES[name]()(network(CUT), probe, generator())
        assert found.value is None
        assert "do not vary" in found.reason


# VKDNW


def test_the_factor_is_one_of_the_covariance_of_labels() -> None:
    p = torch.rand(5, 7, generator=generator(), dtype=torch.float64).softmax(1)
    factor = covariance_factor(p)
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    assert torch.allclose(factor @ factor.mT, covariance, atol=1e-14)
    assert not factor.triu(1).any()


def fisher(model: nn.Module, x: Tensor, each: int, released: bool) -> np.ndarray:
    """A backward pass for every image and logit; weights evenly spaced in each tensor."""
    total: np.ndarray | float = 0.0
    model = copy.deepcopy(model).eval()
    for image in x:
        f, rows = model(image[None])[0], []
        for logit in f:
            found = torch.autograd.grad(logit, list(model.parameters()), retain_graph=True)
            parts = [
                g.flatten()[np.linspace(0, g.numel() - 1, min(each, g.numel())).astype(int)]
                for g in found
            ]
            rows.append(torch.cat(parts))
        j = torch.stack(rows).double().numpy()
        p = 0.95 * f.detach().double().softmax(0).numpy() + 0.05 / len(f)
        if released:
            factor = covariance_factor(torch.from_numpy(p)[None])[0].numpy()
            total += j.T @ factor.T @ factor @ j
        else:
            total += j.T @ (np.diag(p) - np.outer(p, p)) @ j
    return np.asarray(total) / len(x)


def entropy_of_deciles(matrix: np.ndarray) -> float:
    deciles = np.quantile(np.linalg.eigvalsh(matrix).clip(0), np.arange(1, 10) / 10)
    t = deciles / deciles.sum()
    return float(-(t[t > 0] * np.log(t[t > 0])).sum())


@pytest.mark.parametrize(("each", "released"), [(1, False), (3, False), (1, True)])
def test_vkdnw_is_of_the_fisher_information(each: int, released: bool, probe: Probe) -> None:
    probe = Probe(probe.inputs[:4], probe.labels[:4], 10, "four digits")
    score = (ReleasedVKDNW if released else VKDNW)(each=each)
    seen = score.view(network(), probe, generator())
    expected = fisher(network(), probe.inputs, each, released)
    largest = np.abs(expected).max()
    assert seen.information.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6 * largest)
    found = score.of(seen, probe)
    assert found.value == pytest.approx(entropy_of_deciles(expected), rel=1e-2)


def test_vkdnw_single_adds_the_tensors(probe: Probe) -> None:
    alone = VKDNW()(network(), probe, generator()).value
    assert alone is not None
    tensors = len(list(network().parameters()))
    assert VKDNWSingle()(network(), probe, generator()).value == tensors + alone


def test_vkdnw_of_even_and_of_zero_information(probe: Probe) -> None:
    even = VKDNW().of(FisherInformation(torch.eye(20, dtype=torch.float64), 20), probe)
    assert even.value == pytest.approx(np.log(9))
    one = torch.zeros(20, 20, dtype=torch.float64)
    one[0, 0] = 1
    none = VKDNWSingle().of(FisherInformation(one, 20), probe)
    assert none.value is None
    assert "are zero" in none.reason
