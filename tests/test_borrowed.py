"""A network that was lent comes back as it was, whatever was done to it."""

import pytest
import torch
from torch import nn

from untrained.networks.borrowed import borrowed, shares_memory


class Spoilt(nn.Module):
    """Parameters, buffers, attributes, and a view of a parameter."""

    other: int

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)
        self.norm.register_buffer("empty", None)
        self.count, self.first = 0, self.conv.weight[0]


def spoil(model: Spoilt) -> None:
    """Everything that a draw and forward passes do, and more."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    model.norm.get_buffer("running_mean").add_(1)
    model.norm.running_var = torch.zeros(4)
    model.eval()
    model.count, model.other = 1, 2
    model.register_forward_hook(lambda *_: None)
    model.conv.bias = None
    del model.norm.num_batches_tracked
    model.conv.weight.requires_grad_(False)


def state(model: Spoilt) -> list[object]:
    tensors = {**model.state_dict(keep_vars=True), "first": model.first}
    facts = [
        (name, id(t), t.data_ptr(), t._version, t.stride(), t.requires_grad, t.tolist())
        for name, t in tensors.items()
    ]
    flags = [(m.training, len(m._forward_hooks), sorted(vars(m))) for m in model.modules()]
    gradients = [None if p.grad is None else p.grad.stride() for p in model.parameters()]
    return [facts, flags, gradients, model.count]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_everything_comes_back(error: type[BaseException] | None) -> None:
    model = Spoilt()
    model.conv(torch.randn(2, 3, 4, 4)).sum().backward()
    before = state(model)
    try:
        with borrowed(model):
            spoil(model)
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        assert error is not None
    assert state(model) == before


def test_a_backward_pass_of_the_callers_is_still_right() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(5, 3)
    expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    loss = model(x).sum()
    with borrowed(model), torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    found = torch.autograd.grad(loss, list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_parameters_keep_their_memory() -> None:
    """So whatever else lies in it follows."""
    model = nn.Linear(3, 4)
    view = model.weight.detach()[0]
    with borrowed(model), torch.no_grad():
        model.weight.fill_(7)
        assert (view == 7).all()
    assert torch.equal(view, model.weight[0])


def test_what_lies_in_the_memory_of_a_parameter() -> None:
    assert not shares_memory(nn.Sequential(nn.Conv2d(3, 4, 2), nn.LSTM(3, 4), nn.BatchNorm1d(3)))
    assert shares_memory(Spoilt())
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[0].weight = tied[1].weight
    assert not shares_memory(tied)
    apart = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    apart[0].weight = nn.Parameter(apart.get_parameter("1.weight").detach().T)
    assert shares_memory(apart)
    tied[0].sparse = torch.eye(3).to_sparse()  # has no memory of its own
    assert not shares_memory(tied)
    tied[0].kept = [tied[0].weight.T]  # type: ignore[assignment]  # a list is no submodule
    assert shares_memory(tied)
