"""What labelled examples are to each other, by steps of training and by brute force."""

from inspect import unwrap
from itertools import combinations
from typing import Any

import naive
import pytest
import torch
import zoo
from torch import Tensor, nn

from untrained import ntk
from untrained.analysis import Relationships, labelled_kernel, relationships
from untrained.analysis.relationships import error_signs

N, K = 5, 3


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


torch.manual_seed(0)
NETWORK = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, K)).double()
X, LABELS = randn(N, 4), torch.tensor([0, 1, 2, 0, 1])
THETA = ntk(NETWORK, X, output="full")


def test_it_is_the_product_of_gradients_of_signed_outputs() -> None:
    """(1/K) <grad s_i . f(x_i), grad s_j . f(x_j)>, from one backward pass for each example."""
    rows = []
    for x, label in zip(X, LABELS, strict=True):
        signed = sum((1 if k == label else -1) * f for k, f in enumerate(NETWORK(x)))
        assert isinstance(signed, Tensor)
        gradients = torch.autograd.grad(signed, list(NETWORK.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    j = torch.stack(rows)
    found = relationships(THETA, LABELS)
    torch.testing.assert_close(found.kernel, j @ j.T / K)
    similarity = torch.nn.functional.cosine_similarity(j[:, None], j, dim=2)
    torch.testing.assert_close(found.similarity, similarity)


def test_with_errors_as_weights_it_says_how_a_step_on_one_moves_the_loss_of_another() -> None:
    """eta e_i^T Theta_ij e_j is the fall of the loss of i after a step on j, to first order."""
    y = torch.nn.functional.one_hot(LABELS, K).double()
    errors = y - NETWORK(X).detach().softmax(1)
    predicted = labelled_kernel(THETA, errors)
    start, eta = [p.detach().clone() for p in NETWORK.parameters()], 1e-6
    loss = nn.CrossEntropyLoss(reduction="none")
    before = loss(NETWORK(X), LABELS).detach()
    for j in range(N):
        gradients = torch.autograd.grad(loss(NETWORK(X[j]), LABELS[j]), list(NETWORK.parameters()))
        with torch.no_grad():
            for p, g in zip(NETWORK.parameters(), gradients, strict=True):
                p.sub_(eta * g)
            fall = (before - loss(NETWORK(X), LABELS)) / eta
            for p, s in zip(NETWORK.parameters(), start, strict=True):
                p.copy_(s)
        torch.testing.assert_close(predicted[:, j], fall, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(relationships(THETA, errors).kernel, predicted / K)
    assert torch.equal(errors.sign(), error_signs(LABELS, K))


@pytest.mark.parametrize("name", ["layer used twice", "functional convolution"])
def test_kernels_of_other_networks_will_do(name: str) -> None:
    model, x = zoo.make(name)
    model.eval()
    theta = naive.full_ntk(model, x, zoo.trainable(model))
    k = len(theta) // len(x)
    weights = randn(len(x), k)
    expected = torch.stack([
        torch.stack([
            weights[i] @ theta[i * k : (i + 1) * k, j * k : (j + 1) * k] @ weights[j]
            for j in range(len(x))
        ])
        for i in range(len(x))
    ])  # fmt: skip
    torch.testing.assert_close(labelled_kernel(theta, weights), expected)


def test_kinds() -> None:
    """The same example with the same label, with another one, and in another direction."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.4, 0.0]])
    theta = torch.kron(x @ x.T, torch.eye(2))
    found = relationships(theta, torch.tensor([0, 0, 1, 0, 0]))
    expected = torch.tensor([1, 1, -1, 0, 0])  # the last is too short: 0.4 < 1/2
    assert torch.equal(found.kinds[0], expected)
    assert torch.equal(found.kinds, found.kinds.T)
    assert relationships(theta, torch.tensor([0, 0, 1, 0, 0]), share=0.3).kinds[0, 4] == 1
    assert found.similarity[0].tolist() == pytest.approx([1, 1, -1, 0, 1])


def test_outputs_that_cancel_are_zero_and_not_noise() -> None:
    """Both outputs are one and the same number: with the label, s . f = 0."""
    x = randn(3, 7)
    theta = torch.kron(x @ x.T, torch.ones(2, 2, dtype=torch.float64))
    found = relationships(theta, torch.tensor([0, 1, 0]))
    assert not found.kernel.any()
    assert not found.similarity.any()
    assert not found.kinds.any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clusters_are_within_twice_the_least_radius(count: int) -> None:
    """Gonzalez' theorem, by trying every choice of heads."""
    points = randn(9, 2, seed=4)
    found = Relationships(points @ points.T, 0.5).clusters(count)
    apart = torch.cdist(points, points)
    least = min(apart[list(heads)].min(0).values.max() for heads in combinations(range(9), count))
    assert least - 1e-9 <= found.radius <= 2 * least
    own = apart[torch.arange(9), found.heads[found.cluster]]
    torch.testing.assert_close(own, apart[found.heads].min(0).values)
    assert found.radius == pytest.approx(own.max().item())


def test_there_are_no_more_clusters_than_examples_that_differ() -> None:
    points = torch.tensor([[0.0], [1.0], [0.0], [1.0]], dtype=torch.float64)
    found = Relationships(points @ points.T, 0.5).clusters(3)
    assert found.heads.tolist() == [0, 1]
    assert found.cluster.tolist() == [0, 1, 0, 1]
    assert found.radius == 0.0


EYE = torch.eye(6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda f, g: f(EYE, torch.tensor([0, 1, 2])), "expected labels from 0 to 1"),
        (lambda f, g: f(EYE, torch.tensor([0, 1]), share=0), "share: expected"),
        (lambda f, g: g(EYE, torch.ones(2, 2)), "as of output='full', got 6 rows"),
        (lambda f, g: g(EYE[:3], torch.ones(3, 2)), "expected a square kernel"),
        (lambda f, g: g(EYE * torch.nan, torch.ones(3, 2)), "expected finite numbers"),
        (lambda f, g: f(EYE, torch.tensor([0, 1, 0])).clusters(4), "from 1 to 3 clusters"),
    ],
)
def test_wrong_use_is_told_in_one_line(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        wrong(unwrap(relationships), unwrap(labelled_kernel))
    assert "\n" not in str(error.value)
