"""Which labels to buy, against brute force and against training itself."""

from inspect import unwrap
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from untrained import ntk
from untrained.analysis import greatest_dynamics, labelled_kernel, softmax_residuals

N, K = 8, 3


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


torch.manual_seed(0)
NETWORK = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, K)).double()
X = randn(N, 4)
LABELLED, LABELS = torch.tensor([1, 6]), torch.tensor([2, 0])


def pseudo_labels() -> Tensor:
    """The largest output, or the label where it is known."""
    found = NETWORK(X).argmax(1)
    found[LABELLED] = LABELS
    return found


GRADIENTS = labelled_kernel(
    ntk(NETWORK, X, output="full"), softmax_residuals(NETWORK(X), pseudo_labels())
)


def dynamics(chosen: list[int]) -> float:
    """|sum grad L|^2, by one backward pass."""
    loss = nn.CrossEntropyLoss(reduction="sum")(NETWORK(X[chosen]), pseudo_labels()[chosen])
    gradients = torch.autograd.grad(loss, list(NETWORK.parameters()))
    return sum(g.square().sum().item() for g in gradients)


@pytest.mark.parametrize("known", [[], [1, 6]])
def test_each_choice_is_the_best_of_all(known: list[int]) -> None:
    """As if recomputed from scratch for each candidate at each step."""
    found = greatest_dynamics(GRADIENTS, torch.tensor(known, dtype=torch.long), 4)
    have = list(known)
    for step, chosen in enumerate(found.examples.tolist()):
        values = {x: dynamics([*have, x]) for x in range(N) if x not in have}
        assert chosen == max(values, key=lambda x: values[x])
        assert found.dynamics[step].item() == pytest.approx(values[chosen])
        if not step:
            before = dynamics(have) if have else 0.0
            gains = {x: found.gains[x].item() for x in values}
            assert gains == pytest.approx({x: v - before for x, v in values.items()})
        have.append(chosen)
    assert found.gains[known].isinf().all()


def test_one_example_is_the_best_batch_and_several_nearly() -> None:
    """Against every batch of a tiny pool. Greedy choices have no guarantee; here, within 5 %."""
    rest = [i for i in range(N) if i not in LABELLED]
    for count in (1, 2, 3):
        best = max(dynamics([*LABELLED.tolist(), *b]) for b in combinations(rest, count))
        found = greatest_dynamics(GRADIENTS, LABELLED, count).dynamics[-1].item()
        assert found <= best * (1 + 1e-12)
        assert found >= (best if count == 1 else 0.95 * best) * (1 - 1e-12)


def test_it_is_how_fast_the_loss_falls() -> None:
    """d L / dt = -G of gradient flow, from a tiny step of training."""
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, K)).double()
    network.load_state_dict(NETWORK.state_dict())
    loss = nn.CrossEntropyLoss(reduction="sum")
    optimizer, labels = torch.optim.SGD(network.parameters(), lr=1e-6), pseudo_labels()
    before = loss(network(X), labels)
    before.backward()
    optimizer.step()
    fall = (before - loss(network(X), labels)).item() / 1e-6
    assert fall == pytest.approx(dynamics(list(range(N))), rel=1e-4)
    assert GRADIENTS.sum().item() == pytest.approx(dynamics(list(range(N))))


def test_residuals_are_gradients_of_the_loss() -> None:
    f = randn(N, K).requires_grad_()
    labels = torch.arange(N) % K
    (expected,) = torch.autograd.grad(nn.CrossEntropyLoss(reduction="sum")(f, labels), f)
    torch.testing.assert_close(softmax_residuals(f, labels), expected)
    torch.testing.assert_close(softmax_residuals(f), softmax_residuals(f, f.argmax(1)))


choose = unwrap(greatest_dynamics)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: choose(GRADIENTS, LABELLED, 7), "from 1 to 6 unlabelled examples"),
        (lambda: choose(GRADIENTS, LABELLED, 0), "got 0"),
        (lambda: choose(GRADIENTS, LABELLED + 2, 1), "labelled: expected numbers from 0 to 7"),
        (lambda: choose(GRADIENTS * torch.nan, LABELLED, 1), "finite numbers"),
        (lambda: choose(GRADIENTS[:3], LABELLED, 1), "square kernel"),
        (
            lambda: unwrap(softmax_residuals)(GRADIENTS, LABELLED),
            "expected 8 labels from 0 to 7, got 2",
        ),
    ],
)
def test_wrong_use_is_told(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wrong()
