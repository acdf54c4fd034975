"""How long a run will still take, by the pace of what was measured of it, and of nothing else."""

import math
import random
import time
from collections.abc import Callable
from statistics import fmean

from untrained.runs.budget import SLOWER
from untrained.runs.budgeting import trainings_of
from untrained.runs.engines import one_thread
from untrained.runs.pace import epoch_of
from untrained.runs.session import After, Progress, Session, ignore

FEW = 3
"Units of work from which on there is a pace."
TIMED = 20
"Epochs, from which on one is timed before the search: that takes about a second."


def after_search(session: Session) -> After | None:
    """What comes after the search; None where nobody watches, or a budget says it."""
    config, lanes = session.config, session.engine.lanes
    if session.on_progress is ignore or session.budget is not None:
        return None
    networks = trainings_of(config)
    if not networks:
        return After(lanes=lanes)
    after = after_training(session)
    epochs = config.recipe.epochs
    if (once := _epoch(session, networks * epochs)) is None:
        return after._replace(unknown=("training", *after.unknown))
    seconds = once * epochs * math.ceil(networks / lanes)
    return after._replace(seconds=after.seconds + seconds)


def after_training(session: Session) -> After:
    """What comes after training: the export, of which earlier runs in the store give the pace."""
    usual, lanes = session.store.mean_seconds("export"), session.engine.lanes
    return After(0.0, ("export",), lanes) if usual is None else After(usual, (), lanes)


def _epoch(session: Session, epochs: int) -> float | None:
    """Seconds of an epoch: of those that were trained before, else of a few steps of a random
    architecture; None where there are so few that it is not worth it."""
    rows = session.store.trainings(session.run)
    if known := [epoch.seconds for row in rows for epoch in row["epochs"]]:
        return fmean(known)
    if epochs < TIMED:
        return None
    config, space = session.config, session.space
    some = session.eligible.sample(random.Random(f"{config.seed}/outlook"))
    with one_thread():
        once = epoch_of(config, space, session.images, some, config.training)
    return SLOWER * once or None


class Outlook:
    """Is told of progress, and tells how long the whole will still take."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        """Has seen nothing yet."""
        self.clock = clock
        self.last: Progress | None = None
        self.worked = 0
        "Units of the step that were worked on, whatever was there before."
        self.since: tuple[int, float] | None = None
        "How many of them there were, and when, as the pace began to be taken."

    def seconds_left(self, progress: Progress) -> float | None:
        """Of the whole, without what `progress.after` calls unknown; None before a pace is known.

        What is done as a phase begins was there before, and what is the first on each lane waited
        for workers to start: neither says anything of the pace.
        """
        now, last, self.last = self.clock(), self.last, progress
        if last is None or (last.step or last.phase) != (progress.step or progress.phase):
            self.worked, self.since = 0, None
        elif last.phase == progress.phase:
            self.worked += progress.done - last.done
        if progress.after is None or self.worked < progress.after.lanes:
            return None
        self.since = self.since or (self.worked, now)
        worked, spent = self.worked - self.since[0], now - self.since[1]
        if worked < max(FEW, progress.after.lanes):
            return None
        left = progress.total - progress.done + progress.later
        return left * spent / worked + progress.after.seconds
