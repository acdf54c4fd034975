"""Condition numbers against closed forms, and honesty about what is not resolved."""

import pytest
import torch
from torch import nn

from untrained.kernels import ntk, spectrum


def test_known_eigenvalues() -> None:
    values = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    found = spectrum(q @ values.diag() @ q.T)
    torch.testing.assert_close(found.eigenvalues, values)
    assert found.condition_number == pytest.approx(16)
    assert found.unresolved == ""


def test_hilbert_matrix() -> None:
    i = torch.arange(1, 6, dtype=torch.float64)
    found = spectrum(1 / (i[:, None] + i - 1))
    assert found.condition_number == pytest.approx(476_607.2502, rel=1e-6)


def test_a_duplicate_image_is_not_resolved() -> None:
    model = nn.Sequential(nn.Linear(4, 50), nn.ReLU(), nn.Linear(50, 2))
    x = torch.randn(5, 4)
    found = spectrum(ntk(model, torch.cat([x, x[:1]])))
    assert found.condition_number is None
    assert "below the resolution" in found.unresolved
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
    assert reason in found.unresolved
