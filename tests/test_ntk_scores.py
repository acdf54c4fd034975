"""Scores of the NTK and its labels, against the formulas written out on slow kernels."""

import copy
from collections.abc import Callable
from functools import partial

import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from measured import read
from torch import Tensor, nn

from untrained.analysis.regression import RIDGES
from untrained.images import Probe
from untrained.networks import draw_weights
from untrained.scores import SCORES
from untrained.scores.kernel import NTKScore
from untrained.scores.laplace import PRECISIONS, LaplaceEvidence
from untrained.scores.random_ntk import RandomNTKVariance

N, K = 12, 3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.Tanh(), nn.Linear(20, K)).eval()


X = torch.randn(N, 1, 4, 4, generator=generator(1))
PROBE = Probe(X, torch.arange(N) * 5 % 7 % K, K, "noise")
NAMES = ["1.weight", "1.bias", "3.weight", "3.bias"]
THETA = naive.ntk(copy.deepcopy(network()).double(), X.double(), ["1.weight"])
"The kernel of the summed logits over weights below the head."
LAMBDA = torch.linalg.eigvalsh(THETA).flip(0)


def targets(labels: Tensor) -> Tensor:
    return F.one_hot(labels, K).double() - 1 / K


def effective_rank() -> float:
    return float(THETA.trace() ** 2 / THETA.square().sum())


def decay() -> float:
    return float(-np.polyfit(np.log(np.arange(1, N + 1)), LAMBDA.log().numpy(), 1)[0])


def source() -> float:
    y = F.one_hot(PROBE.labels, K).double()
    y = y - y.mean(0)
    values, u = torch.linalg.eigh(THETA)
    energy = ((u.T @ y).square().sum(1) / y.square().sum()).flip(0)
    beyond = [energy[k:].sum().item() for k in range(1, N)]
    return float(np.polyfit(values.flip(0)[: N - 1].log().numpy(), np.log(beyond), 1)[0])


def pseudo() -> float:
    """Of the one output h = sum_k f_k / sqrt K."""
    summed = copy.deepcopy(network()).double()
    summed.append(nn.Linear(K, 1, bias=False).double())
    with torch.no_grad():
        summed.get_parameter(f"{len(summed) - 1}.weight").fill_(K**-0.5)
    return float(np.linalg.cond(naive.ntk(summed, X.double(), NAMES).numpy()))


def target_alignment() -> float:
    y = F.one_hot(PROBE.labels, K).double()
    y = y - y.mean(0)
    total = sum(THETA[i, j] * (y[i] @ y[j]) for i in range(N) for j in range(N))
    return float(total / THETA.norm() / (y @ y.T).norm())


def likelihood() -> float:
    """The Gaussian's own density, with the scale of largest likelihood."""
    y, found = targets(PROBE.labels), []
    for ridge in RIDGES:
        a = THETA + ridge * THETA.trace() / N * torch.eye(N)
        scale = sum(c @ torch.linalg.solve(a, c) for c in y.T) / (N * K)
        gauss = torch.distributions.MultivariateNormal(torch.zeros(N).double(), scale * a)
        found.append(sum(gauss.log_prob(c) for c in y.T).item() / (N * K))
    return max(found)


def label_complexity() -> float:
    a = THETA + 1e-3 * THETA.trace() / N * torch.eye(N)
    return sum((c @ torch.linalg.inv(a) @ c).item() for c in targets(PROBE.labels).T) / N


def regression_error() -> float:
    """The ridge by leaving out each image of the first half, one after the other."""
    n, y = N // 2, targets(PROBE.labels)

    def squares(fitted: list[int], asked: list[int], e: float) -> Tensor:
        a = THETA[fitted][:, fitted] + e * torch.eye(len(fitted))
        predicted = THETA[asked][:, fitted] @ torch.linalg.solve(a, y[fitted])
        return (predicted - y[asked]).square()

    first, second = list(range(n)), list(range(n, N))
    noise = [ridge * THETA[:n, :n].trace().item() / n for ridge in RIDGES]
    left_out = [
        sum(squares([j for j in first if j != i], [i], e).sum().item() for i in first)
        for e in noise
    ]
    return squares(first, second, noise[int(np.argmin(left_out))]).mean().item()


def released_error() -> float:
    n, y = N // 2, F.one_hot(PROBE.labels, K).double()
    inverse = torch.linalg.inv(THETA[:n, :n])
    predicted = THETA[n:, :n] @ inverse @ (y[:n] - y[:n].mean(0))
    return (predicted - (y[n:] - y[n:].mean(0))).square().sum(1).mean().item()


FORMULAS: dict[str, Callable[[], float]] = {
    "ntk_effective_rank": effective_rank,
    "ntk_decay": decay,
    "ntk_source": source,
    "pseudo_ntk": pseudo,
    "ntk_target_alignment": target_alignment,
    "ntk_likelihood": likelihood,
    "ntk_label_complexity": label_complexity,
    "ntk_regression_error": regression_error,
    "tegnas:mse": released_error,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula(name: str) -> None:
    score = SCORES[name]()
    found = score(network(), PROBE, generator())
    assert found.reason == ""
    assert found.value == pytest.approx(FORMULAS[name](), rel=1e-3)


NTK_SCORES = [n for n, s in SCORES.items() if issubclass(s, NTKScore) and n in FORMULAS]


@pytest.mark.parametrize("name", NTK_SCORES)
def test_they_share_one_kernel_unless_it_is_of_other_parameters(name: str) -> None:
    alike = SCORES[name]().view == SCORES["ntk_trace"]().view  # type: ignore[attr-defined]
    assert alike == (name != "pseudo_ntk")


def reason(name: str, shown: nn.Module) -> str:
    """Why a run has no number."""
    reading = read(partial(SCORES[name](), shown, PROBE, generator()))
    assert reading.value is None
    return reading.reason


@pytest.mark.parametrize("name", [*NTK_SCORES, "laplace_evidence"])
def test_a_kernel_that_overflows_is_a_reason(name: str) -> None:
    broken = network()
    with torch.no_grad():
        broken.get_parameter("1.weight").fill_(torch.inf)
    assert reason(name, broken)


@pytest.mark.parametrize("name", [n for n in NTK_SCORES if n != "pseudo_ntk"])
def test_a_kernel_of_zeros_is_a_reason(name: str) -> None:
    silent = network()
    with torch.no_grad():
        silent.get_parameter("3.weight").zero_()
    assert "zero" in reason(name, silent)


@pytest.mark.parametrize("name", ["ntk_source", "ntk_target_alignment"])
def test_one_class_has_no_labels_to_explain(name: str) -> None:
    shown = Probe(X, torch.zeros(N, dtype=torch.int64), K, "noise")
    found = SCORES[name]()(network(), shown, generator())
    assert found.value is None
    assert "one class" in found.reason or "zero" in found.reason


# Laplace


def test_laplace_is_the_determinant_over_parameters() -> None:
    """log det(H + delta I) - P log delta of the generalised Gauss-Newton matrix, P x P."""
    model = copy.deepcopy(network()).double()
    j = naive.jacobian(model, X.double(), NAMES)
    f = model(X.double()).detach()
    p = f.softmax(1)
    hessian = sum(j[i].T @ (torch.diag(p[i]) - p[i][:, None] * p[i]) @ j[i] for i in range(N))
    assert isinstance(hessian, Tensor)
    fit = -F.cross_entropy(f, PROBE.labels, reduction="sum").item()
    squares = sum(q.square().sum().item() for q in model.parameters())
    count = len(hessian)
    evidence = [
        fit - delta / 2 * squares - (hessian / delta + torch.eye(count)).logdet().item() / 2
        for delta in PRECISIONS
    ]
    found = LaplaceEvidence(batchnorm="running")(network(), PROBE, generator())
    assert found.value == pytest.approx(max(evidence) / N, rel=1e-4)


# Random weights


def test_every_draw_of_an_affine_network_has_one_kernel() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, K))
    assert RandomNTKVariance()(model, PROBE, generator()).value == pytest.approx(1, abs=1e-12)


def test_one_draw_does_not_vary() -> None:
    found = RandomNTKVariance(draws=1)(network(), PROBE, generator())
    assert found.value is None
    assert "expected two draws or more, got draws=1" in found.reason


def test_moments_of_drawn_kernels() -> None:
    model, weights = network(), generator(5)
    traces = []
    for _ in range(4):
        draw_weights(model, "kaiming_fan_in", weights)
        theta = naive.ntk(copy.deepcopy(model).double(), X[:2].double(), NAMES, "trace")
        traces.append(theta.diagonal().numpy())
    t = np.array(traces)
    expected = ((t**2).mean(0) / t.mean(0) ** 2).mean()
    shown = Probe(X[:2], PROBE.labels[:2], K, "noise")
    found = RandomNTKVariance(draws=4)(network(), shown, generator(5))
    assert found.value == pytest.approx(expected, rel=1e-4)
