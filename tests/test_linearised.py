"""Networks made linear in their parameters."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from untrained import gradient_descent, ntk
from untrained.networks import linearised


class Reader(nn.Module):
    """Attention, BatchNorm after it, a frozen embedding, a weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8).requires_grad_(False)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.first = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(self.norm(self.layer(self.embed(x)).mean(1))))


NETWORKS = {
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2)),
    "convolutional": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
    ),
    "attention": Reader,
}  # fmt: skip


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]().double().eval()


def pictures(n: int = 6) -> Tensor:
    return torch.randn(n, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_tangent_of_the_network(name: str) -> None:
    """By differences of the network itself, whose error is of third order."""
    network, x = made(name), pictures()
    linear = linearised(network).train()  # which changes nothing
    trained = [p for p in network.parameters() if p.requires_grad]
    theta = parameters_to_vector(trained).detach()
    way = torch.randn(len(theta), generator=torch.Generator().manual_seed(2), dtype=theta.dtype)
    vector_to_parameters(way, linear.moved)
    found = linear(x)
    h, at = 1e-4, []
    for sign in (1, -1):
        vector_to_parameters(theta + sign * h * way, trained)
        at.append(network(x))
    vector_to_parameters(theta, trained)
    torch.testing.assert_close(found, network(x) + (at[0] - at[1]) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_trained_it_is_the_training_in_closed_form(name: str) -> None:
    network, x, y = made(name), pictures(), pictures()[:, 0, :2]
    untouched = deepcopy(network.state_dict())
    linear = linearised(network)
    start = network(x).detach()
    theta = ntk(network, x, output="full", batchnorm="running")
    rate = 0.5 / torch.linalg.eigvalsh(theta)[-1].item()
    sgd = torch.optim.SGD([p for p in linear.parameters() if p.requires_grad], rate, momentum=0.5)
    for _ in range(20):
        sgd.zero_grad()
        ((linear(x) - y).square().sum() / 2).backward()
        sgd.step()
    column = y.reshape(-1, 1)
    found = gradient_descent(theta, column, rate=rate, momentum=0.5, start=start.reshape(-1, 1))
    torch.testing.assert_close(linear(x).detach(), found.outputs(20).reshape(y.shape))
    assert all(torch.equal(network.state_dict()[n], value) for n, value in untouched.items())


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a network with parameters"):
        linearised(nn.Linear(2, 2).requires_grad_(False))
