"""The NTK and the NNGP against the library neural-tangents, on its network with its weights.

The numbers come from `fixtures/neural_tangents.py`, which says how they were made.
"""

from collections.abc import Callable
from pathlib import Path

import naive
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained.kernels import ntk
from untrained.kernels.choice import Method
from untrained.kernels.nngp import nngp
from untrained.networks.features import features
from untrained.networks.readout import Output
from untrained.networks.weights import draw_weights, ntk_parametrisation

Stored = Callable[[str], Tensor]

ARRAYS = np.load(Path(__file__).parent / "fixtures" / "neural_tangents.npz")
PARAMETRISATIONS = ("standard", "ntk")
METHODS = ("auto", "loop", "vmap")
LAYERS = ("conv1", "conv2", "dense")


SIGMA_W, SIGMA_B = ARRAYS["sigma_w"].item(), ARRAYS["sigma_b"].item()


def array(name: str) -> Tensor:
    return torch.from_numpy(ARRAYS[name])


X1, X2 = (array(name).permute(0, 3, 1, 2) for name in ("x1", "x2"))


def build(parametrisation: str, channels: int = 8) -> nn.Module:
    """The network of the fixture, with weights as torch draws them."""
    model = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 5),
    ).double()
    if parametrisation == "standard":
        return model
    return ntk_parametrisation(model, sigma_w=SIGMA_W, sigma_b=SIGMA_B)


@pytest.fixture(params=PARAMETRISATIONS)
def parametrisation(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stored(parametrisation: str) -> Stored:
    """Reads an array that belongs to this parametrisation."""
    return lambda name: array(f"{parametrisation}.{name}")


@pytest.fixture
def network(parametrisation: str, stored: Stored) -> nn.Module:
    """With the stored weights, in torch's layout."""
    model = build(parametrisation)
    names = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), names, strict=True):
            value = stored(name)  # (outputs,), (inputs, outputs) or (h, w, inputs, outputs)
            parameter.copy_(value.movedim((-1, -2), (0, 1)) if value.ndim > 1 else value)
    return model


def example_major(theta: Tensor) -> Tensor:
    """From (n, m, K, K) to (n K, m K)."""
    return theta.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-12 * b.abs().max())


def test_the_networks_are_the_same(network: nn.Module, stored: Stored) -> None:
    assert close(network(X1).detach(), stored("outputs"))


def test_the_double_loop_is_theirs(network: nn.Module, stored: Stored) -> None:
    names = [name for name, _ in network.named_parameters()]
    full = naive.full_ntk(network, torch.cat([X1, X2]), names)
    assert close(full[:30, 30:], example_major(stored("ntk_full")))


@pytest.mark.parametrize("method", METHODS)
def test_ntk_of_the_summed_outputs(network: nn.Module, stored: Stored, method: Method) -> None:
    assert close(ntk(network, X1, X2, method=method), stored("ntk_full").sum((2, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_ntk_of_all_outputs(network: nn.Module, stored: Stored, method: Method) -> None:
    found = ntk(network, X1, X2, output="full", method=method)
    assert close(found, example_major(stored("ntk_full")))


@pytest.mark.parametrize("method", METHODS)
def test_trace_is_their_mean_times_the_outputs(
    network: nn.Module, stored: Stored, method: Method
) -> None:
    found = ntk(network, X1, X2, output="trace", method=method)
    assert close(found, 5 * stored("ntk_mean"))


@pytest.mark.parametrize("k", [0, 3])
def test_ntk_of_one_output(network: nn.Module, stored: Stored, k: int) -> None:
    assert close(ntk(network, X1, X2, output=k), stored("ntk_full")[:, :, k, k])


def test_ntk_of_projected_outputs(network: nn.Module, stored: Stored) -> None:
    r = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("kq,cq,ijkc->ij", r, r, stored("ntk_full"))
    assert close(ntk(network, X1, X2, output=r), expected)


@pytest.mark.parametrize("parametrisation", ["standard"], indirect=True)
def test_structured_method(network: nn.Module, stored: Stored) -> None:
    """The other parametrisation computes its weights, which this method has no formula for."""
    theta = stored("ntk_full")
    expected: dict[Output, Tensor] = {
        "sum": theta.sum((2, 3)),
        "trace": 5 * stored("ntk_mean"),
        "full": example_major(theta),
    }
    for output, kernel in expected.items():
        assert close(ntk(network, X1, X2, output=output, method="structured"), kernel), output


def test_nngp_of_features(network: nn.Module, stored: Stored) -> None:
    z1, z2 = (features(network, x).z for x in (X1, X2))
    assert close(z1 @ z2.T / z1.shape[1], stored("nngp_features"))


def test_wide_networks_approach_the_limit_of_the_ntk() -> None:
    """Mean over draws of Theta / K; its error is of order 1 / sqrt(draws channels)."""
    model, generator = build("ntk", channels=128), torch.Generator().manual_seed(0)
    draws = []
    for _ in range(16):
        draw_weights(model, "ntk", generator)
        draws.append(ntk(model, X1, X2, output="trace") / 5)
    limit = array("ntk.limit_ntk")
    assert (torch.stack(draws).mean(0) - limit).norm() <= 0.1 * limit.norm()


def test_wide_networks_approach_the_limit_of_the_nngp() -> None:
    """Theirs is the kernel of outputs: sigma_W^2 times that of the features, and sigma_b^2."""
    model, generator = build("ntk", channels=128), torch.Generator().manual_seed(0)
    found = nngp(model, X1, X2, generator=generator, draws=64, weights="ntk")
    limit = array("ntk.limit_nngp")
    error = SIGMA_W**2 * found.mean + SIGMA_B**2 - limit
    assert error.norm() <= 0.1 * limit.norm()
    assert found.standard_error is not None
    assert (error.abs() <= 4 * SIGMA_W**2 * found.standard_error).all()
