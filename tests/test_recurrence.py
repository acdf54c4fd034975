"""Recurrent layers step by step, against torch's own; and kernels of them against the loop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from zoo import Net

from untrained.kernels.ntk import ntk
from untrained.networks.interception import Function, Interception
from untrained.networks.recurrence import CELLS, fits, recurrence

LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
OPTIONS: list[dict[str, Any]] = [
    {"batch_first": True},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "bias": False, "dropout": 0.5, "batch_first": True},
]


class StepByStep(Interception):
    """Takes the formulas in place of torch's functions, and counts."""

    taken = 0

    def call(self, func: Function, args: Any, kwargs: Any) -> Any:
        if not fits(func, args, kwargs):
            return func(*args, **kwargs)
        self.taken += 1
        return recurrence(func, *args)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_steps_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer, x = LAYERS[name](4, 3, **options).double().eval(), torch.randn(5, 6, 4).double()
    n = len(x) if options.get("batch_first") else x.shape[1]
    ways = (1 + layer.bidirectional) * layer.num_layers
    h, c = torch.randn(2, ways, n, 3).double()
    for state in (None, (h, c) if name == "LSTM" else h):
        expected = layer(x, state)
        with StepByStep() as steps:
            found = layer(x, state)
        assert steps.taken == 1
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's, of its own speed
def test_what_has_other_steps() -> None:
    """Projections, packed sequences, and dropout that is on."""
    x = torch.randn(5, 6, 4)
    packed = pack_padded_sequence(x, torch.tensor([6, 4, 4, 2, 1]), batch_first=True)
    with StepByStep() as steps:
        nn.LSTM(4, 3, proj_size=2)(x)
        nn.GRU(4, 3)(packed)
        nn.GRU(4, 3, num_layers=2, dropout=0.5)(x)
    assert steps.taken == 0
    assert len(CELLS) == 4


def test_a_first_state_that_is_learned() -> None:
    def step(m: Net, x: Tensor) -> Tensor:
        return m.cell(x, m.state[:, None].expand(-1, len(x), -1).contiguous())[0][:, -1]

    torch.manual_seed(0)
    cell = nn.GRU(4, 3, num_layers=2, batch_first=True)
    model, x = Net(step, cell=cell, state=torch.randn(2, 3)).double(), torch.randn(4, 5, 4)
    expected = ntk(model, x.double(), method="loop")
    assert "state" in zoo.trainable(model)
    assert deviation(ntk(model, x.double()), expected) < 1e-12
