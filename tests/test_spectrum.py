"""Spectra, label energies and estimates against closed forms, and what is not resolved."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from untrained.analysis.label_energy import label_energy
from untrained.analysis.power_law import power_law
from untrained.analysis.spectrum import spectrum
from untrained.estimate import Quantity, estimate
from untrained.kernels.ntk import ntk


def test_known_eigenvalues() -> None:
    values = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    found = spectrum(q @ values.diag() @ q.T)
    torch.testing.assert_close(found.eigenvalues, values)
    assert found.condition_number == pytest.approx(16)
    assert found.reason == ""


def test_hilbert_matrix() -> None:
    i = torch.arange(1, 6, dtype=torch.float64)
    found = spectrum(1 / (i[:, None] + i - 1))
    assert found.condition_number == pytest.approx(476_607.2502, rel=1e-6)


def test_a_duplicate_image_is_not_resolved() -> None:
    model = nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 2))
    x = torch.randn(5, 4)
    found = spectrum(ntk(model, torch.cat([x, x[:1]])))
    assert found.condition_number is None
    assert "below the resolution" in found.reason
    assert spectrum(ntk(model, x)).condition_number is not None


def test_fewer_parameters_than_examples_are_not_resolved() -> None:
    assert spectrum(ntk(nn.Linear(2, 1), torch.randn(6, 2))).condition_number is None


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(torch.zeros(3, 3), "zero"), (torch.full((3, 3), torch.nan), "NaN or infinity")],
)
def test_reasons(kernel: torch.Tensor, reason: str) -> None:
    found = spectrum(kernel)
    assert found.condition_number is None
    assert reason in found.reason
    assert found.effective_rank is found.entropy_rank is None
    assert found.decay.exponent is None
    assert (found.trace, found.norm, found.mean) in ((0, 0, 0), (None, None, None))


def kernel_of(values: list[float], seed: int = 0) -> torch.Tensor:
    """A kernel with these eigenvalues, the k-th of them along the k-th column of `basis`."""
    q = basis(len(values), seed)
    return q @ torch.tensor(values, dtype=torch.float64).diag() @ q.T


def basis(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q


def test_a_kernel_may_know_its_resolution() -> None:
    class Known(torch.Tensor):
        resolution = 0.2

    kernel = torch.diag(torch.tensor([0.1, 1.0], dtype=torch.float64))
    assert spectrum(kernel).condition_number == pytest.approx(10)
    known = kernel.as_subclass(Known)
    assert spectrum(known).condition_number is None
    assert type(spectrum(known).eigenvalues) is torch.Tensor
    assert spectrum(known, torch.float32).condition_number == pytest.approx(10)


def test_entries_in_float32_are_rounded_themselves() -> None:
    kernel = kernel_of([1.0, 1e-8])
    for single in (kernel.float(), kernel.float().double()):  # the latter does not look it
        found = spectrum(single)
        assert found.eigenvalues[0].item() != pytest.approx(1e-8, rel=0.5)
        assert found.condition_number is None
    assert "say precision=torch.float64" in found.reason
    assert spectrum(kernel, torch.float64).condition_number == pytest.approx(1e8, rel=1e-6)


def test_moments_against_the_entries() -> None:
    kernel = kernel_of([3.0, 1.0, 0.5, 0.1])
    found = spectrum(kernel)
    assert found.trace == pytest.approx(kernel.trace().item())
    assert found.norm == pytest.approx(kernel.square().sum().sqrt().item())
    assert found.mean == pytest.approx(kernel.mean().item())


def test_effective_ranks() -> None:
    flat = spectrum(kernel_of([2.0] * 4 + [0.0] * 3))
    assert flat.effective_rank == pytest.approx(4)
    assert flat.entropy_rank == pytest.approx(4)
    assert len(flat.resolved) == 4
    steep = spectrum(kernel_of([3.0, 1.0]))
    assert steep.effective_rank == pytest.approx(16 / 10)
    assert steep.entropy_rank == pytest.approx(math.exp(scipy.stats.entropy([3, 1])))


def test_rounding_below_zero_is_not_a_negative_kernel() -> None:
    rounded = spectrum(kernel_of([1.0, 0.5, -1e-17]))
    assert rounded.degenerate == ""
    assert "below the resolution" in rounded.reason
    negative = spectrum(kernel_of([1.0, 0.5, -0.1]))
    assert negative.condition_number is negative.effective_rank is None
    assert "none below zero" in negative.reason
    assert "none below zero" in spectrum(-torch.eye(2)).reason


def test_decay_of_a_power_law() -> None:
    i = np.arange(1, 31)
    found = spectrum(kernel_of(list(i**-1.5))).decay
    assert found.exponent == pytest.approx(1.5)
    assert found.standard_error == pytest.approx(0, abs=1e-6)
    assert found.points == 30
    low_rank = spectrum(kernel_of([*(i**-1.5)[:20], *[0.0] * 10])).decay
    assert low_rank.exponent == pytest.approx(1.5)
    assert low_rank.points == 20


def test_power_law_against_scipy() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(0.1, 9, 40), rng.normal(size=40)
    y = 3 * x**-0.7 * np.exp(noise)
    found = power_law(torch.from_numpy(x), torch.from_numpy(y))
    expected = scipy.stats.linregress(np.log(x), np.log(y))
    assert found.exponent == pytest.approx(expected.slope)
    assert found.standard_error == pytest.approx(expected.stderr)
    assert "three points" in power_law(torch.ones(2), torch.ones(2)).reason
    assert "abscissae" in power_law(torch.ones(4), torch.rand(4) + 1).reason


def test_label_energy_against_projections() -> None:
    values, labels = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5], torch.tensor([0, 2, 2, 9, 0, 2])
    found = label_energy(kernel_of(values), labels)
    y = np.stack([(labels == c).double().numpy() for c in (0, 2, 9)], 1)
    y = y - y.mean(0)
    energy = ((basis(6).numpy().T @ y) ** 2).sum(1)
    expected = torch.from_numpy(energy / (y**2).sum())
    torch.testing.assert_close(found.shares, expected)
    torch.testing.assert_close(found.cumulative[-1].item(), 1.0)
    assert found.top(2) == pytest.approx(expected[:2].sum().item())
    assert found.top(0) == 0
    with pytest.raises(ValueError, match="from 0 to 6"):
        found.top(7)


def test_label_energy_of_a_kernel_that_knows_the_labels() -> None:
    labels = torch.tensor([0, 1, 2] * 4)
    same = (labels[:, None] == labels).double()
    found = label_energy(same + 1e-3 * torch.eye(12) - 1 / 3 + 0.5, labels)
    assert found.top(3) == pytest.approx(1)


def test_source_exponent_of_a_made_up_task() -> None:
    """Two classes: labels +-1, less their mean, along known eigenvectors."""
    n = 200
    labels = torch.arange(n) % 2
    y = 1.0 - 2 * labels.double()
    k = torch.arange(1, n + 1).double()
    eigenvalues = k**-1.4
    tail = k**-0.7  # C(k), of which the energies are the differences
    energy = torch.cat([torch.ones(1, dtype=torch.float64), tail[:-1]]) - tail
    energy[-1] += tail[-1]
    target = energy.sqrt() * n**0.5
    # A reflection takes the target in the eigenbasis to y.
    v = target - y
    u = torch.eye(n, dtype=torch.float64) - 2 * torch.outer(v, v) / v.square().sum()
    found = label_energy(u @ eigenvalues.diag() @ u, labels)
    torch.testing.assert_close(found.shares, energy)
    assert found.source.exponent == pytest.approx(0.5, abs=0.01)
    assert found.spectrum.decay.exponent == pytest.approx(1.4)


def test_label_energy_that_is_not_resolved() -> None:
    one = label_energy(torch.eye(3), torch.zeros(3, dtype=torch.int64))
    nan = label_energy(torch.full((2, 2), torch.nan), torch.tensor([0, 1]))
    for found, reason in ((one, "one class"), (nan, "NaN")):
        assert reason in found.reason
        assert found.top(1) is None
        assert reason in found.source.reason
        assert len(found.cumulative) == 0


def test_estimates_against_scipy() -> None:
    values = [3.0, 4.5, 1.0, 9.0]
    found = estimate([*((v, "") for v in values), (None, "overflow"), Quantity(math.inf)])
    assert found.mean == pytest.approx(np.mean(values))
    assert found.standard_error == pytest.approx(scipy.stats.sem(values))
    assert found.draws == 4
    assert found.failures == ("overflow", "not a finite number: inf")


def test_an_estimate_of_spectra() -> None:
    spectra = [spectrum(kernel_of([k, 1.0])) for k in (2.0, 4.0)] + [spectrum(torch.zeros(2, 2))]
    found = estimate((each.condition_number, each.reason) for each in spectra)
    assert found.mean == pytest.approx(3)
    assert found.draws == 2
    assert "zero" in found.failures[0]


def test_few_draws_have_no_error() -> None:
    assert estimate([(2.0, "")]).standard_error is None
    assert estimate([]).mean is None
