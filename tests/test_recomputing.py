"""Gradient checkpointing, against the same network without it."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from compare import deviation
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from zoo import Net

from untrained.kernels.choice import METHODS
from untrained.kernels.ntk import ntk, ntk_contributions, ntk_operator
from untrained.networks.choices import Policy

Saving = Callable[[nn.Module, Tensor], Tensor]


def keep(part: nn.Module, x: Tensor) -> Tensor:
    return part(x)


SAVING: dict[str, Saving] = {
    "reentrant": partial(checkpoint, use_reentrant=True),
    "not reentrant": partial(checkpoint, use_reentrant=False),
    "not stopping early": partial(checkpoint, use_reentrant=False, preserve_rng_state=False),
    "in two segments": lambda part, x: checkpoint_sequential(part, 2, x, use_reentrant=False),
}


def network(saving: Saving) -> nn.Module:
    """Three parts with BatchNorm, of which two are computed again; running statistics far off."""
    torch.manual_seed(0)
    parts = [
        nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh()),
        nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh()),
        nn.Linear(5, 2),
    ]
    for part in parts[:2]:
        part.get_buffer("1.running_mean").fill_(0.7)
        part.get_buffer("1.running_var").fill_(3.0)

    def step(m: Net, x: Tensor) -> Tensor:
        return m.last(saving(m.second, saving(m.first, x)))

    return Net(step, first=parts[0], second=parts[1], last=parts[2]).double()


X = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("policy", ["running", "frozen", "batch"])
@pytest.mark.parametrize("saving", SAVING)
def test_every_method_agrees_or_refuses(saving: str, policy: Policy) -> None:
    expected = ntk(network(keep), X, batchnorm=policy, method="loop")
    model = network(SAVING[saving])
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for method in ("auto", *METHODS):
        try:
            theta = ntk(model, X, batchnorm=policy, method=method)
        except ValueError:
            assert method not in ("auto", "loop")
            continue
        assert deviation(theta, expected) < 1e-12, method
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and torch.equal(g, torch.ones_like(g)) for g in gradients)
    shares = ntk_contributions(model, X, batchnorm=policy)
    assert deviation(torch.stack(list(shares.values())).sum(0), expected) < 1e-12


@pytest.mark.parametrize("saving", SAVING)
def test_the_whole_network(saving: str) -> None:
    """Where no input requires gradients, the reentrant way would leave the parameters out."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    model = Net(lambda m, x: SAVING[saving](m.body, x), body=body)
    assert deviation(ntk(model, X), ntk(body, X)) < 1e-12
    assert deviation(ntk(model, X, X[:2]), ntk(body, X, X[:2])) < 1e-12


def test_groups_of_parameters() -> None:
    """Passes for some parameters alone compute fewer parts again."""
    model = network(SAVING["not reentrant"])
    expected = ntk(network(keep), X, batchnorm="frozen", method="loop")
    for memory in (12_000, 20_000):
        theta = ntk(model, X, batchnorm="frozen", method="loop", memory=memory)
        assert len(theta.plan.groups) > 1
        assert deviation(theta, expected) < 1e-12


@pytest.mark.parametrize("saving", ["reentrant", "not reentrant"])
def test_second_batches_under_frozen_statistics(saving: str) -> None:
    """What is computed again of another batch has no statistics of its own to go by."""
    model = network(SAVING[saving])
    with pytest.raises(ValueError, match="on another batch than that of its frozen statistics"):
        ntk(model, X, 2 * X[:4], batchnorm="frozen")
    found = ntk(model, X, 2 * X[:4], batchnorm="running")
    assert deviation(found, ntk(network(keep), X, 2 * X[:4])) < 1e-12


def test_products() -> None:
    operator = ntk_operator(network(SAVING["not reentrant"]), X, batchnorm="frozen")
    expected = ntk(network(keep), X, batchnorm="frozen").sum(1)
    found = torch.from_numpy(operator @ torch.ones(6, dtype=torch.float64).numpy())
    assert deviation(found, expected) < 1e-12


def test_hooks_that_act_on_gradients_are_not_called() -> None:
    """Such as an optimiser's step in the backward pass."""
    model = network(SAVING["reentrant"])
    called: list[Tensor] = []
    weight = model.get_parameter("last.weight")
    weight.register_post_accumulate_grad_hook(called.append)
    with pytest.raises(ValueError, match="register_post_accumulate_grad_hook"):
        ntk(model, X)
    assert not called


def test_words_that_can_require_no_gradients() -> None:
    """A table that is checkpointed the reentrant way never gets gradients; torch only warns."""
    words = torch.randint(5, (4, 3), generator=torch.Generator().manual_seed(0))
    model = Net(
        lambda m, x: m.last(checkpoint(m.table, x, use_reentrant=True).mean(1)),
        table=nn.Embedding(5, 3), last=nn.Linear(3, 2),
    )  # fmt: skip
    with pytest.raises(ValueError, match="None of the inputs have requires_grad"):
        ntk(model, words)
