"""How far a kernel is from the truth."""

from torch import Tensor


def deviation(found: Tensor, truth: Tensor) -> float:
    """max |found - truth| / max |truth|"""
    assert found.shape == truth.shape, (found.shape, truth.shape)
    return ((found - truth).abs().max() / truth.abs().max()).item()
