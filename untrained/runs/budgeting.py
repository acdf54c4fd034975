"""A command within a time budget: an estimate, then a search and trainings that fit into it."""

import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from untrained.images import Images
from untrained.runs.budget import (
    SLOWER,
    Budget,
    Budgeted,
    budget_for,
    epochs_within,
    plan_in_words,
    usable,
)
from untrained.runs.duration import parse_duration, written
from untrained.runs.engines import one_thread
from untrained.runs.pace import epoch_of, seconds_of_evaluation, slowest_epoch
from untrained.runs.presets import fitted_training
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.session import Progress, Session
from untrained.runs.setup import ScoreSetup, make_setups
from untrained.searchers import Searcher
from untrained.spaces import Architecture, Space
from untrained.training import TrainingSpec

logger = logging.getLogger(__name__)

CALIBRATING, SEARCHING = 0.2, 0.3
"Shares that calibration and search may take where networks are trained afterwards."


def check_budget(searcher: Searcher, config: ResolvedConfig) -> None:
    """Refuse a searcher that has nothing to show before its end.

    Raises:
        ValueError: such a searcher.
    """
    if config.time_budget is not None and not searcher.anytime:
        raise ValueError(
            f"time_budget: expected a searcher that may be stopped at any time, got "
            f"{config.searcher}, which selects only at its end; try --searcher surrogate"
        )


def foreseen(
    config: ResolvedConfig,
    space: Space[Any],
    searcher: Searcher,
    setups: Sequence[ScoreSetup],
    images: Images,
    lanes: int,
) -> Budgeted:
    """What a budget is planned for, after two random networks were measured and trained a little.

    Args:
        config: fitted to the images.
        space: the whole space.
        searcher: whose space the two networks are of.
        setups: of all scores that are measured.
        images: as loaded.
        lanes: networks that are measured or trained at a time.

    Raises:
        ValueError: the budget is too small for the least that is asked.
    """
    assert config.time_budget is not None
    seconds = parse_duration(config.time_budget)
    networks, compared = trainings_of(config), config.calibrate or 0
    first = len(searcher.propose((), config.proposals, random.Random(0)))
    rng = random.Random(f"{config.seed}/budget")
    some = [searcher.space.sample(rng) for _ in range(2)]
    with one_thread():
        evaluation = seconds_of_evaluation(config, setups, images, some)
        epoch = slowest_epoch(config, space, images, some, config.training) if networks else 0.0
        trial = slowest_epoch(config, space, images, some, config.calibration) if compared else 0.0
    measuring = evaluation * (_rounds(first, lanes) + _rounds(compared, lanes))
    trying = SLOWER * trial * _rounds(compared, lanes)
    once = SLOWER * epoch * _rounds(networks, lanes)
    if seconds < (least := budget_for(measuring + trying + once, networks)):
        raise ValueError(
            f"time_budget: expected {written(least)} or more here, got {config.time_budget}: "
            f"measuring {first + compared} architectures takes about {written(measuring)}"
            + (f", an epoch of {compared} to calibrate {written(trying)}" if compared else "")
            + (f", an epoch of {networks} trainings {written(once)}" if networks else "")
            + "; or try a smaller --scale, or fewer --compare or --training.images"
        )
    epochs = epochs_within(CALIBRATING * seconds, trying, config.calibration_recipe.epochs)
    end = usable(seconds, networks)
    until = evaluation * _rounds(compared, lanes) + epochs * trying + SEARCHING * seconds
    return Budgeted(
        seconds=seconds,
        evaluation=evaluation,
        epoch=epoch,
        networks=networks,
        lanes=lanes,
        most_epochs=config.recipe.epochs,
        search_until=min(until, end - once) if networks else end,
        calibration=vars(replace(config.calibration, epochs=epochs)) if compared else None,
    )


def trainings_of(config: ResolvedConfig) -> int:
    """How many networks are trained to the end, each repetition counted."""
    beside = config.beside
    return config.repeats * (1 + beside.random + len(beside.names)) if config.train else 0


def budgeted(session: Session, begun: float) -> Session:
    """The same session under its budget, which is planned now unless it was before.

    Args:
        session: with what is searched within its limits.
        begun: when the command began, as of `time.perf_counter`.

    Raises:
        ValueError: as `foreseen`.
    """
    config, store = session.config, session.store
    if config.time_budget is None:
        return session
    known = store.found(session.id, "budgeted")
    if known:
        plan = Budgeted(**known)
    else:
        every = make_setups(session.space, config)
        lanes = session.engine.lanes
        plan = foreseen(config, session.space, session.searcher, every, session.images, lanes)
        logger.warning(plan_in_words(plan))
        store.add_cost(session.id, "start", time.perf_counter() - begun, wall=True)
        begun = time.perf_counter()
    _keep(session, plan)
    before = sum(seconds for _, _, seconds in store.costs(session.id, wall=True))
    if plan.calibration is not None:
        config = replace(config, calibration=TrainingSpec(**plan.calibration))
    return replace(session, config=config, budget=Budget(plan.seconds, begun - before))


def time_is_up(session: Session, tried: int, batch: float) -> bool:
    """Whether the search proposes no more: its share is spent, or was when it first ended.

    Half of another batch is to fit into the share, so that on average it is just spent.

    Args:
        session: of the search.
        tried: architectures so far; the first batch is measured in any case.
        batch: seconds that the last batch took.
    """
    if session.budget is None:
        return False
    plan = _plan(session)
    if plan.evaluations is not None:
        return tried >= plan.evaluations
    return tried > 0 and session.budget.spent() + batch / 2 > plan.search_until


def note_end(session: Session, tried: int, *, stopped: bool) -> None:
    """Notes after how many architectures the search ended, so that it always ends there."""
    if session.budget is None:
        return
    plan = _plan(session)
    if plan.evaluations is None:
        _keep(session, replace(plan, evaluations=tried, stopped=stopped))


def within_budget(session: Session, networks: Sequence[Architecture | str]) -> Session:
    """The same session, which trains these networks for as many epochs as fit into what is left.

    An epoch of each is timed; nodes may have joined or left since the start. At least one is
    trained, and at most as many as were asked for.
    """
    if session.budget is None:
        return session
    plan, spec = _plan(session), session.config.training
    if plan.training is None:
        session.on_progress(Progress("timing an epoch", 0, 1))
        with one_thread():
            each = [
                epoch_of(session.config, session.space, session.images, network, spec)
                for network in networks
            ]
        mean = SLOWER * sum(each) / len(each)
        once = mean * _rounds(plan.networks, session.engine.lanes)
        plan = _for_epochs(session, plan, once, plan.most_epochs)
        _keep(session, plan)
        session.on_progress(Progress("timing an epoch", 1, 1))
    return _training(session, plan)


def is_paced(session: Session) -> bool:
    """Whether it is certain for how many epochs networks are trained."""
    return session.budget is None or _plan(session).paced


def at_pace(session: Session, once: float) -> Session:
    """The same session, which trains for fewer epochs if the first two were too slow.

    Args:
        session: whose trainings have had two epochs.
        once: seconds that the second took, of all of them.
    """
    assert session.budget is not None
    plan = _plan(session)
    assert plan.epochs is not None
    if (plan.epochs - 2) * once > plan.usable - session.budget.spent():
        plan = _for_epochs(session, plan, once, plan.epochs)
    plan = replace(plan, paced=True)
    _keep(session, plan)
    return _training(session, plan)


def note_spent(session: Session) -> None:
    """Notes how long the command took, when it first came to its end."""
    if session.budget is not None and (plan := _plan(session)).spent is None:
        _keep(session, replace(plan, spent=session.budget.spent()))


def _for_epochs(session: Session, plan: Budgeted, once: float, most: int) -> Budgeted:
    """The plan with as many epochs as fit into what is left, where one of all takes `once`."""
    assert session.budget is not None
    left = plan.usable - session.budget.spent()
    if once > left:
        logger.warning(
            "the time budget will be exceeded: an epoch of %d trainings takes about %s, and %s "
            "are left",
            *(plan.networks, written(once), written(max(left, 1.0))),
        )
    asked = replace(session.asked.training, epochs=epochs_within(left, once, most))
    return replace(plan, training=vars(fitted_training(asked, session.config, session.images)))


def _training(session: Session, plan: Budgeted) -> Session:
    assert plan.training is not None
    config = replace(session.config, training=TrainingSpec(**plan.training))
    return replace(session, config=config)


def _plan(session: Session) -> Budgeted:
    known = session.store.found(session.id, "budgeted")
    assert known is not None
    return Budgeted(**known)


def _keep(session: Session, plan: Budgeted) -> None:
    session.store.set_found(session.id, "budgeted", asdict(plan))


def _rounds(count: int, lanes: int) -> int:
    """How many times as long as one, where so many are done at a time."""
    return math.ceil(count / lanes)
