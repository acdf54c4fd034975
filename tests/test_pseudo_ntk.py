"""The pseudo-NTK, `output="sum"` over K, for the NTK of all outputs."""

import torch
from torch import Tensor, nn

from untrained import draw_weights, ntk
from untrained.analysis import relative_change

K = 4
X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def error(width: int, seed: int) -> float:
    """|pNTK x 1 - Theta| / |Theta|."""
    hidden = nn.Linear(width, width), nn.ReLU()
    layers = [nn.Linear(5, width), nn.ReLU(), *hidden, nn.Linear(width, K)]
    network = nn.Sequential(*layers).double()
    draw_weights(network, "kaiming_fan_in", torch.Generator().manual_seed(seed))
    pseudo = ntk(network, X).as_subclass(Tensor) / K
    full = ntk(network, X, output="full").as_subclass(Tensor)
    found = relative_change(full, torch.kron(pseudo, torch.eye(K, dtype=pseudo.dtype))).value
    assert found is not None
    return found


def test_its_error_falls_as_one_over_the_root_of_the_width() -> None:
    """By half from one width to the next, of four times as many; Mohamadi et al., 2206.12543."""
    means = [sum(error(w, s) for s in range(5)) / 5 for w in (16, 64, 256, 1024)]
    for wider, narrower in zip(means[1:], means[:-1], strict=True):
        assert 0.3 < wider / narrower < 0.75, means
