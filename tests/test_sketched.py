"""Sketched features of infinitely wide networks, against their kernels."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import Residual

from untrained import infinite

RELU, GAP = nn.ReLU(), (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv(inputs: int = 4, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, 4, 3, stride, 1)


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "perceptron": (
        nn.Sequential(nn.Linear(8, 4), RELU, nn.Linear(4, 4), RELU, nn.Linear(4, 1)), (8,)
    ),
    "gelu": (nn.Sequential(nn.Linear(8, 4), nn.GELU(), nn.Linear(4, 1)), (8,)),
    "residual": (
        nn.Sequential(
            nn.Linear(8, 4), Residual(nn.LayerNorm(4), RELU, nn.Linear(4, 4)), nn.RMSNorm(4), RELU,
            nn.Linear(4, 1),
        ), (8,),
    ),
    "averaged": (nn.Sequential(conv(2), RELU, conv(4, 2), RELU, *GAP, nn.Linear(4, 1)), (2, 6, 6)),
    "flattened": (
        nn.Sequential(conv(2), RELU, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 1)), (2, 6, 6),
    ),
    "sequences": (
        nn.Sequential(
            nn.Conv1d(2, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 1)
        ), (2, 5),
    ),
}  # fmt: skip


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_products_of_features_come_near_the_kernels(name: str) -> None:
    """Means of 20 seeds: unbiased, and with 16 times as many numbers, a quarter of the error."""
    network, shape = NETWORKS[name]
    x, kernel = drawn(12, *shape), infinite(network, sigma_b=0.3)
    errors: dict[int, Tensor] = {}
    for count in (32, 512):
        found = [kernel.features(x, count, seed) for seed in range(20)]
        for which, expected in enumerate(kernel(x)):
            kernels = torch.stack([z @ z.T for z in (each[which] for each in found)])
            off = (kernels - expected).flatten(1).norm(dim=1) / expected.norm()
            of_mean = (kernels.mean(0) - expected).norm() / expected.norm()
            assert of_mean < 0.5 * off.mean()  # 0.22, if errors are independent
            if count > 32:
                assert 2.5 < errors[which] / off.mean() < 6.5
                assert off.mean() < 0.25
            errors[which] = off.mean()


def test_batches_have_the_same_features() -> None:
    network, shape = NETWORKS["averaged"]
    kernel, x = infinite(network), drawn(6, *shape).float()
    whole, part = kernel.features(x, 32), kernel.features(x[2:4], 32)
    assert whole.ntk.dtype == torch.float32
    torch.testing.assert_close(whole.ntk[2:4], part.ntk)
    torch.testing.assert_close(whole.nngp[2:4], part.nngp)
    assert not torch.allclose(kernel.features(x, 32, seed=1).ntk, whole.ntk)


def test_words_have_features() -> None:
    network = nn.Sequential(
        nn.Embedding(5, 4, padding_idx=0), RELU, nn.Flatten(), nn.Linear(12, 1)
    )
    words, kernel = torch.tensor([[0, 1, 2], [1, 1, 2], [3, 4, 2]]), infinite(network)
    z, expected = kernel.features(words, 8192).ntk, kernel(words).ntk
    assert (z @ z.T - expected).norm() < 0.1 * expected.norm()


def test_attention_has_none() -> None:
    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Any:
            return self.attention(x, x, x)[0].mean(1)

    with pytest.raises(ValueError, match="expected a network without attention"):
        infinite(Seen()).features(drawn(2, 3, 4))
