"""Histories that grow: proposals are those of a plain list, and those that were recorded."""

import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from zlib import crc32

import pytest

from untrained.searchers import Goal, History, Proposal, Searcher, Trial, make_searcher
from untrained.searchers.history import canonical_forms
from untrained.spaces import get_space

GOALS = (Goal("a", True), Goal("b", False))
SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {"evaluations": 120}),
    "random within": ("random", {"evaluations": 60, "within": True}),
    "evolution": ("evolution", {"evaluations": 60}),
    "local": ("local", {"evaluations": 250}),
    "greedy": ("local", {"evaluations": 150, "greedy": True}),
    "reinforce": ("reinforce", {"evaluations": 80}),
    "entropy": ("reinforce", {"evaluations": 60, "entropy": 0.05}),
    "halving": ("halving", {"evaluations": 60}),
    "pruning": ("pruning", {}),
    "surrogate": ("surrogate", {"evaluations": 60, "explore": 40}),
}


def measured(searcher: Searcher, proposal: Proposal) -> Trial:
    """Numbers without any structure, of which many are equal and some are missing."""
    form = searcher.space.canonical(proposal.architecture)
    drawn = [crc32(f"{form} {draw} {proposal.epochs}".encode()) for draw in proposal.draws]
    values = {
        "a": tuple(None if n % 31 == 0 else float(n % 17) for n in drawn),
        "b": tuple(n / 2**32 for n in drawn),
    }
    return Trial(**vars(proposal), values=values)


def made(name: str, space: str) -> Searcher:
    searcher, options = SEARCHES[name]
    return make_searcher(searcher, get_space(space), GOALS, 2, options)


def search(searcher: Searcher, seed: int, history: list[Trial]) -> list[list[Proposal]]:
    """All batches of proposals, of sizes that differ by the seed."""
    batches = []
    while batch := searcher.propose(
        history, (8, 1, 5)[seed], random.Random(f"{seed}/{len(history)}")
    ):
        batches.append(batch)
        history += [measured(searcher, proposal) for proposal in batch]
    return batches


def plain(batches: Sequence[Sequence[Proposal]]) -> list[list[tuple[Any, ...]]]:
    return [
        [(str(p.architecture), p.draws, p.note, p.role, p.epochs) for p in batch]
        for batch in batches
    ]


RECORDED = {
    ("random", "nasbench201"): "c6fd54360f689273",
    ("random within", "nasbench201"): "66965840af35eb60",
    ("evolution", "nasbench201"): "b4527bd411b321ab",
    ("local", "nasbench201"): "859712e6ea0442f2",
    ("greedy", "nasbench201"): "f582b230d86be2ed",
    ("reinforce", "nasbench201"): "cd0140e48a616e58",
    ("entropy", "nasbench201"): "2a78130af4d7c53a",
    ("halving", "nasbench201"): "00d5165e8eb934c1",
    ("pruning", "nasbench201"): "cfceb7e88fb3da7d",
    ("random", "darts"): "4f49751a9c77f019",
    ("random within", "darts"): "d96dae63e20073ef",
    ("evolution", "darts"): "66772c3de7f241da",
    ("local", "darts"): "df0bcddd96c2aeed",
    ("greedy", "darts"): "217064e7abfd0595",
    ("reinforce", "darts"): "f53e9c2dcbb66d0b",
    ("entropy", "darts"): "023aa8297dbe550c",
    ("halving", "darts"): "154b47898ba7bd7d",
    ("pruning", "darts"): "9ae2d0b27a444ae8",
}
"""Digests of what was proposed and selected by code that went through the whole history at every
batch; without the surrogate, whose linear algebra differs by the last bit between machines."""


@pytest.mark.parametrize(("name", "space"), RECORDED)
def test_proposals_are_those_that_were_recorded(name: str, space: str) -> None:
    runs = []
    for seed in range(3):
        searcher = made(name, space)
        history = History(searcher.space)
        batches = search(searcher, seed, history)
        runs.append((plain(batches), str(searcher.select(history)), len(history)))
    assert blake2b(repr(runs).encode(), digest_size=8).hexdigest() == RECORDED[name, space]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_history_that_grows_gives_the_proposals_of_a_plain_list(name: str) -> None:
    """At every batch, and so after a resume wherever it was cut."""
    searcher = made(name, "nasbench201")
    history = History(searcher.space)
    while batch := searcher.propose(history, 8, random.Random(len(history))):
        assert batch == searcher.propose(list(history), 8, random.Random(len(history)))
        history += [measured(searcher, proposal) for proposal in batch]
    assert canonical_forms(searcher.space, history) == {
        searcher.space.canonical(trial.architecture) for trial in history
    }
