"""Functions and densities of kernels by products alone, against kernels that are held."""

import numpy as np
import pytest
import torch
from torch import nn

from untrained import gradient_flow, ntk, ntk_operator
from untrained.analysis import apply_function, descent_weights, spectral_density

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((60, 90)) * np.geomspace(1, 0.01, 90)
THETA, B = Z @ Z.T, RNG.standard_normal(60)


@pytest.mark.parametrize("g", [np.exp, np.sin, lambda s: 1 / (1 + s)])
def test_functions_are_those_of_the_eigenvalues(g: object) -> None:
    s, u = np.linalg.eigh(THETA / 10)
    expected = u @ (g(s) * (u.T @ B))  # type: ignore[operator]
    found = apply_function(THETA / 10, B, g)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.value, expected, rtol=1e-6, atol=1e-7)
    assert found.change < 1e-8
    assert found.products <= 60


def test_few_directions_need_few_products() -> None:
    """A kernel of three eigenvalues, by three products; one that repeats makes no copies."""
    u = np.linalg.qr(RNG.standard_normal((60, 60)))[0]
    theta = u * np.repeat([1.0, 5.0, 9.0], 20) @ u.T
    found = apply_function(theta, B, np.sqrt)
    assert found.products == 3
    np.testing.assert_allclose(THETA @ B, apply_function(THETA, B, lambda s: s).value, rtol=1e-9)
    assert not apply_function(theta, np.zeros(60), np.exp).value.any()


@pytest.mark.parametrize("t", [0.0, 1e-9, 0.1, 30.0])
def test_gradient_flow_of_a_network_by_products_alone(t: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 1)).double()
    x, y = torch.randn(40, 3).double(), torch.randn(30, 1).double()
    theta = ntk(net, x)
    flow = gradient_flow(theta[:30, :30], y)
    expected = flow.predict(theta[30:, :30], t)[:, 0]
    a = descent_weights(ntk_operator(net, x[:30]), y[:, 0].numpy(), t)
    found = ntk_operator(net, x[30:], x[:30]) @ a.value
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_densities_have_the_moments_of_the_spectrum() -> None:
    """Those of the same random vectors, by powers of the kernel."""
    found = spectral_density(THETA, generator=np.random.default_rng(1), steps=20, probes=50)
    probes = np.random.default_rng(1).choice([-1.0, 1.0], (50, 60))
    for power in (0, 1, 2, 3):
        products = probes @ np.linalg.matrix_power(THETA, power)
        expected = (probes * products).sum(1).mean() / 60
        assert found.moment(power) == pytest.approx(expected)
    middle = float(np.median(np.linalg.eigvalsh(THETA)))
    assert found.below(middle) == pytest.approx(0.5, abs=0.05)
    whole = spectral_density(np.diag(np.arange(5.0)), generator=RNG, steps=99, probes=1)
    np.testing.assert_allclose(whole.values, np.arange(5.0), atol=1e-9)
    np.testing.assert_allclose(whole.weights, 0.2)


def test_wrong_use_is_told() -> None:
    with pytest.raises(ValueError, match=r"square operator of 5 rows, got \(60, 60\)"):
        apply_function(THETA, np.ones(5), np.exp)
    with pytest.raises(ValueError, match="t: expected a finite time of 0 or more, got inf"):
        descent_weights(THETA, B, np.inf)
    with pytest.raises(ValueError, match="a step and a probe or more, got 0 and 8"):
        spectral_density(THETA, generator=RNG, steps=0)
