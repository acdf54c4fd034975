"""The error of projected outputs: derived, against that of many projections of real kernels."""

import pytest
import torch
from torch import nn

from untrained import ntk
from untrained.analysis import projection_error, relative_change
from untrained.networks.readout import random_readout


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("coupled", [False, True])
def test_it_is_the_error_of_many_projections(columns: int, coupled: bool) -> None:
    """Of logits that share little, and of logits that share nearly all."""
    torch.manual_seed(0)
    outputs, x = 12, torch.randn(4, 3).double()
    last = nn.Linear(20, outputs).double()
    if coupled:
        nn.init.constant_(last.weight, 3.0)
    net = nn.Sequential(nn.Linear(3, 20).double(), nn.Tanh(), last)
    trace = ntk(net, x, output="trace")
    generator = torch.Generator().manual_seed(1)
    squares = [
        ((ntk(net, x, output=random_readout(outputs, columns, generator)) - trace).norm()
         / trace.norm()).item() ** 2
        for _ in range(400)
    ]  # fmt: skip
    derived = projection_error(ntk(net, x, output="full"), outputs, columns)
    mean, spread = torch.tensor(squares).mean(), torch.tensor(squares).std() / 20
    assert abs(mean - derived**2) < 4 * spread
    most = (2 / columns) ** 0.5
    assert most / outputs**0.5 < derived < most
    assert (derived > 0.7 * most) == coupled


def test_a_thousand_outputs_in_bounded_memory() -> None:
    """The projected kernel of a network whose rows of J, all together, would not fit."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 50), nn.ReLU(), nn.Linear(50, 1000))
    x, memory = torch.randn(40, 30), 16 * 2**20
    assert 4 * 1000 * len(x) * sum(p.numel() for p in net.parameters()) > 100 * memory
    few = ntk(net, x, output=random_readout(1000, 32, torch.Generator().manual_seed(0)),
              memory=memory)  # fmt: skip
    assert few.plan.memory == memory
    derived = projection_error(ntk(net, x[:4], output="full"), 1000, 32)
    found = relative_change(ntk(net, x, output="trace"), few).value
    assert found is not None
    assert derived / 3 < found < 3 * derived


def test_what_is_no_whole_kernel() -> None:
    wrong = [(torch.eye(9), 1), (torch.eye(8), 0), (torch.eye(2), 1), (torch.ones(8, 4), 1)]
    for full, columns in wrong:
        with pytest.raises(ValueError, match="expected a square kernel of 4 rows"):
            projection_error(full, 4, columns)
    with pytest.raises(ValueError, match="one of zeros"):
        projection_error(torch.zeros(8, 8), 4, 1)
