"""Training memory and linear probes: against what tensors take, and a classifier by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.scores.linear_probe import LinearProbe
from untrained.scores.memory import TrainingMemory
from untrained.scores.size import MultiplyAdds


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def probe(digits: Images) -> Probe:
    return draw_probe(digits, ProbeSpec(64), generator())


def memory(network: nn.Module, probe: Probe) -> float:
    value = TrainingMemory(states=2)(network, probe, generator()).value
    assert value is not None
    return value


def tower(depth: int, width: int = 32) -> nn.Sequential:
    """Convolutions of equal width, each with BatchNorm and ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1)]
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def test_a_layer_more_takes_its_parameters_four_times_and_what_is_kept(probe: Probe) -> None:
    kept = 2 * 64 * 32 * 64 * 4  # outputs of a convolution and of ReLU, of 64 images of 8 x 8
    parameters = 4 * (32 * 32 * 9 + 3 * 32)  # weights, bias, gamma and beta, in bytes
    statistics = 4 * (2 * 32) + 8  # running, and a count
    batch = 4 * (2 * 32)  # BatchNorm's own of the batch
    found = memory(tower(4), probe) - memory(tower(3), probe)
    # parameters, their moments and, at the peak, no gradient yet: it is where backward begins
    assert found == kept + 3 * parameters + statistics + batch


def test_a_linear_model_at_the_end_of_its_step(probe: Probe) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 1000, bias=False), nn.Linear(1000, 10))
    first, second, hidden = 4 * 64 * 1000, 4 * (10 * 1000 + 10), 4 * 64 * 1000
    # Parameters and moments; gradients of both layers and of the hidden units, which are gone.
    expected = 3 * (first + second) + probe.inputs.nbytes + first + second + hidden
    assert expected <= memory(network, probe) <= expected + 5000  # logits and the like


def test_more_images_take_more_and_nothing_is_left_behind(digits: Images) -> None:
    network = tower(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    few, more = (draw_probe(digits, ProbeSpec(n), generator()) for n in (32, 64))
    assert memory(network, more) > 1.8 * memory(network, few)
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_multiply_adds_of_a_transformer_are_those_of_its_products() -> None:
    n, w, hidden, depth = 16, 8, 24, 3
    layer = nn.TransformerEncoderLayer(w, 2, hidden, 0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
    network = nn.Sequential(nn.Flatten(1, 2), encoder)
    probe = Probe(torch.zeros(1, 1, n, w), torch.zeros(1, dtype=torch.long), 2, "tokens")
    projections, mixing, perceptron = 4 * n * w * w, 2 * n * n * w, 2 * n * w * hidden
    fast = torch.backends.mha.get_fastpath_enabled()
    found = MultiplyAdds()(network, probe, generator()).value
    assert found == depth * (projections + mixing + perceptron)
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_multiply_adds_where_a_module_is_given_a_parameter() -> None:
    """As a class token is; torch's counter asks for its graph, and there is none."""

    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.layer = nn.Parameter(torch.ones(1, 8)), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] + self.layer(self.token)

    network = Token()
    probe = Probe(torch.ones(1, 1, 2, 4), torch.zeros(1, dtype=torch.long), 3, "tokens")
    assert MultiplyAdds()(network, probe, generator()).value == 8 * 3
    assert network.token.requires_grad


def test_a_linear_probe_is_logistic_regression_on_each_fold(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(200), generator())
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    found = LinearProbe(folds=4)(network, probe, generator()).value
    with torch.no_grad():
        z = network[:3](probe.inputs).double().numpy()
    y, seed = probe.labels.numpy(), int(torch.randint(2**31, (), generator=generator()))
    right = 0
    for rest, part in StratifiedKFold(4, shuffle=True, random_state=seed).split(z, y):
        mean, deviation = z[rest].mean(0), z[rest].std(0)
        deviation[deviation == 0] = 1
        model = LogisticRegression(max_iter=1000).fit((z[rest] - mean) / deviation, y[rest])
        right += int((model.predict((z[part] - mean) / deviation) == y[part]).sum())
    assert found == pytest.approx(right / 200)


def test_too_few_images_and_overflow_are_reasons(probe: Probe) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    few = replace(probe, inputs=probe.inputs[:8], labels=torch.arange(8) % 4)
    reading = LinearProbe()(network, few, generator())
    assert reading.value is None
    assert "5 folds and 2 images of the smallest of 4 classes" in reading.reason
    with torch.no_grad():
        network.get_parameter("1.weight").fill_(np.inf)
    bad = nn.Sequential(*network, nn.Linear(10, 10))
    assert "overflowed" in LinearProbe(folds=3)(bad, probe, generator()).reason
