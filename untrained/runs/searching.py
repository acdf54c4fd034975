"""Searching: propose, measure, store, until the searcher has nothing to ask."""

import logging
import random
import time
from collections.abc import Sequence
from functools import partial

from untrained.runs.budgeting import note_end, time_is_up
from untrained.runs.calibrating import calibrated
from untrained.runs.session import OnProgress, Progress, Session, trial_rows
from untrained.runs.shrinking import shrunk
from untrained.runs.sweeping import sweep
from untrained.search import History
from untrained.search.given import Given
from untrained.search.pareto import chosen
from untrained.spaces import Architecture
from untrained.storage.store import LOST
from untrained.storage.trial_record import TrialRecord

logger = logging.getLogger(__name__)


def search(session: Session) -> Architecture | None:
    """The selected architecture of a search, which resumes from what is stored, and is noted."""
    if session.config.shrink is not None:
        session = shrunk(session)
    if session.config.calibrate is not None:
        session = calibrated(session)
    if isinstance(session.searcher, Given) and session.budget is None:
        sweep(session)  # which leaves nothing to propose
    store, searcher, seed = session.store, session.searcher, session.config.seed
    history = recall(session)
    batch, took, stopped = store.batches(session.id), 0.0, False
    while True:
        begun = time.perf_counter()
        rng = random.Random(f"{seed}/{len(history)}")
        proposals = searcher.propose(history, session.config.proposals, rng)
        if not proposals or (stopped := time_is_up(session, len(history), took)):
            break
        phase = f"search, batch {batch + 1}: {len(proposals)} architectures"
        session.measuring.measure(proposals, partial(_tell, session.on_progress, phase))
        store.add_trials(trial_rows(session, proposals, batch, len(history)))
        new = store.trials(session.id, since=len(history))
        history += [trial.as_trial(session.space) for trial in new]
        batch += 1
        took = time.perf_counter() - begun
        store.add_cost(session.id, "search", took, wall=True)
    note_end(session, len(history), stopped=stopped)
    by = session.config.select
    selected = chosen(history, searcher.goals, by) if by else searcher.select(history)
    store.set_selected(session.id, None if selected is None else str(selected))
    return selected


def recall(session: Session) -> History:
    """What was tried so far.

    What the store has lost of it is measured or tried again, and what ran out of memory or time
    where there is more now.
    """
    store, searched = session.store, session.searcher.space
    try:
        trials = store.trials(session.id)
        history = _history(session, trials)
    except ValueError as error:
        logger.warning("the search is repeated from what was measured: %s", error)
        store.forget_trials(session.id)
        return History(searched)
    readings = [r for trial in trials for column in trial.readings.values() for r in column]
    if not any(r == LOST or session.measuring.asks_again(r) for r in readings):
        return history
    session.measuring.measure(
        history, partial(_tell, session.on_progress, "search, measured again")
    )
    return _history(session, store.trials(session.id))


def _history(session: Session, trials: Sequence[TrialRecord]) -> History:
    return History(session.searcher.space, [trial.as_trial(session.space) for trial in trials])


def _tell(on_progress: OnProgress, phase: str, done: int, total: int) -> None:
    on_progress(Progress(phase, done, total))
