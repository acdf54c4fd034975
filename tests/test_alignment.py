"""Alignments against double loops, other libraries and their invariances."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import jaxtyping
import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from untrained.analysis.alignment import (
    centred_alignment,
    correlation,
    cosine,
    entrywise_change,
    label_alignment,
    label_kernel,
    relative_change,
)
from untrained.analysis.label_energy import label_energy
from untrained.estimate import Quantity

PAIRS = {"cosine": cosine, "correlation": correlation, "centred_alignment": centred_alignment}
SHIFTS = ("correlation", "centred_alignment")


def kernel(seed: int, n: int = 9) -> Tensor:
    j = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return j @ j.T + 0.3


def labels(n: int = 9) -> Tensor:
    return torch.tensor([0, 1, 1, 3, 0, 3, 3, 1, 0])[:n]


def test_label_alignment_by_hand() -> None:
    """The published procedure, one entry at a time."""
    theta, y = kernel(0), labels()
    n = len(y)
    label = [[1.0 if y[i] == y[j] else -1.0 for j in range(n)] for i in range(n)]
    mean_t = sum(theta[i, j].item() for i in range(n) for j in range(n)) / n**2
    mean_l = sum(map(sum, label)) / n**2
    dot = squares_t = squares_l = 0.0
    for i in range(n):
        for j in range(n):
            t, k = theta[i, j].item() - mean_t, label[i][j] - mean_l
            dot, squares_t, squares_l = dot + t * k, squares_t + t * t, squares_l + k * k
    assert label_alignment(theta, y).value == pytest.approx(dot / (squares_t * squares_l) ** 0.5)


def test_correlation_against_scipy() -> None:
    a, b = kernel(0), kernel(1)
    expected = scipy.stats.pearsonr(a.flatten().numpy(), b.flatten().numpy()).statistic
    assert correlation(a, b).value == pytest.approx(expected)
    assert label_alignment(a, labels()).value == pytest.approx(
        scipy.stats.pearsonr(a.flatten(), label_kernel(labels()).flatten()).statistic
    )


def test_centred_alignment_against_hsic() -> None:
    a, b = kernel(0).numpy(), kernel(1).numpy()
    h = np.eye(9) - 1 / 9

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.trace(x @ h @ y @ h))

    expected = hsic(a, b) / (hsic(a, a) * hsic(b, b)) ** 0.5
    found = centred_alignment(torch.from_numpy(a), torch.from_numpy(b))
    assert found.value == pytest.approx(expected)


@pytest.mark.parametrize("name", PAIRS)
def test_invariances(name: str) -> None:
    align, a, b = PAIRS[name], kernel(0), kernel(1)
    value = align(a, b).value
    assert value is not None
    assert align(b, a).value == pytest.approx(value)
    assert align(1e-30 * a, 1e200 * b).value == pytest.approx(value)
    assert align(a, -b).value == pytest.approx(-value)
    assert align(a, a).value == pytest.approx(1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    assert align(a[order][:, order], b[order][:, order]).value == pytest.approx(value)
    assert (align(a, b + 5).value == pytest.approx(value)) == (name in SHIFTS)
    rows = torch.arange(9).double()
    skewed = align(a, b + rows[:, None] + rows).value
    assert (skewed == pytest.approx(value)) == (name == "centred_alignment")


def test_label_alignment_knows_classes_only() -> None:
    theta, y = kernel(0), labels()
    value = label_alignment(theta, y).value
    assert label_alignment(7 * theta + 2, 11 - 2 * y).value == pytest.approx(value)
    assert label_alignment(theta.float(), y).value == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("align", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("bad", ["zero", "constant", "NaN"])
def test_what_is_not_resolved(align: Callable[..., Quantity], bad: str) -> None:
    other = {
        "zero": torch.zeros(9, 9),
        "constant": torch.full((9, 9), 0.1),
        "NaN": kernel(1) * torch.nan,
    }[bad]
    for found in (align(kernel(0), other), align(other, kernel(0))):
        if align is cosine and bad == "constant":
            assert found.value is not None
        else:
            assert found.value is None
            assert ("NaN" if bad == "NaN" else "a kernel is") in found.reason


def test_one_class_is_not_resolved() -> None:
    found = label_alignment(kernel(0), torch.zeros(9, dtype=torch.int64))
    assert found == Quantity(None, "the labels are of one class: their kernel is constant")
    constant = label_alignment(torch.ones(9, 9), labels())
    assert constant.value is None
    assert "constant" in constant.reason


def test_changes_by_hand() -> None:
    before, after = (
        torch.tensor([[2.0, -1.0], [-1.0, 0.5]]),
        torch.tensor([[2.0, 1.0], [1.0, 1.0]]),
    )
    assert relative_change(before, after).value == pytest.approx((8.25 / 6.25) ** 0.5)
    entries = [0.0, 2 / 1.0001, 2 / 1.0001, 0.5 / 0.5001]
    expected = sum(e**2 for e in entries) ** 0.5
    assert entrywise_change(before, after).value == pytest.approx(expected)
    assert relative_change(before, before).value == 0
    assert relative_change(0 * before, before).value is None
    assert entrywise_change(0 * before, 0 * before).value == 0
    for change in (relative_change, entrywise_change):
        assert "NaN" in change(before, torch.nan * before).reason


WIDE = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (label_alignment, (torch.eye(3), torch.tensor([0, 1])), "3 labels"),
        (label_alignment, (WIDE, torch.tensor([0, 1])), "square"),
        (label_energy, (torch.eye(3), torch.tensor([0, 1])), "3 labels"),
        (centred_alignment, (WIDE, WIDE), "square"),
        *((compare, (WIDE, WIDE.T), "one shape") for compare in (cosine, correlation)),
        (relative_change, (WIDE, WIDE.T), "one shape"),
        (entrywise_change, (WIDE[:0], WIDE[:0]), "one shape"),
    ],
)
def test_wrong_shapes(function: Callable[..., Any], arguments: Any, words: str) -> None:
    """Without the type checker of this suite, which would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=words):
            unwrap(function)(*arguments)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
