"""NASI's step against autograd, enumeration of a whole space, and landscapes that are known."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_reinforce import convolutions, log_probability

from untrained.searchers import Goal, Trial, make_searcher
from untrained.searchers.nasi import NASISearch
from untrained.searchers.policy import decisions_of, taken_in
from untrained.spaces import Architecture, PrunableSpace, get_space, prunable

SPACE = prunable(get_space("nasbench201"))
DARTS = prunable(get_space("darts"))
GOALS = (Goal("worth", True),)


def search(
    searcher: NASISearch, value: Callable[[Architecture], float | None], count: int = 8
) -> list[Trial]:
    history: list[Trial] = []
    while batch := searcher.propose(history, count, random.Random(len(history))):
        history += [
            Trial(**vars(p), values={g.score: (value(p.architecture),) for g in searcher.goals})
            for p in batch
        ]
    return history


def noisy(architecture: Architecture) -> float:
    """Convolutions, and something that belongs to the architecture alone."""
    return convolutions(architecture) + random.Random(str(architecture)).gauss(0, 1)


@pytest.mark.parametrize("space", [SPACE, DARTS], ids=["nasbench201", "darts"])
def test_the_step_is_that_of_autograd(space: PrunableSpace[Any]) -> None:
    searcher = NASISearch(space, GOALS, 1, evaluations=31)
    samples = search(searcher, noisy)[:30]
    decisions = decisions_of(space)
    rewards = np.array([trial.values["worth"][0] for trial in samples], dtype=float)
    rewards = (rewards - rewards.mean()) / rewards.std()
    total = [torch.zeros(len(d.options), dtype=torch.float64) for d in decisions]
    largest = 0.0
    for trial, reward in zip(samples, rewards, strict=True):
        alpha = [torch.zeros_like(part).requires_grad_() for part in total]
        taken = taken_in(space, trial.architecture)
        log_p = sum(
            log_probability(part, [k for k, o in enumerate(d.options) if o in taken])
            for d, part in zip(decisions, alpha, strict=True)
        )
        g = torch.autograd.grad(reward * log_p, alpha, materialize_grads=True)
        largest = max(largest, float(torch.cat(g).norm()))
        total = [a + b / largest / 30 for a, b in zip(total, g, strict=True)]
    for found, expected in zip(searcher.logits(samples), total, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


def test_over_a_whole_space_the_step_is_the_gradient_of_the_expected_score() -> None:
    """Of each operation, p (E[R | operation] - E[R]); all samples are far from the first norms."""
    rows = {a: noisy(a) for a in SPACE.enumerate()}
    samples = [Trial(a, (0,), "sample", {"worth": (value,)}) for a, value in rows.items()]
    samples.sort(key=lambda trial: -abs(rows[trial.architecture] - np.mean([*rows.values()])))
    found = np.concatenate(NASISearch(SPACE, GOALS, 1).logits(samples))
    values = np.array([*rows.values()])
    values = (values - values.mean()) / values.std()
    operations = np.array([[choice.operation for choice in SPACE.kept(a)] for a in rows])
    expected = np.array(
        [
            values[operations[:, choice.edge] == choice.operation].sum() / len(values)
            for choice in SPACE.kept(SPACE.everything())
        ]
    )
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-9)


@pytest.mark.parametrize("space", [SPACE, DARTS], ids=["nasbench201", "darts"])
def test_it_ends_with_the_best_operations_of_a_landscape_without_interactions(
    space: PrunableSpace[Any],
) -> None:
    searcher = NASISearch(space, GOALS, 1, evaluations=301)
    history = search(searcher, lambda a: float(str(a).count("conv_3x3")), count=50)
    selected = searcher.select(history)
    assert selected == history[-1].architecture
    assert not selected.partial
    assert len(history) == 301
    assert len({draw for trial in history for draw in trial.draws}) == 301
    operations = [choice.operation for choice in space.kept(selected)]
    assert all("conv_3x3" in operation for operation in operations)


def test_a_sample_that_failed_counts_for_nothing() -> None:
    searcher = NASISearch(SPACE, GOALS, 1, evaluations=41)
    some = search(searcher, noisy)[:40]
    failed = [
        Trial(SPACE.sample(random.Random(i)), (i,), "sample", {"worth": (None,)}) for i in (1, 2)
    ]
    alone = np.concatenate(searcher.logits(some))
    mixed = np.concatenate(searcher.logits([failed[0], *some, failed[1]]))
    np.testing.assert_allclose(mixed * 42, alone * 40, atol=1e-12)


def test_lower_may_be_better_and_equal_scores_give_the_first_operations() -> None:
    searcher = NASISearch(SPACE, (Goal("worth", False),), 1, evaluations=201)
    fewest = searcher.select(search(searcher, convolutions))
    assert fewest is not None
    assert "conv_3x3" not in str(fewest)
    same = searcher.select(search(searcher, lambda a: 1.0))
    assert same == SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def test_too_few_evaluations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"evaluations: expected .* at least 3, .*, got 2"):
        make_searcher("nasi", SPACE, GOALS, 1, {"evaluations": 2})
    with pytest.raises(ValueError, match="expected a space with supernets"):
        make_searcher("nasi", get_space("mnas"), GOALS, 1, {})
