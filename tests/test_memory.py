"""Peak memory against sums by hand."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from untrained.images import Probe
from untrained.networks.peak import PeakMemory, state_of
from untrained.scores.memory import InferenceMemory, TrainingMemory

N, WIDTHS = 7, (100, 200, 50, 10)
FLOAT = 4


def network() -> nn.Module:
    pairs = pairwise(WIDTHS)
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def probe(n: int = N, device: str = "cpu") -> Probe:
    x = torch.randn(n, 1, 10, 10, device=device)
    return Probe(x, torch.zeros(n, dtype=torch.int64, device=device), 10, "noise")


WEIGHTS = FLOAT * sum(a * b + b for a, b in pairwise(WIDTHS))


def test_a_pass_holds_two_activations_at_a_time() -> None:
    """The largest neighbours: 200 units before and after the sigmoid."""
    found = InferenceMemory()(network(), probe(), torch.Generator()).value
    assert found == WEIGHTS + FLOAT * N * (WIDTHS[0] + 2 * 200)


def test_what_is_let_go_of_does_not_count() -> None:
    class Wasteful(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(5):
                big = torch.zeros(1000)
                del big
            kept = [torch.zeros(100) for _ in range(3)]
            return x.flatten(1) + sum(map(torch.sum, kept))

    x = torch.zeros(1, 1, 2, 2)
    held = PeakMemory([x])
    with held:
        Wasteful()(x)
    assert held.peak == x.nbytes + 4000
    assert held.now == x.nbytes


def test_a_view_is_no_second_tensor() -> None:
    x = torch.zeros(10, 10)
    held = PeakMemory([x, x.t()])
    with held:
        y = x.view(-1)[3:].unsqueeze(0)
    assert held.peak == x.nbytes
    assert y.shape == (1, 97)


def test_a_step_of_training_holds_what_backward_needs() -> None:
    """Weights, their gradients and the optimiser's numbers; the outputs of all layers."""
    plain = TrainingMemory(states=0)(network(), probe(), torch.Generator()).value
    momentum, adam = (
        TrainingMemory(states=k)(network(), probe(), torch.Generator()).value for k in (1, 2)
    )
    assert plain is not None
    saved = FLOAT * N * (2 * 200 - 200 + 50 + 10)  # sigmoids keep their outputs
    assert 2 * WEIGHTS + saved < plain < 2 * WEIGHTS + 2 * saved + FLOAT * N * 300
    assert momentum == plain + WEIGHTS
    assert adam == plain + 2 * WEIGHTS


def test_it_grows_with_the_batch_and_leaves_the_network() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small, large = (TrainingMemory()(model, probe(n), torch.Generator()).value for n in (8, 16))
    assert small is not None
    assert large is not None
    assert small < large
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert len(state_of(model)) == 7
