"""Searching: propose, measure, store, until the searcher has nothing to ask."""

import logging
import random
import time
from functools import partial

from untrained.runs.asynchronous import held, pending_of, search_asynchronously
from untrained.runs.budgeting import note_end, time_is_up
from untrained.runs.calibrating import calibrated
from untrained.runs.session import OnProgress, Progress, Session, trial_rows
from untrained.runs.shrinking import shrunk
from untrained.runs.sweeping import sweep
from untrained.searchers import History
from untrained.searchers.given import Given
from untrained.searchers.pareto import chosen
from untrained.spaces import Architecture
from untrained.storage.store import LOST

logger = logging.getLogger(__name__)

PORTION = 1000
"Trials that are read from the store at a time."


def search(session: Session) -> Architecture | None:
    """The selected architecture of a search, which resumes from what is stored, and is noted."""
    if session.config.shrink is not None:
        session = shrunk(session)
    if session.config.calibrate is not None:
        session = calibrated(session)
    if isinstance(session.searcher, Given) and session.budget is None:
        sweep(session)  # which leaves nothing to propose
    go_on = search_asynchronously if session.config.asynchronous else search_in_batches
    with held(session):
        history = recall(session)
        stopped = go_on(session, history)
    note_end(session, len(history), stopped=stopped)
    searcher, by = session.searcher, session.config.select
    selected = chosen(history, searcher.goals, by) if by else searcher.select(history)
    session.store.set_selected(session.id, None if selected is None else str(selected))
    return selected


def search_in_batches(session: Session, history: History) -> bool:
    """Adds trials to a history until the searcher has nothing to ask; whether time ended that."""
    store, seed = session.store, session.config.seed
    batch, took = store.batches(session.id), 0.0
    while True:
        begun = time.perf_counter()
        rng = random.Random(f"{seed}/{len(history)}")
        proposals = session.searcher.propose(history, session.config.proposals, rng)
        if not proposals:
            return False
        if time_is_up(session, len(history), took):
            return True
        phase = f"search, batch {batch + 1}: {len(proposals)} architectures"
        session.measuring.measure(proposals, partial(_tell, session.on_progress, phase))
        store.add_trials(trial_rows(session, proposals, batch, len(history)))
        new = store.trials(session.id, since=len(history))
        history += [trial.as_trial(session.space) for trial in new]
        batch += 1
        took = time.perf_counter() - begun
        store.add_cost(session.id, "search", took, wall=True)


def recall(session: Session) -> History:
    """What was tried so far.

    What the store has lost of it is measured or tried again, and what ran out of memory or time
    where there is more now.
    """
    try:
        history, whole = _history(session)
        pending_of(session)
    except ValueError as error:
        logger.warning("the search is repeated from what was measured: %s", error)
        session.store.forget_trials(session.id)
        return History(session.searcher.space)
    if whole:
        return history
    phase = "search, measured again"
    session.measuring.measure(history, partial(_tell, session.on_progress, phase))
    return _history(session)[0]


def _history(session: Session) -> tuple[History, bool]:
    """As it is stored, and whether there is nothing to be measured again."""
    history, whole, tried = History(session.searcher.space), True, session.store.tried(session.id)
    for since in range(0, tried, PORTION):  # one after another, of which memory holds one
        for trial in session.store.trials(session.id, since, min(since + PORTION, tried)):
            history.append(trial.as_trial(session.space))
            readings = (r for column in trial.readings.values() for r in column)
            whole &= not any(r == LOST or session.measuring.asks_again(r) for r in readings)
    return history, whole


def _tell(on_progress: OnProgress, phase: str, done: int, total: int) -> None:
    on_progress(Progress(phase, done, total))
