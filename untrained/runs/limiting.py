"""Searches within limits: what exceeds them is neither proposed nor measured by any score.

Limits are of the network that would be trained: its canonical form, at the scale of the training,
for the images' shape and classes. The cheap ones come first.
"""

import random
from dataclasses import replace
from typing import Any

from untrained.runs.bounds import Bounds, all_bounds
from untrained.runs.limit import parse_limits
from untrained.runs.record import Limited
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.session import Session
from untrained.runs.setup import training_scale
from untrained.searchers import SEARCHERS, Searcher
from untrained.spaces import Space, restricted

POOL = 200
"Random architectures at most, of which the share within limits is told."


def check_limits(space: Space[Any], config: ResolvedConfig) -> None:
    """Refuse a limit on what is not known of this space, before anything is loaded or measured.

    Raises:
        ValueError: a device of which there is no table, or none at the scale of the training.
    """
    for limit in parse_limits(config.limit):
        name, colon, device = limit.quantity.partition(":")
        if not colon:
            continue
        from untrained.tables import hardware  # with polars, which others do without

        asked = f"limit: {limit.quantity}"
        if config.space != hardware.SPACE:
            raise ValueError(
                f"{asked}: expected the space {hardware.SPACE!r}, of which there is a table of "
                f"devices, got {config.space!r}; try --limit {name}=..., as measured here"
            )
        if training_scale(space, config) != space.scales["full"]:
            raise ValueError(
                f"{asked}: expected networks of the full scale, which the table has, got others; "
                f"leave out --scale, --channels and --cells"
            )
        try:
            hardware.check_device(name, device)
        except ValueError as error:
            raise ValueError(f"{asked}: {error}") from error


def limited(session: Session) -> Session:
    """The same session, which proposes and compares what is within the limits alone.

    Raises:
        ValueError: no network that is within them was found, or one that was named is not.
    """
    limits = parse_limits(session.config.limit)
    if not limits:
        return session
    space, groups = session.space, all_bounds(session, limits)
    for bounds in groups:
        check_given(session.searcher, bounds)
        space = restricted(space, bounds.over, tries=bounds.tries, nothing=bounds.nothing)
    rng = random.Random(f"{session.config.seed}/limit")
    space.sample(rng)  # refuses limits that nothing is within
    tries = min(bounds.tries for bounds in groups)
    drawn = [session.space.sample(rng) for _ in range(min(POOL, tries))]
    within = drawn
    for bounds in groups:
        within = [a for a in within if bounds.over([a]) == [0]]
    told = Limited(
        {limit.quantity: limit.most for limit in limits}, len(drawn), len(within), tries
    )
    session.store.set_found(session.id, "limited", vars(told))
    searcher = replace(session.searcher, space=space)
    return replace(session, eligible=space, searcher=searcher)


def check_given(searcher: Searcher, bounds: Bounds) -> None:
    """Refuse an architecture that somebody names and that is not within limits.

    Raises:
        ValueError: the first such.
    """
    if isinstance(searcher, SEARCHERS["given"]):
        for proposal in searcher.propose((), 1, random.Random(0)):
            if bounds.over([proposal.architecture]) != [0]:
                raise ValueError(
                    f"limit: expected architectures within the limits, got "
                    f"{proposal.architecture}, which has {bounds.told(proposal.architecture)}"
                )
