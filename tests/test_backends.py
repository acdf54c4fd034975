"""Kernels are computed in full float32, whatever precision the process has chosen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from untrained import ntk
from untrained.networks.backends import BY_OPERATION, OPERATIONS, full_float32
from untrained.runs.surroundings import SETTINGS, surroundings

BACKENDS: Any = torch.backends  # most of its attributes are missing in torch's stubs


def everything() -> list[object]:
    return [setting.get() for setting in SETTINGS]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with surroundings(0):
        yield


def by_flags() -> None:
    torch.set_float32_matmul_precision("medium")


def of_all() -> None:
    BACKENDS.fp32_precision = "tf32"


def of_operations() -> None:
    BACKENDS.mkldnn.matmul.fp32_precision = "bf16"
    BACKENDS.mkldnn.conv.fp32_precision = "bf16"
    BACKENDS.mkldnn.rnn.fp32_precision = "tf32"


CHOICES = (by_flags, *((of_all, of_operations) if BY_OPERATION else ()))


@pytest.mark.parametrize("choose", CHOICES)
def test_products_are_in_full_and_the_choice_is_kept(choose: Callable[[], None]) -> None:
    class Watched(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.extend(each.fp32_precision for each in OPERATIONS)
            return super().forward(x)

    model, x, seen = Watched(5, 3), torch.randn(4, 5), list[str]()
    expected = ntk(model, x)
    choose()
    chosen = everything()
    assert torch.equal(ntk(model, x), expected)
    assert set(seen) <= {"ieee", "none"}
    assert everything() == chosen


@pytest.mark.skipif(not BY_OPERATION, reason="one precision for all comes with torch 2.9")
def test_what_follows_the_backend_follows_it_afterwards() -> None:
    BACKENDS.fp32_precision = "tf32"
    with full_float32():
        pass
    BACKENDS.fp32_precision = "ieee"
    assert BACKENDS.mkldnn.matmul.fp32_precision == "ieee"


@pytest.mark.parametrize("choose", CHOICES)
def test_a_score_that_chooses_another_precision(choose: Callable[[], None]) -> None:
    before = everything()
    with surroundings(0):
        choose()
    assert everything() == before
