"""Kernels of finite networks approach those of infinite width, as 1 / sqrt(width).

A network of ReLU layers in the parametrisation of the NTK,

    z^1 = sqrt(2 / d) W^1 x + b^1,    z^{h+1} = sqrt(2 / width) W^{h+1} relu(z^h) + b^{h+1},

every W and b drawn from N(0, 1), or b = 0. With theta the angle between two inputs under Sigma^h
and r, r' their lengths, the NNGP kernel Sigma and the NTK Theta follow

    Sigma^1 = 2 x . x' / d + beta,      Sigma^{h+1} = 2 E[relu relu] + beta
    Theta^1 = Sigma^1,                  Theta^{h+1} = Sigma^{h+1} + 2 Theta^h E[relu' relu']
    E[relu relu] = r r' (sin theta + (pi - theta) cos theta) / 2 pi
    E[relu' relu'] = (pi - theta) / 2 pi

where beta is 1 with biases and 0 without.

Source: Cho & Saul, "Kernel Methods for Deep Learning", NeurIPS 2009; Jacot, Gabriel & Hongler,
"Neural Tangent Kernel", NeurIPS 2018; Lee et al., "Wide Neural Networks of Any Depth Evolve as
Linear Models Under Gradient Descent", NeurIPS 2019.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import pi

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained.kernels import ntk
from untrained.kernels.nngp import nngp
from untrained.networks.features import features
from untrained.networks.weights import draw_weights, ntk_parametrisation

HIDDEN = 2
WIDTHS = (32, 128, 512)  # the ends tell the slope almost as well as with 64 and 256 between
DRAWS = 48  # it has a standard error of 0.04


INPUTS = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def limits(x: Tensor, bias: bool) -> tuple[Tensor, Tensor]:
    """Sigma and Theta of the outputs, after `HIDDEN` layers of ReLU."""
    sigma = 2 * x @ x.T / x.shape[1] + bias
    theta = sigma
    for _ in range(HIDDEN):
        r = sigma.diagonal().sqrt()
        cosine = (sigma / torch.outer(r, r)).clamp(-1, 1)
        angle = cosine.arccos()
        relu = torch.outer(r, r) * (angle.sin() + (pi - angle) * cosine) / (2 * pi)
        step = (pi - angle) / (2 * pi)
        sigma = 2 * relu + bias
        theta = sigma + 2 * theta * step
    return sigma, theta


def network(width: int, bias: bool, outputs: int = 1) -> nn.Module:
    """In the parametrisation of the NTK."""
    sizes = [INPUTS.shape[1], *[width] * HIDDEN]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, bias), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, outputs, bias)).double()
    return ntk_parametrisation(model, sigma_b=1)


def drawn(model: nn.Module, draws: int) -> Iterator[nn.Module]:
    """The same network with new weights each time."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(draws):
        draw_weights(model, "ntk", generator)
        yield model


def nngp_of_features(model: nn.Module, bias: bool) -> Tensor:
    """Sigma of the outputs, given the features before them: 2 F F^T / width + beta."""
    f = features(model, INPUTS).z
    return 2 * f @ f.T / f.shape[1] + bias


KERNELS: dict[str, Callable[[nn.Module, bool], Tensor]] = {
    "nngp": nngp_of_features,
    "ntk": lambda model, bias: ntk(model, INPUTS),
}


def distance(found: Tensor, limit: Tensor) -> float:
    return ((found - limit).norm() / limit.norm()).item()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_error_falls_as_one_over_the_root_of_the_width(kernel: str, bias: bool) -> None:
    limit = limits(INPUTS, bias)[kernel == "ntk"]
    errors = []
    for width in WIDTHS:
        draws = (KERNELS[kernel](model, bias) for model in drawn(network(width, bias), DRAWS))
        errors.append(np.mean([distance(draw, limit) for draw in draws]))
    slope = np.polyfit(np.log(WIDTHS), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35
    assert errors[-1] < 0.2


def test_mean_of_draws_has_no_error_of_that_order() -> None:
    """The error of one draw is noise, so that of the mean of m draws is sqrt(m) times smaller."""
    limit = limits(INPUTS, True)[1]
    draws: list[Tensor] = [ntk(model, INPUTS) for model in drawn(network(128, True), 100)]
    assert distance(torch.stack(draws).mean(0), limit) < 0.04


def test_nngp_is_within_its_standard_error() -> None:
    limit, generator = limits(INPUTS, True)[0], torch.Generator().manual_seed(0)
    found = nngp(network(128, True), INPUTS, generator=generator, draws=100, weights="ntk")
    assert found.standard_error is not None
    assert ((2 * found.mean + 1 - limit).abs() <= 4 * 2 * found.standard_error).all()
    assert distance(2 * found.mean + 1, limit) < 0.04


def test_outputs_become_independent() -> None:
    """Theta_kc tends to delta_kc Theta: equal blocks on the diagonal, nothing beside it."""
    limit = limits(INPUTS, False)[1]
    blocks = torch.kron(limit, torch.eye(3, dtype=torch.float64))  # row i K + k
    errors = {}
    for width in (64, 512):
        draws = drawn(network(width, False, outputs=3), 10)
        errors[width] = np.mean([distance(ntk(m, INPUTS, output="full"), blocks) for m in draws])
    assert errors[512] < 0.6 * errors[64]
    assert errors[512] < 0.3
