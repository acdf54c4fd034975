"""Region counts against exact patterns and a theorem."""

import naive
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.kernels import count_regions
from untrained.spaces import get_space


def patterns_of(model: nn.Module, x: Tensor) -> Tensor:
    """What ReLU modules let through, as the published code reads it: the sign of their outputs."""
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, i, output: found.append(output.flatten(1) > 0))
        for m in model.modules()
        if isinstance(m, nn.ReLU)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_exact_count(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
    x = torch.randn(400, 2)
    found = count_regions(model, x)
    assert found.count == naive.distinct_rows(patterns_of(model, x))
    assert (found.inputs, found.neurons) == (400, 14)
    assert not found.saturated


def test_thin_supernet_in_training_mode_as_published() -> None:
    space = get_space("nasbench201")
    thin = space.build(space.supernet(), space.scales["thin"], inputs=1, classes=10).train()
    x = torch.randn(600, 1, 3, 3)
    expected = naive.distinct_rows(patterns_of(thin, x))
    found = count_regions(thin, x, batchnorm="batch")
    assert (found.count, found.neurons) == (expected, 117)


def test_lines_in_the_plane() -> None:
    """Zaslavsky: k lines in general position cut the plane into 1 + k + k (k - 1) / 2 parts."""
    torch.manual_seed(0)
    k = 5
    model = nn.Sequential(nn.Linear(2, k), nn.ReLU())
    axis = torch.linspace(-40, 40, 700)
    grid = torch.cartesian_prod(axis, axis)
    assert count_regions(model, grid).count == 1 + k + k * (k - 1) // 2


@pytest.mark.parametrize(
    ("function", "bends"),
    [
        (F.relu, 1),
        (torch.relu, 1),
        (lambda x: x.clone().relu_(), 1),
        (F.leaky_relu, 1),
        (F.relu6, 2),
        (nn.Hardtanh(-2.0, 3.0), 2),
        (nn.PReLU(), 1),
        (torch.tanh, 0),
    ],
)
def test_pieces_of_each_nonlinearity(function: nn.Module, bends: int) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    line = torch.linspace(-10, 10, 101)[:, None]
    found = count_regions(Net(), line)
    assert found.count == bends + 1
    assert found.neurons == (bends > 0)


def test_nan_lies_in_no_region() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with pytest.raises(ValueError, match="lies in no region"):
        count_regions(model, torch.full((4, 2), torch.nan))


def test_saturation_is_said() -> None:
    model = nn.Sequential(nn.Linear(64, 500), nn.ReLU())
    assert count_regions(model, torch.randn(50, 64)).saturated


def test_the_network_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    count_regions(model, torch.randn(9, 2), batchnorm="batch")
    assert all(m.training for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
