"""REINFORCE against torch's gradients and Adam, enumeration, and landscapes that are known."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from untrained.searchers import Goal, History, Proposal, Trial, make_searcher
from untrained.searchers.policy import (
    d_entropy,
    d_log_probability,
    decisions_of,
    sampled,
    taken_in,
)
from untrained.searchers.reinforce import Reinforce, Rewards
from untrained.spaces import Architecture, get_space
from untrained.spaces.space import prunable

SPACE = prunable(get_space("nasbench201"))
DARTS = prunable(get_space("darts"))
GOALS = (Goal("worth", True),)


def log_probability(theta: Tensor, chosen: Sequence[int]) -> Tensor:
    """The draw without replacement, order by order, for autograd."""
    total = theta.new_zeros(())
    for order in permutations(chosen):
        probability = theta.new_ones(())
        for i, o in enumerate(order):
            left = [k for k in range(len(theta)) if k not in order[:i]]
            probability = probability * theta[left].softmax(0)[left.index(o)]
        total = total + probability
    return total.log()


def entropy(theta: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=theta).entropy()


def convolutions(architecture: Architecture) -> float:
    return float(str(architecture).count("conv_3x3"))


def search(
    searcher: Reinforce,
    value: Callable[[Architecture], float | None],
    history: Sequence[Trial] = (),
    count: int = 8,
) -> list[Trial]:
    trials = History(searcher.space, history)
    while batch := searcher.propose(trials, count, random.Random(len(trials))):
        trials += [trial(proposal, value(proposal.architecture)) for proposal in batch]
    return trials


def rewards(history: Sequence[Trial], goals: Sequence[Goal]) -> np.ndarray:
    found = Rewards(goals)
    return np.array([found.add(trial) for trial in history])


def trial(proposal: Proposal, value: float | None) -> Trial:
    values = {"worth": (value,) * len(proposal.draws)}
    return Trial(**vars(proposal), values=values)


@pytest.mark.parametrize("chosen", [[], [2], [0, 3], [3, 0], [4, 1, 2]])
def test_the_gradient_is_that_of_autograd(chosen: list[int]) -> None:
    theta = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta.requires_grad_()
    (expected,) = torch.autograd.grad(log_probability(3 * theta, chosen) + 0 * theta.sum(), theta)
    found = 3 * d_log_probability(3 * theta.detach().numpy(), chosen)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-13)
    (expected,) = torch.autograd.grad(entropy(theta), theta)
    np.testing.assert_allclose(d_entropy(theta.detach().numpy()), expected.numpy(), atol=1e-13)


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_logits_are_those_of_torch_with_its_adam(name: str, weight: float) -> None:
    space = prunable(get_space(name))
    searcher = Reinforce(space, GOALS, 1, evaluations=30, entropy=weight)
    history = search(searcher, convolutions)
    decisions = decisions_of(space)
    thetas = [torch.zeros(len(d.options), dtype=torch.float64).requires_grad_() for d in decisions]
    adam = torch.optim.Adam(thetas, lr=0.04)
    gained = rewards(history, GOALS)
    baseline = gained[0]
    for one, reward in zip(history, gained, strict=True):
        taken = taken_in(space, one.architecture)
        log_p = sum(
            log_probability(theta, [k for k, o in enumerate(d.options) if o in taken])
            for d, theta in zip(decisions, thetas, strict=True)
        )
        loss = -(reward - baseline) * log_p - weight * sum(map(entropy, thetas))
        adam.zero_grad()
        loss.backward()
        adam.step()
        baseline = 0.9 * baseline + 0.1 * reward
    for found, theta in zip(searcher.policy(history).logits, thetas, strict=True):
        np.testing.assert_allclose(found, theta.detach().numpy(), atol=1e-9)


def test_every_architecture_has_as_many_choices_as_random_search() -> None:
    decisions = decisions_of(SPACE)
    assert [(len(d.options), d.keep) for d in decisions] == [(5, 1)] * 6
    decisions = decisions_of(DARTS)
    edges = [(len(d.options), d.keep) for d in decisions if isinstance(d.options[0], int)]
    assert edges == [(3, 2), (4, 2), (5, 2)] * 2
    assert [(len(d.options), d.keep) for d in decisions[:28]] == [(7, 1)] * 28


def test_samples_follow_the_policy() -> None:
    """Pairs of edges into a node of DARTS, as often as the formula says."""
    decisions, rng = decisions_of(DARTS), random.Random(0)
    logits = [np.zeros(len(d.options)) for d in decisions]
    logits[-1] = np.array([0.0, 1.0, -1.0, 0.5, 0.0])
    edges = [k for k in decisions[-1].options if isinstance(k, int)]
    met: Counter[frozenset[int]] = Counter()
    n = 1500
    for _ in range(n):
        architecture = sampled(DARTS, decisions, logits, rng)
        assert not architecture.partial
        kept = {choice.edge for choice in DARTS.kept(architecture)}
        met[frozenset(kept & set(edges))] += 1
    for a, b in combinations(range(5), 2):
        p = log_probability(torch.from_numpy(logits[-1]), [a, b]).exp().item()
        error = (p * (1 - p) / n) ** 0.5
        assert met[frozenset((edges[a], edges[b]))] / n == pytest.approx(p, abs=4 * error)


def test_a_flat_policy_is_uniform_over_the_space() -> None:
    decisions, rng = decisions_of(SPACE), random.Random(1)
    flat = [np.zeros(5)] * 6
    met = Counter(c for _ in range(2000) for c in SPACE.kept(sampled(SPACE, decisions, flat, rng)))
    assert len(met) == 30
    assert all(abs(times - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5 for times in met.values())


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_what_is_rewarded_becomes_probable(name: str) -> None:
    space = prunable(get_space(name))
    searcher = Reinforce(space, GOALS, 1, evaluations=200)
    history = search(searcher, convolutions)
    early, late = (
        sum(convolutions(t.architecture) for t in part) for part in (history[:50], history[-50:])
    )
    assert late > 1.4 * early
    if name == "nasbench201":
        best = [theta.argmax() for theta in searcher.policy(history).logits]
        assert best == [3] * 6  # nor_conv_3x3 comes fourth
    selected = searcher.select(history)
    assert selected == max(history, key=lambda t: convolutions(t.architecture)).architecture


def test_rewards_are_shares_of_trials_beaten() -> None:
    goals = (Goal("a", True), Goal("b", False))
    rows = [(1.0, 5.0), (2.0, 5.0), (None, 0.0), (0.5, 1.0), (2.0, 9.0)]
    some = SPACE.sample(random.Random(0))
    history = [Trial(some, (0,), "", values={"a": (a,), "b": (b,)}) for a, b in rows]
    expected = [
        0.5,
        (1.5 / 2 + 1 / 2) / 2,
        0.0,
        (1.5 / 4 + 3.5 / 4) / 2,  # beats the failure, and in b the first two
        (4 / 5 + 1.5 / 5) / 2,  # a: three and half of two; b: the failure and half of itself
    ]
    np.testing.assert_allclose(rewards(history, goals), expected)
    stretched = [
        Trial(some, (0,), "", values={"a": (a and np.exp(9 * a),), "b": (b,)}) for a, b in rows
    ]
    np.testing.assert_array_equal(rewards(history, goals), rewards(stretched, goals))


def test_a_failure_is_unlearned_and_never_selected() -> None:
    def value(architecture: Architecture) -> float | None:
        return None if "avg_pool" in str(architecture) else convolutions(architecture)

    searcher = Reinforce(SPACE, GOALS, 2, evaluations=150)
    history = search(searcher, value)
    early, late = (
        sum(t.mean("worth") is None for t in part) for part in (history[:50], history[-50:])
    )
    assert late < early / 2
    selected = searcher.select(history)
    assert selected is not None
    assert value(selected) is not None
    assert searcher.select([t for t in history if t.mean("worth") is None]) is None


def test_a_resumed_search_is_the_unbroken_one() -> None:
    whole = search(Reinforce(DARTS, GOALS, 1, evaluations=40), convolutions)
    for cut in (0, 8, 24, 40):
        again = search(Reinforce(DARTS, GOALS, 1, evaluations=40), convolutions, whole[:cut])
        assert again == whole


def test_what_was_measured_is_avoided_and_in_the_end_accepted() -> None:
    searcher = Reinforce(SPACE, GOALS, 1, evaluations=60)
    history = search(searcher, convolutions)
    assert len({SPACE.canonical(t.architecture) for t in history}) == 60
    settled = Reinforce(SPACE, GOALS, 1, evaluations=250, learning_rate=2.0)
    forms = {SPACE.canonical(t.architecture) for t in search(settled, convolutions)}
    assert 1 < len(forms) < 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "options.learning_rate: expected a number above 0"),
        ({"momentum": 1.0}, "options.momentum: expected a number from 0 to below 1"),
        ({"entropy": -0.1}, "options.entropy: expected a number of at least 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_searcher("reinforce", SPACE, GOALS, 1, options)
