"""Correlations of rows against NumPy's."""

import numpy as np
import pytest
import torch

from untrained.analysis.pearson import row_correlations


def test_rows_correlate_as_to_numpy() -> None:
    rows = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * 1e3 + 7
    expected = np.corrcoef(rows.double().numpy())
    assert row_correlations(rows).numpy() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e7, 1 / 3])
def test_a_constant_row_correlates_with_nothing(constant: float) -> None:
    """Whatever it is, and so however its mean is rounded."""
    rows = torch.randn(3, 7, dtype=torch.float64)
    rows[1] = constant
    found = row_correlations(rows)
    assert not found[1].any()
    assert not found[:, 1].any()
    assert found.diagonal()[[0, 2]] == pytest.approx(1)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_does_not_correlate(number: float) -> None:
    rows = torch.randn(3, 7)
    rows[2] = number
    with pytest.raises(ValueError, match="got NaN or infinity"):
        row_correlations(rows)
