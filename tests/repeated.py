"""Asynchronous searches proposed again, from what is stored of them."""

import random

from untrained.runs import RunConfig, RunRecord
from untrained.runs.presets import resolve
from untrained.runs.setup import goals_of, make_setups
from untrained.searchers import SEARCHERS, AsynchronousSearcher, Proposal, make_searcher
from untrained.spaces import get_space


def searcher_of(config: RunConfig) -> AsynchronousSearcher:
    resolved, space = resolve(config), get_space(config.space)
    setups = make_setups(space, resolved)
    axes = SEARCHERS[resolved.searcher].axes
    found = make_searcher(
        *(resolved.searcher, space, goals_of(setups, sizes_are_costs=axes), resolved.draws),
        resolved.options,
    )
    assert isinstance(found, AsynchronousSearcher)
    return found


def repeated(record: RunRecord, config: RunConfig) -> list[Proposal | None]:
    """What is proposed from what each stored trial was proposed from, in order of proposals."""
    searcher = searcher_of(config)
    trials, found = record.history(searcher.space), []
    for made in sorted(record.trials, key=lambda trial: trial.batch):
        assert made.seen is not None
        pending = [t for t in record.trials if t.batch < made.batch and t.number >= made.seen]
        pending.sort(key=lambda trial: trial.batch)
        found.append(
            searcher.propose_one(
                trials[: made.seen],
                [trials[each.number] for each in pending],
                random.Random(f"{config.seed}/asynchronous/{made.batch}"),
            )
        )
    return found
