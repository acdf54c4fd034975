"""The number of channels that others do not explain, beside least squares channel by channel."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained.images.probe import Probe
from untrained.networks.feature_maps import feature_maps
from untrained.scores.independent_channels import IndependentChannels, independent_channels


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive(each: Tensor) -> float:
    """1 - R^2 of each channel regressed on all others, one by one."""
    rows = each.transpose(0, 1).flatten(1).double().numpy()
    total = 0.0
    for i, y in enumerate(rows):
        others = np.vstack([np.ones_like(y), np.delete(rows, i, 0)]).T
        residual = y - others @ np.linalg.lstsq(others, y, rcond=None)[0]
        total += float((residual**2).sum() / ((y - y.mean()) ** 2).sum())
    return total


def test_it_is_the_sum_of_what_least_squares_leaves() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 12, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
    )  # fmt: skip
    probe = Probe(torch.randn(8, 3, 8, 8), torch.zeros(8, dtype=torch.int64), 4, "noise")
    maps = feature_maps(net, probe.inputs, batchnorm="batch")
    found = IndependentChannels()(net, probe, generator())
    assert found.value == pytest.approx(sum(map(naive, maps)), rel=1e-4)


def test_independent_channels_count_one_each() -> None:
    x = torch.linalg.qr(torch.randn(400, 6, generator=generator(), dtype=torch.float64))[0]
    x = x - x.mean(0)
    x = torch.linalg.qr(x)[0].T.reshape(6, 4, 100).transpose(0, 1)
    assert independent_channels(x) == pytest.approx(6, abs=1e-4)
    assert independent_channels(3 * x + 2) == pytest.approx(6, abs=1e-4)


def test_what_others_explain_counts_nothing() -> None:
    x = torch.randn(4, 3, 100, generator=generator(), dtype=torch.float64)
    whole = independent_channels(x)
    constant = torch.cat([x, torch.ones(4, 1, 100)], 1)
    assert independent_channels(constant) == pytest.approx(whole, abs=1e-4)
    copied = torch.cat([x, x[:, :1]], 1)  # neither of two copies
    assert independent_channels(copied) == pytest.approx(naive(x) - naive_share(x, 0), abs=1e-4)


def naive_share(x: Tensor, i: int) -> float:
    """What channel i counts, and what its copy takes from the others: nothing."""
    rows = x.transpose(0, 1).flatten(1)
    correlations = torch.linalg.inv(torch.corrcoef(rows))
    return 1 / float(correlations[i, i])


def test_more_channels_than_observations_count_nothing() -> None:
    x = torch.randn(1, 30, 20, generator=generator(), dtype=torch.float64)
    assert independent_channels(x) == pytest.approx(0, abs=1e-3)


def test_a_network_without_feature_maps_has_a_reason() -> None:
    probe = Probe(torch.randn(8, 3, 8, 8), torch.zeros(8, dtype=torch.int64), 4, "noise")
    found = IndependentChannels()(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), probe, generator()
    )
    assert found.value is None
    assert "neither feature maps nor hidden units" in found.reason


def test_without_positions_hidden_units_are_the_channels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 5), nn.Linear(5, 3)
    )
    probe = Probe(torch.randn(40, 3, 2, 2), torch.zeros(40, dtype=torch.int64), 3, "noise")
    first = net[1](probe.inputs.flatten(1))
    hidden = [first, first.tanh(), net[3](first.tanh())]
    found = IndependentChannels()(net, probe, generator())
    expected = sum(naive(each.detach()[..., None]) for each in hidden)
    assert found.value == pytest.approx(expected, rel=1e-4)


class Tokens(nn.Module):
    """A transformer's block on patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 4, 4)
        self.place = nn.Parameter(torch.zeros(1, 5, 6))
        self.cls = nn.Parameter(torch.randn(1, 1, 6))
        self.norm, self.query = nn.LayerNorm(6), nn.Linear(6, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1) + self.place
        return self.head(torch.nn.functional.gelu(self.query(self.norm(tokens))).mean(1))


def test_channels_of_tokens_are_the_last_dimension() -> None:
    torch.manual_seed(0)
    net = Tokens()
    maps = feature_maps(net, torch.randn(2, 3, 8, 8))
    # The patches; tokens with the class's, and with their place; normalised; queries; GELU.
    assert [tuple(m.shape) for m in maps] == [(2, 6, 4), (2, 6, 5), (2, 6, 5), (2, 6, 5),
                                              (2, 4, 5), (2, 4, 5)]  # fmt: skip
    x = torch.randn(2, 3, 8, 8)
    queries = feature_maps(net, x)[4]
    tokens = torch.cat([net.cls.expand(2, -1, -1), net.patch(x).flatten(2).mT], 1)
    torch.testing.assert_close(queries, net.query(net.norm(tokens)).mT.detach())
